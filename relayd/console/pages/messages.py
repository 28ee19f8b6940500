"""Messages: found by every filter, page by page, as CSV too."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial

from starlette.responses import RedirectResponse, Response, StreamingResponse

from relayd.answers.csv_lines import csv_line
from relayd.answers.pauses import rule_that_holds
from relayd.answers.recipients import FIELDS, fields
from relayd.console.asked import Asked
from relayd.console.filters import (
    Filters,
    meanings,
    place_of,
    queue_id_in,
    read_filters,
    read_place,
    with_field,
)
from relayd.console.paging import Part
from relayd.mail.ids import format_id, received_at_of
from relayd.mail.operator import Action
from relayd.mail.words import BounceClass, Category
from relayd.ports.view import Page, Place, Query, QueueView, RecipientRow, Status

PAGE = 50
_EXPORTED = 500  # rows in one question
_MOST_EXPORTED = 100_000
SPANS = ("1h", "24h", "7d", "30d", "90d")


@dataclass(frozen=True, slots=True)
class Row:
    """A recipient, and how pages name it."""

    id: str
    row: RecipientRow

    @property
    def key(self) -> str:
        """Its name in forms."""
        return f"{self.id}.{self.row.recipient}"


_NOTHING: Part[Row, str] = Part((), None, None)


async def show(asked: Asked) -> Response:
    """The page itself. A queue id leads to its message."""
    text = asked.params.get("q", "").strip()
    if (queue_id := queue_id_in(text)) is not None:
        return RedirectResponse(f"/messages/{queue_id}", 303)
    filters = read_filters(asked.params, asked.now)
    before = read_place(asked.params.get("before", ""))
    after = read_place(asked.params.get("after", ""))
    part = _NOTHING
    if not filters.mistakes:
        part = await asked.ask(partial(_page, filters.query, before, after))
        if text and not part.rows and before is None and after is None:
            filters, part = await _other_meanings(asked, filters, text, part)
    return asked.page(
        "messages.html",
        filters=filters,
        part=part,
        text=text,
        looked_since=_looked_since(part, is_back=after is not None),
        statuses=[(each.value, each.value) for each in Status],
        classes=[(each.value, each.value) for each in BounceClass],
        categories=[(each.value, each.value) for each in Category],
        spans=[(each, f"last {each}") for each in SPANS],
        actions=list(Action),
    )


def _page(
    query: Query, before: Place | None, after: Place | None, view: QueueView
) -> Part[Row, str]:
    """Return a page. It takes a bounded time: where filters hardly meet there may be fewer rows, and `next` all the same.

    Who goes back to the newest rows sees a whole page of them.
    """
    found = Page((), None, None)
    if after is not None:
        found = view.page(query, limit=PAGE + 1, back_from=after)
        if len(found.rows) > PAGE:
            rows = found.rows[-PAGE:]
            found = Page(rows, found.next, (rows[0].message_id, rows[0].recipient - 1))
    if found.prev is None:
        found = view.page(query, limit=PAGE + 1, before=before if after is None else None)
        if len(found.rows) > PAGE:
            rows = found.rows[:PAGE]
            found = Page(rows, (rows[-1].message_id, rows[-1].recipient), found.prev)
    rows = found.rows
    if rules := view.pause_rules():
        rows = [replace(row, pause=rule_that_holds(row, rules)) for row in rows]
    return Part(
        [Row(format_id(row.message_id), row) for row in rows],
        None if found.prev is None else place_of(found.prev),
        None if found.next is None else place_of(found.next),
    )


def _looked_since(part: Part[Row, str], *, is_back: bool) -> datetime | None:
    """Return down to when mail was looked at, where a page was cut short."""
    place = (
        None if part.next is None or is_back or len(part.rows) == PAGE else read_place(part.next)
    )
    return None if place is None else received_at_of(place[0])


def newest(query: Query, view: QueueView) -> Part[Row, str]:
    """Return the first page of what matches."""
    return _page(query, None, None, view)


async def _other_meanings(
    asked: Asked, filters: Filters, text: str, found: Part[Row, str]
) -> tuple[Filters, Part[Row, str]]:
    """Take the text of the search box for what else it may be, until something is found."""
    first = next(iter(meanings(text)))[0]
    given = {name: value for name, value in filters.given.items() if name != first}
    rest = read_filters(type(asked.params)(given), asked.now)
    for name, value in list(meanings(text))[1:]:
        query = with_field(rest.query, name, value)
        part = await asked.ask(partial(newest, query))
        if part.rows:
            return Filters(query=query, given={**given, name: value}, mistakes=()), part
    return filters, found


async def export(asked: Asked) -> Response:
    """All that matches as CSV, the fields of `relayd status --csv`."""
    filters = read_filters(asked.params, asked.now)
    if filters.mistakes:
        return asked.see("/messages", asked.params)
    headers = {"Content-Disposition": 'attachment; filename="messages.csv"'}
    return StreamingResponse(_lines(asked, filters.query), 200, headers, "text/csv; charset=utf-8")


async def _lines(asked: Asked, query: Query) -> AsyncIterator[str]:
    yield csv_line(FIELDS)
    before: Place | None = None
    for _ in range(_MOST_EXPORTED // _EXPORTED):
        place = before
        found = await asked.ask(lambda view: view.page(query, limit=_EXPORTED, before=place))  # noqa: B023 -- asked at once
        yield "".join(csv_line(fields(row).values()) for row in found.rows)
        if found.next is None:
            return
        before = found.next
