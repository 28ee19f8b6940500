"""Recipients as a table or as JSON lines: the cells, and how many rows are shown."""

import itertools
import sys

from relayd.answers.recipients import fields, find_rows
from relayd.cli.output import show_json, show_table
from relayd.mail.ids import format_id
from relayd.mail.words import instant
from relayd.ports.view import Query, QueueView, RecipientRow, Status

TITLES = ("ID", "RECEIVED", "FROM", "RECIPIENT", "STATUS", "TRIES", "NEXT", "WHY")
_FOR_PEOPLE = 100  # rows


def rows_wanted(limit: int | None, *, as_json: bool) -> int:
    """The number of rows to show, 0 for all: programs want them all, people the newest."""
    if limit is not None:
        return limit
    return 0 if as_json else _FOR_PEOPLE


def list_recipients(view: QueueView, query: Query, *, limit: int | None, as_json: bool) -> None:
    """Print the recipients that match, and say when there may be more of them."""
    wanted = rows_wanted(limit, as_json=as_json)
    found = find_rows(view, query, limit=wanted)
    if as_json:
        for row in found:
            show_json(fields(row))
        return
    counted = itertools.count()
    show_table(TITLES, (cells(row) for row, _ in zip(found, counted, strict=False)))
    if next(counted) == wanted:
        print(f"the newest {wanted}; --limit 0 shows all", file=sys.stderr)


def cells(row: RecipientRow) -> tuple[str, ...]:
    """Return what the table shows of a recipient, in the order of `TITLES`."""
    words = [row.status.value]
    if row.status is Status.BOUNCED and row.bounce_class is not None:
        words.append(f"({row.bounce_class})")
    return (
        format_id(row.message_id),
        instant(row.received_at),
        row.reverse_path or "<>",
        row.address,
        " ".join(words),
        str(row.attempts),
        "running" if row.leased else instant(row.next_attempt_at),
        row.reply or row.reason or "",
    )
