"""`relayd console audit`: who did what by the console, and who changed what it knows of people."""

from collections.abc import Iterator
from datetime import datetime

import click

from relayd.answers.people import AUDIT_FIELDS, audit_fields
from relayd.cli.ages import Times, times_for
from relayd.cli.context import open_view, settings_option
from relayd.cli.filters import SINCE, TEXT, UNTIL, limit_option
from relayd.cli.listing import rows_wanted
from relayd.cli.output import Form, say_empty, show_fields, show_table
from relayd.cli.row_options import takes_row_options
from relayd.cli.table import Column, TableOptions
from relayd.cli.table_options import takes_table_options
from relayd.ports.people import AuditEntry, AuditQuery, PeopleView

_PAGE = 500  # rows: a long read keeps the queue file from being tidied up
_COLUMNS = (
    Column(title="WHEN", whole=True),
    Column(title="BY", least=12),
    Column(title="FROM", goes=1, least=9),
    Column(title="ACTION", whole=True),
    Column(title="TARGET", least=12),
    Column(title="DETAIL", goes=2, least=12),
)


@click.command()
@click.option("--by", type=TEXT, help="Who did it, as the list shows it.")
@click.option("--action", type=TEXT, help="What was done, such as hold or logged_in.")
@click.option("--target", type=TEXT, help="What it was done to, the whole of it.")
@click.option("--since", type=SINCE, help="At or after that time.")
@click.option("--until", type=UNTIL, help="Before that time.")
@limit_option
@takes_row_options
@takes_table_options(_COLUMNS)
@settings_option()
def audit(
    *,
    by: str | None,
    action: str | None,
    target: str | None,
    since: datetime | None,
    until: datetime | None,
    limit: int | None,
    form: Form,
    table: TableOptions,
) -> int:
    """Show who did what by the console, and who changed accounts and keys.

    Newest first. What was done to mail by the commands of `relayd queue` is in its history: relayd status ID.
    """
    query = AuditQuery(
        by=by or "", action=action or "", target=target or "", since=since, until=until
    )
    with open_view() as view:
        rows = list(_rows(view.people, query, rows_wanted(limit, form)))
    if form is Form.TABLE:
        times = times_for(table)
        cells = (_cells(row, times) for row in rows)
        show_table(_COLUMNS, cells, table=table, newest_first=True)
    else:
        show_fields(map(audit_fields, rows), AUDIT_FIELDS, form)
    if not rows:
        say_empty("nothing is in the audit" if query == AuditQuery() else "nothing matches")
    return len(rows)


def _rows(people: PeopleView, query: AuditQuery, wanted: int) -> Iterator[AuditEntry]:
    """Yield rows, at most as many as are wanted; 0: all."""
    before, told = None, 0
    while not wanted or told < wanted:
        limit = min(_PAGE, wanted - told) if wanted else _PAGE
        page = people.audit(query, limit=limit, before=before)
        if not page:
            return
        yield from page
        before, told = page[-1].number, told + len(page)


def _cells(row: AuditEntry, times: Times) -> tuple[str, ...]:
    return times.past(row.at), row.by, row.client, row.action, row.target, row.detail
