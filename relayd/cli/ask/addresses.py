"""`relayd addresses`: one row per recipient address, and which ones are suppressed.

Lists from the store. What changes suppressions goes through the daemon's control socket (`suppressions`), for
the command never writes the store itself (F-21).
"""

import click

from relayd.answers.addresses import FIELDS, fields
from relayd.cli.ages import Times, times_for
from relayd.cli.ask import suppressions
from relayd.cli.context import open_view, settings_option
from relayd.cli.filters import limit_option, takes_query
from relayd.cli.group import Group, options_given
from relayd.cli.listing import rows_wanted, say_searched
from relayd.cli.output import Form, say_empty, show_fields, show_table
from relayd.cli.row_options import takes_row_options
from relayd.cli.table import Column, TableOptions
from relayd.cli.table_options import takes_table_options
from relayd.mail.address import parse_address
from relayd.mail.ids import format_id
from relayd.ports.view import AddressRow, Query

_ALL = 2**31  # more rows than a queue holds
_COLUMNS = (
    Column(title="ADDRESS", least=16),
    Column(title="STATUS", whole=True),
    Column(title="LAST", whole=True, goes=4),
    Column(title="MESSAGES", whole=True, goes=6, right=True),
    Column(title="HARD", whole=True, goes=5, right=True),
    Column(title="OTHER", whole=True, goes=7, right=True),
    Column(title="SUPPRESS", least=8),
    Column(title="SINCE", whole=True, goes=2),
    Column(title="BY", goes=3, least=8),
    Column(title="WHY", least=12),
    Column(title="LAST REPLY", goes=1, least=12),
)


class _AddressesGroup(Group):
    """Names the filter to an operator who wrote an address and left it out."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and "@" in args[0]:
            ctx.fail(
                f"No such command {args[0]!r}. For one address: relayd addresses --recipient {args[0]}"
            )
        return super().resolve_command(ctx, args)


@click.group(cls=_AddressesGroup, invoke_without_command=True)
@takes_query("recipient", "domain", "status", "bounce_class", "since", "changed_since")
@limit_option
@takes_row_options
@takes_table_options(_COLUMNS)
@click.option(
    "--unsuppress",
    type=suppressions.AddressType(parse_address),
    help="Lift the suppression: only bounces from now on count.",
)
@settings_option()
@click.pass_context
def addresses(
    ctx: click.Context,
    *,
    query: Query,
    limit: int | None,
    table: TableOptions,
    unsuppress: str | None,
    form: Form,
) -> int:
    """Show addresses that mail went to: which ones bounced, and which are suppressed.

    There is one row per address. It has the last status, how often mail bounced, and whether the address is suppressed: since
    when, by whom, and why. The commands below suppress addresses and lift that, one by one or from a list.
    """
    if ctx.invoked_subcommand is not None:
        if others := options_given(ctx):
            name = ctx.invoked_subcommand
            raise click.UsageError(
                f"{name} takes no filter, and its options come after it: no {others[0]} before {name}."
            )
        return 1
    if unsuppress is not None:
        if not {"--unsuppress", "--json"}.issuperset(options_given(ctx)):
            raise click.UsageError(
                "--unsuppress takes one address, and no filter or other option but --json."
            )
        suppressions.lift([unsuppress], as_json=form is Form.JSON)
        return 1
    wanted, since = rows_wanted(limit, form), None
    with open_view() as view:
        if form is Form.TABLE and wanted:
            rows, since = view.recent_addresses(query, limit=wanted)
        else:
            rows = view.addresses(query, limit=wanted or _ALL)
    if form is not Form.TABLE:
        show_fields(map(fields, rows), FIELDS, form)
    else:
        times = times_for(table)
        show_table(_COLUMNS, (_cells(row, times) for row in rows), table=table, newest_first=True)
    if since is not None:
        say_searched(since, table)
    if not rows:
        say_empty("no mail yet" if query == Query() else "nothing matches")
    return len(rows)


addresses.add_command(suppressions.suppress)
addresses.add_command(suppressions.unsuppress)
addresses.add_command(suppressions.import_)
addresses.add_command(suppressions.export)


def _cells(row: AddressRow, times: Times) -> tuple[str, ...]:
    return (
        row.address,
        row.last_status.value if row.last_status else "",
        times.past(row.last_at),
        str(row.messages),
        str(row.hard_bounces),
        str(row.other_bounces),
        _suppress(row),
        *_told(row, times),
        row.last_reply or "",
    )


def _told(row: AddressRow, times: Times) -> tuple[str, str, str]:
    """Since when it is suppressed, by whom or what, and why; of several senders the first."""
    if not row.suppressions:
        return "", "", ""
    first = row.suppressions[0]
    by = first.by if first.message_id is None else f"bounce {format_id(first.message_id)}"
    return times.past(first.at), by, first.reason


def _suppress(row: AddressRow) -> str:
    if row.suppress_for:
        return "for " + ", ".join(row.suppress_for)
    return "yes" if row.suppress else "no"
