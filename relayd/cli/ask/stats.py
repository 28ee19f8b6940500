"""`relayd stats`: how much was received, accepted, deferred and bounced, and how long it took.

Reads the store and never the daemon.
"""

import sys
from collections.abc import Callable
from datetime import tzinfo
from functools import partial

import click

from relayd.answers import when
from relayd.answers.tally import (
    PERCENTILES,
    bounced,
    bounced_share,
    delay_text,
    fields,
    notices,
    share,
    step_for,
)
from relayd.cli.context import now, open_view, settings_option
from relayd.cli.filters import limit_option, takes_query
from relayd.cli.listing import rows_wanted
from relayd.cli.output import Form, say_empty, show_fields, show_table
from relayd.cli.row_options import takes_row_options
from relayd.cli.table import Column, TableOptions, chosen
from relayd.cli.table_options import takes_table_options
from relayd.mail.tally import Dimension, percentile
from relayd.ports.tally import TallyAnswer, TallyQuery, TallyRow
from relayd.ports.view import Query

_Cell = Callable[[TallyRow, TallyAnswer, Dimension | None, tzinfo | None], str]


def _value(row: TallyRow, answer: TallyAnswer, by: Dimension | None, zone: tzinfo | None) -> str:
    if row is answer.total:
        return "all"
    if by is None:
        return when.shown(row.at, zone)
    if row.is_rest:
        return "(rest)"
    return row.value or ("<>" if by is Dimension.SENDER else "(none)")


def _count(name: str) -> _Cell:
    return lambda row, *_: str(row.counts[name])


def _percent(part: float | None) -> str:
    return "" if part is None else f"{part:.1%}"


def _delay(part: float) -> _Cell:
    return lambda row, *_: delay_text(percentile(row.delays, part))


def _number(title: str, cell: _Cell, *, goes: int = 0) -> tuple[Column, _Cell]:
    return Column(title=title, whole=True, right=True, goes=goes), cell


_SHOWN: tuple[tuple[Column, _Cell], ...] = (
    (Column(title="VALUE", least=16), _value),
    _number("RECEIVED", _count("received")),
    _number("SHARE", lambda row, answer, by, _: _percent(share(row, answer.total, by)), goes=4),
    _number("SENT", _count("sent"), goes=5),
    _number("RELAYED", _count("relayed"), goes=5),
    _number("DEFERRED", _count("deferred"), goes=3),
    _number("BOUNCED", lambda row, *_: str(bounced(row))),
    _number("BOUNCED %", lambda row, *_: _percent(bounced_share(row)), goes=1),
    _number("HARD", _count("hard"), goes=7),
    _number("BLOCK", _count("block"), goes=8),
    _number("SOFT", _count("soft"), goes=9),
    _number("LATE", _count("late_bounced"), goes=6),
    _number("COMPLAINTS", _count("complained"), goes=6),
    _number("DROPPED", _count("dropped"), goes=10),
    *(
        _number(name.upper(), _delay(part), goes=2 if name == "p95" else 4)
        for name, part in PERCENTILES.items()
    ),
)
_COLUMNS = tuple(column for column, _ in _SHOWN)
_OF_CATEGORIES = ("value", "deferred", "bounced", "share", "hard", "block", "soft", "late")


@click.command()
@click.option(
    "--by",
    type=click.Choice(Dimension, case_sensitive=False),
    help="One row for each value, those with most mail first; else one for each step of time.",
)
@takes_query("since", "until")
@limit_option
@takes_row_options
@takes_table_options(_COLUMNS)
@settings_option()
def stats(
    *,
    by: Dimension | None,
    query: Query,
    limit: int | None,
    table: TableOptions,
    form: Form,
) -> int:
    """Count what was received, accepted, deferred, bounced, by sender or reason, and delays (p95).

    P50, P95 and P99 are delays from the reception to the acceptance by the next server, waits and
    retries included: of half, of 95 and of 99 in a hundred recipients it was no longer, within 9 %.

    Events are counted when they happen, whenever the message came in. Times are full steps: 10 minutes
    in the last 2 days, hours in the last 15, then days in UTC.
    """
    if limit is not None and by is None:
        raise click.UsageError("--limit is for --by; of the steps of time all are shown.")
    wanted = rows_wanted(limit, form)
    length = None if query.since is None else (query.until or now()) - query.since
    with open_view() as view:
        answer = view.tally(
            TallyQuery(
                by=by,
                step=step_for(length) if by is None else None,
                since=query.since,
                until=query.until,
                limit=wanted if by else 0,
            )
        )
    if form is not Form.TABLE:
        rows = list(fields(answer, by))
        show_fields(rows, list(dict.fromkeys(name for row in rows for name in row)), form)
    else:
        _show(answer, by, table)
        for notice in notices(answer, query.since, partial(when.shown, zone=table.zone)):
            print(notice, file=sys.stderr)
        if wanted and by and len(answer.rows) == wanted:
            print(f"the {wanted} with most mail; --limit 0 shows all", file=sys.stderr)
    if not answer.rows:
        say_empty("nothing is counted yet" if answer.begins is None else "nothing in that time")
    return len(answer.rows)


def _show(answer: TallyAnswer, by: Dimension | None, table: TableOptions) -> None:
    first = Column(title="SINCE", whole=True)
    if by is not None:
        first = Column(title=by.value.upper(), least=16)
    places = chosen(_COLUMNS, table)
    if by is Dimension.CATEGORY and table.columns is None:  # nothing else has a category
        places = [each for each in places if each[1].name in _OF_CATEGORIES]

    def cells(row: TallyRow) -> list[str]:
        return [_SHOWN[place][1](row, answer, by, table.zone) for place, _ in places]

    show_table(
        [first if column.title == "VALUE" else column for _, column in places],
        map(cells, answer.rows),
        totals=[cells(answer.total)],
    )
