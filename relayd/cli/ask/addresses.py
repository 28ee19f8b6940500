"""`relayd addresses`: one row per recipient address: which ones are suppressed, and lifting that.

Lists from the store; lifting goes through the daemon's control socket, for the command never writes
the store itself (F-21).
"""

from typing import Any

import click

from relayd.cli.context import NoSuch, json_option, load_settings, open_view, settings_option
from relayd.cli.filters import limit_option, takes_query
from relayd.cli.listing import rows_wanted
from relayd.cli.output import show_json, show_table
from relayd.control import client
from relayd.mail.address import PathError, parse_address
from relayd.mail.words import instant
from relayd.ports.view import AddressRow, Query

_ALL = 2**31  # more rows than a queue holds
_TITLES = ("ADDRESS", "STATUS", "LAST", "MESSAGES", "HARD", "OTHER", "SUPPRESS", "LAST REPLY")


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
@click.option(
    "--unsuppress", type=AddressType(), help="Lift the suppression: only bounces from now on count."
)
@json_option
@settings_option()
def addresses(*, query: Query, limit: int | None, unsuppress: str | None, as_json: bool) -> None:
    """Show one row per recipient address.

    A row has the last status, how often mail bounced, and whether the address is suppressed.
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
        show_table(_TITLES, (_cells(row) for row in rows))


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


def _cells(row: AddressRow) -> tuple[str, ...]:
    return (
        row.address,
        row.last_status.value,
        instant(row.last_at),
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
