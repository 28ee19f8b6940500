"""`relayd tlsrpt`: what TLS reports will say."""

from datetime import date
from typing import Any

import click

from relayd.answers.tls_counts import FIELDS, fields
from relayd.cli.completing import complete_tls_days
from relayd.cli.context import open_view, settings_option
from relayd.cli.group import Group
from relayd.cli.output import Form, say_empty, show_fields, show_table
from relayd.cli.row_options import takes_row_options
from relayd.cli.table import Column, TableOptions
from relayd.cli.table_options import takes_columns

_COLUMNS = (
    Column(title="DAY", whole=True),
    Column(title="DOMAIN", least=12),
    Column(title="POLICY", whole=True, goes=3),
    Column(title="RESULT", least=12),
    Column(title="SESSIONS", whole=True, right=True),
    Column(title="HOST", goes=2, least=12),
    Column(title="REASON", goes=1, least=12),
)


class _DayType(click.ParamType[date]):
    name = "day"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> date:
        if isinstance(value, date):
            return value
        try:
            return date.fromisoformat(str(value))
        except ValueError:
            self.fail(f"expected a day such as 2026-11-29, and not {value!r}.", param, ctx)


@click.group(cls=Group)
def tlsrpt() -> None:
    """Show what TLS reports will say."""


@tlsrpt.command()
@click.argument("day", type=_DayType(), required=False, shell_complete=complete_tls_days)
@takes_row_options
@takes_columns(_COLUMNS)
@settings_option()
def show(*, day: date | None, form: Form, table: TableOptions) -> int:
    """Show how TLS sessions with mail hosts went, and no report has told yet.

    Of a DAY (UTC), or of all days that are kept, which are three at most. The workers add what they
    counted once a minute.
    """
    with open_view() as view:
        found = view.trust.tls_counts(day)
    if form is Form.TABLE:
        rows = (
            (
                each.day.isoformat(),
                each.policy.domain,
                each.policy.kind.value,
                each.result or "good",
                str(count),
                each.host,
                each.reason,
            )
            for each, count in found.items()
        )
        show_table(_COLUMNS, rows, table=table)
    else:
        show_fields((fields(each, count) for each, count in found.items()), FIELDS, form)
    if not found:
        say_empty("nothing is counted")
    return len(found)
