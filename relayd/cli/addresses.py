"""`relayd addresses`: one row per recipient address, to see which ones to suppress."""

import click

from relayd.cli.context import json_option, open_view, settings_option
from relayd.cli.filters import limit_option, takes_query
from relayd.cli.output import instant, show_json, show_table
from relayd.ports import AddressRow, Query

_ALL = 2**31  # more rows than a queue holds
_TITLES = ("ADDRESS", "STATUS", "LAST", "MESSAGES", "HARD", "OTHER", "SUPPRESS", "LAST REPLY")


@click.command()
@takes_query("recipient", "domain", "status", "bounce_class", "since")
@limit_option
@json_option
@settings_option()
def addresses(*, query: Query, limit: int, as_json: bool) -> None:
    """Show one row per recipient address.

    Its last status, how often it bounced, and whether to suppress it.
    """
    with open_view() as view:
        rows = view.addresses(query, limit=limit or _ALL)
    if as_json:
        for row in rows:
            show_json(_fields(row))
    else:
        show_table(_TITLES, (_cells(row) for row in rows))


def _fields(row: AddressRow) -> dict[str, object]:
    return {
        "rcpt": row.address,
        "status": row.last_status,
        "ts": row.last_at,
        "messages": row.messages,
        "hard_bounces": row.hard_bounces,
        "other_bounces": row.other_bounces,
        "suppress": row.suppress,
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
        "yes" if row.suppress else "no",
        row.last_reply or "",
    )
