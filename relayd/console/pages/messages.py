"""Messages: found by every filter, page by page, as CSV too."""

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, replace

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
from relayd.mail.ids import format_id, received_at_of
from relayd.mail.operator import Action
from relayd.mail.words import BounceClass, Category
from relayd.ports.view import Page, Place, Query, QueueView, RecipientRow, Status

PAGE = 50
_EXPORTED = 500  # rows in one question
_MOST_EXPORTED = 100_000
_NOTHING = Page((), None)
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


async def show(asked: Asked) -> Response:
    """The page itself. A queue id leads to its message."""
    text = asked.params.get("q", "").strip()
    if (queue_id := queue_id_in(text)) is not None:
        return RedirectResponse(f"/messages/{queue_id}", 303)
    filters = read_filters(asked.params, asked.now)
    before = read_place(asked.params.get("before", ""))
    found = _NOTHING
    if not filters.mistakes:
        found = await asked.ask(page_of(filters.query, before))
        if text and not found.rows and before is None:
            filters, found = await _other_meanings(asked, filters, text, found)
    shown = [Row(format_id(row.message_id), row) for row in found.rows[:PAGE]]
    older, looked_since = "", None
    if len(found.rows) > PAGE:
        older = shown[-1].key
    elif found.next is not None:  # it was cut short
        older, looked_since = place_of(found.next), received_at_of(found.next[0])
    return asked.page(
        "messages.html",
        filters=filters,
        rows=shown,
        text=text,
        older=older,
        looked_since=looked_since,
        is_first=before is None,
        statuses=[(each.value, each.value) for each in Status],
        classes=[(each.value, each.value) for each in BounceClass],
        categories=[(each.value, each.value) for each in Category],
        spans=[(each, f"last {each}") for each in SPANS],
        actions=list(Action),
    )


def page_of(query: Query, before: Place | None) -> Callable[[QueueView], Page]:
    """Return the question for a page, and one row more where there is a further one.

    It takes a bounded time: where filters hardly meet there may be fewer rows, and `next` all the same.
    """

    def ask(view: QueueView) -> Page:
        found = view.page(query, limit=PAGE + 1, before=before)
        rules = view.pause_rules()
        rows = [replace(row, pause=rule_that_holds(row, rules)) for row in found.rows]
        return Page(rows, found.next)

    return ask


async def _other_meanings(
    asked: Asked, filters: Filters, text: str, found: Page
) -> tuple[Filters, Page]:
    """Take the text of the search box for what else it may be, until something is found."""
    first = next(iter(meanings(text)))[0]
    given = {name: value for name, value in filters.given.items() if name != first}
    rest = read_filters(type(asked.params)(given), asked.now)
    for name, value in list(meanings(text))[1:]:
        query = with_field(rest.query, name, value)
        other = await asked.ask(page_of(query, None))
        if other.rows:
            return Filters(query=query, given={**given, name: value}, mistakes=()), other
    return filters, found


async def export(asked: Asked) -> Response:
    """All that matches as CSV, the fields of `relayd status --csv`."""
    filters = read_filters(asked.params, asked.now)
    if filters.mistakes:
        return asked.see("/messages", **asked.params)
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
