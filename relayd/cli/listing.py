"""Recipients as a table, as JSON lines or as CSV: the columns, and how many rows are shown."""

import itertools
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from datetime import datetime

from relayd.answers.recipients import FIELDS, PAGE, fields, find_page, find_rows, why
from relayd.cli.ages import Times, times_for
from relayd.cli.output import Form, show_fields, show_table
from relayd.cli.table import USUAL, Column, TableOptions, chosen
from relayd.mail.ids import format_id, received_at_of
from relayd.mail.words import instant
from relayd.ports.view import Place, Query, QueueView, RecipientRow, Status

_FOR_PEOPLE = 100  # rows
_Cell = Callable[[RecipientRow, Times], str]


def _status(row: RecipientRow, _: Times) -> str:
    bounced = row.status is Status.BOUNCED and row.bounce_class is not None
    return f"{row.status} ({row.bounce_class})" if bounced else row.status.value


def _next(row: RecipientRow, times: Times) -> str:
    return "running" if row.leased else times.coming(row.next_attempt_at)


_SHOWN: tuple[tuple[Column, _Cell], ...] = (
    (Column(title="ID", whole=True), lambda row, _: format_id(row.message_id)),
    (
        Column(title="RECEIVED", whole=True, goes=2),
        lambda row, times: times.past(row.received_at),
    ),
    (Column(title="FROM", goes=5, least=10), lambda row, _: row.reverse_path or "<>"),
    (Column(title="RECIPIENT", least=16), lambda row, _: row.address),
    (Column(title="REDIRECTED-TO", goes=7, least=10), lambda row, _: row.redirected_to or ""),
    (Column(title="STATUS", whole=True), _status),
    (Column(title="TRIES", whole=True, goes=6, right=True), lambda row, _: str(row.attempts)),
    (Column(title="NEXT", whole=True, goes=4), _next),
    (Column(title="WHY", goes=1, least=16), lambda row, times: why(row, times.zone)),
    (Column(title="SUBJECT", goes=3), lambda row, _: row.subject or ""),
    (Column(title="TAG", asked_for=True), lambda row, _: row.tag or ""),
    (Column(title="MESSAGE-ID", asked_for=True), lambda row, _: row.message_id_header or ""),
    (Column(title="SIZE", asked_for=True, right=True), lambda row, _: str(row.size)),
    (Column(title="USER", asked_for=True), lambda row, _: row.auth_user or ""),
    (Column(title="CLIENT", asked_for=True), lambda row, _: row.client_ip),
    (Column(title="DESTINATION", asked_for=True), lambda row, _: row.destination),
    (Column(title="HOST", asked_for=True), lambda row, _: row.remote_host or ""),
    (Column(title="CATEGORY", asked_for=True), lambda row, _: row.category or ""),
    (
        Column(title="CHANGED", asked_for=True, whole=True),
        lambda row, times: times.past(row.updated_at),
    ),
)
COLUMNS = tuple(column for column, _ in _SHOWN)


def rows_wanted(limit: int | None, form: Form) -> int:
    """The number of rows to show, 0 for all: programs want them all, people the newest."""
    if limit is not None:
        return limit
    return _FOR_PEOPLE if form is Form.TABLE else 0


def list_recipients(
    view: QueueView,
    queries: Iterable[Query],
    *,
    limit: int | None,
    form: Form,
    table: TableOptions = USUAL,
) -> int:
    """Print the recipients that match; return how many are shown.

    It says when there may be more of them, and how far back a search for people went that took too long.
    """
    wanted = rows_wanted(limit, form)
    stopped: list[Place] = []
    found = search(view, queries, wanted=wanted, form=form, stopped=stopped)
    if form is not Form.TABLE:
        return show_fields(map(fields, found), FIELDS, form)
    counted = itertools.count()
    counting = (row for row, _ in zip(found, counted, strict=False))
    show_recipients(counting, table, newest_first=True)
    count = next(counted)
    if count == wanted:
        print(f"the newest {wanted}; --limit 0 shows all", file=sys.stderr)
    elif stopped:
        say_stopped(stopped, table)
    return count


def search(
    view: QueueView,
    queries: Iterable[Query],
    *,
    wanted: int,
    form: Form,
    stopped: list[Place],
) -> Iterator[RecipientRow]:
    """Yield so many recipients that match, 0 for all; for people in a bounded time: note where it was over."""
    find = _newest if form is Form.TABLE and wanted else _all
    pages = (find(view, query, wanted, stopped) for query in queries)
    return itertools.islice(itertools.chain.from_iterable(pages), wanted or None)


def say_stopped(stopped: Iterable[Place], table: TableOptions) -> None:
    """Say how far back searches went that ended at those places."""
    say_searched(received_at_of(max(stopped)[0]), table)


def say_searched(since: datetime, table: TableOptions) -> None:
    """Say how far back a search went that is bounded in time."""
    back = instant(since, table.zone)
    print(f"searched back to {back} only; --limit 0 searches all mail", file=sys.stderr)


def _all(view: QueueView, query: Query, wanted: int, _: list[Place]) -> Iterator[RecipientRow]:
    return find_rows(view, query, limit=wanted)


def _newest(
    view: QueueView, query: Query, wanted: int, stopped: list[Place]
) -> Iterator[RecipientRow]:
    """Yield what is found in a bounded time; note where that was over."""
    page = find_page(view, query, limit=wanted)
    yield from page.rows
    if page.next is not None and len(page.rows) < wanted:
        stopped.append(page.next)


def nothing_found(query: Query) -> str:
    """Return what is said when no recipient matches."""
    if replace(query, unfinished=False) != Query():
        values = (*query.tag, *query.user, *query.message_id_header)
        pattern = any("*" in each or "%" in each for each in values)
        return "nothing matches" + ("; values are whole: there are no patterns" if pattern else "")
    return "nothing waits in the queue" if query.unfinished else "no mail yet"


def show_recipients(
    rows: Iterable[RecipientRow], table: TableOptions, *, newest_first: bool
) -> None:
    """Print the table of these recipients."""
    times = times_for(table)
    rows = iter(rows)
    first = list(itertools.islice(rows, PAGE))
    empty = set()
    if table.columns is None:
        if not any(row.subject for row in first):
            empty.add("SUBJECT")
        if not any(row.redirected_to for row in first):
            empty.add("REDIRECTED-TO")
    places = [
        (place, column) for place, column in chosen(COLUMNS, table) if column.title not in empty
    ]
    cells = [_SHOWN[place][1] for place, _ in places]
    show_table(
        [column for _, column in places],
        ([cell(row, times) for cell in cells] for row in itertools.chain(first, rows)),
        newest_first=newest_first,
    )
