"""`relayd addresses`: one row per recipient address: which ones are suppressed, and lifting that.

Lists from the store; lifting goes through the daemon's control socket, for the command never writes
the store itself (F-21).
"""

from typing import Any

import click

from relayd.cli.ages import Times, times_for
from relayd.cli.context import NoSuch, json_option, load_settings, open_view, settings_option
from relayd.cli.filters import limit_option, takes_query
from relayd.cli.listing import rows_wanted
from relayd.cli.output import show_json, show_table
from relayd.cli.table import Column, TableOptions, chosen
from relayd.cli.table_options import takes_table_options
from relayd.control import client
from relayd.mail.address import PathError, parse_address
from relayd.ports.view import AddressRow, Query

_ALL = 2**31  # more rows than a queue holds
_COLUMNS = (
    Column(title="ADDRESS", least=16),
    Column(title="STATUS", whole=True),
    Column(title="LAST", whole=True, goes=2),
    Column(title="MESSAGES", whole=True, goes=4, right=True),
    Column(title="HARD", whole=True, goes=3, right=True),
    Column(title="OTHER", whole=True, goes=5, right=True),
    Column(title="SUPPRESS", least=8),
    Column(title="LAST REPLY", goes=1, least=12),
)


class AddressType(click.ParamType[str]):
    name = "address"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        try:
            return str(parse_address(str(value)))
        except PathError as error:
            self.fail(f"{value!r} is no address: {error}", param, ctx)


@click.command()
@takes_query("recipient", "domain", "status", "bounce_class", "since")
@limit_option
@takes_table_options(_COLUMNS)
@click.option(
    "--unsuppress", type=AddressType(), help="Lift the suppression: only bounces from now on count."
)
@json_option
@settings_option()
def addresses(
    *, query: Query, limit: int | None, table: TableOptions, unsuppress: str | None, as_json: bool
) -> None:
    """Show addresses that mail went to: which ones bounced, and which are suppressed.

    There is one row per address. It has the last status, how often mail bounced, and whether the address is suppressed.
    """
    if unsuppress is not None:
        _unsuppress(unsuppress, query, as_json=as_json)
        return
    with open_view() as view:
        rows = view.addresses(query, limit=rows_wanted(limit, as_json=as_json) or _ALL)
    if as_json:
        for row in rows:
            show_json(_fields(row))
    else:
        times, places = times_for(table), chosen(_COLUMNS, table)
        show_table(
            [column for _, column in places],
            (
                [cells[place] for place, _ in places]
                for cells in (_cells(row, times) for row in rows)
            ),
            newest_first=True,
        )


def _unsuppress(address: str, query: Query, *, as_json: bool) -> None:
    if query != Query():
        raise click.UsageError("--unsuppress takes one address, and no filter.")
    if not client.unsuppress(load_settings().control_socket, address):
        raise NoSuch(f"{address} is not suppressed")
    if as_json:
        show_json({"rcpt": address, "suppress": False})
    else:
        click.echo(f"unsuppressed {address}")


def _fields(row: AddressRow) -> dict[str, object]:
    return {
        "rcpt": row.address,
        "status": row.last_status,
        "ts": row.last_at,
        "messages": row.messages,
        "hard_bounces": row.hard_bounces,
        "other_bounces": row.other_bounces,
        "suppress": row.suppress,
        "suppress_for": row.suppress_for or None,
        "reply": row.last_reply,
    }


def _cells(row: AddressRow, times: Times) -> tuple[str, ...]:
    return (
        row.address,
        row.last_status.value,
        times.past(row.last_at),
        str(row.messages),
        str(row.hard_bounces),
        str(row.other_bounces),
        _suppress(row),
        row.last_reply or "",
    )


def _suppress(row: AddressRow) -> str:
    if row.suppress_for:
        return "for " + ", ".join(row.suppress_for)
    return "yes" if row.suppress else "no"
