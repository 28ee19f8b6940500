"""Recipients as a list: how many of them, and what is said when there may be more."""

import itertools
import sys

from relayd.cli import rows
from relayd.cli.output import show_json, show_table
from relayd.ports.view import Query, QueueView

_FOR_PEOPLE = 100  # rows


def rows_wanted(limit: int | None, *, as_json: bool) -> int:
    """The number of rows to show, 0 for all: programs want them all, people the newest."""
    if limit is not None:
        return limit
    return 0 if as_json else _FOR_PEOPLE


def list_recipients(view: QueueView, query: Query, *, limit: int | None, as_json: bool) -> None:
    """Print the recipients that match, and say when there may be more of them."""
    wanted = rows_wanted(limit, as_json=as_json)
    found = rows.find_rows(view, query, limit=wanted)
    if as_json:
        for row in found:
            show_json(rows.fields(row))
        return
    counted = itertools.count()
    show_table(rows.TITLES, (rows.cells(row) for row, _ in zip(found, counted, strict=False)))
    if next(counted) == wanted:
        print(f"the newest {wanted}; --limit 0 shows all", file=sys.stderr)
