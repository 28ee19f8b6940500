"""`relayd console key`: keys of programs that use the API."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from functools import partial
from ipaddress import IPv4Network, IPv6Network, ip_network

import click

from relayd.answers.people import KEY_FIELDS, key_fields
from relayd.cli.ages import Times
from relayd.cli.completing import complete_api_keys
from relayd.cli.console.asking import ListType, NameType, ask, tell
from relayd.cli.console.listing import Listing
from relayd.cli.context import NoSuch, json_option, now, open_view, settings_option
from relayd.cli.filters import DurationType
from relayd.cli.group import Group
from relayd.cli.output import Form, show_json
from relayd.cli.row_options import takes_row_options
from relayd.cli.table import Column, TableOptions
from relayd.cli.table_options import takes_table_options
from relayd.control.people import (
    NewKey,
    add_key_to_json,
    change_key_to_json,
    drop_key_to_json,
)
from relayd.mail.account import parse_sender
from relayd.policy.console.roles import Scope
from relayd.ports.people import ApiKey, Sees

_COLUMNS = (
    Column(title="KEY", least=12),
    Column(title="ID", whole=True),
    Column(title="SCOPES", least=8),
    Column(title="SEES", whole=True, goes=3),
    Column(title="SENDERS", goes=2, least=8),
    Column(title="NETWORKS", goes=1, least=8),
    Column(title="STATE", whole=True),
    Column(title="LAST USED", whole=True, goes=5),
    Column(title="EXPIRES", whole=True, goes=4),
)

_which = click.argument("which", metavar="NAME|ID", shell_complete=complete_api_keys)


def _scope(text: str) -> Scope:
    try:
        return Scope(text)
    except ValueError:
        raise ValueError(f"{text!r} is not one of {', '.join(Scope)}") from None


@click.group(cls=Group)
@settings_option()
def key() -> None:
    """Manage the keys of programs that use the API."""


@key.command()
@click.argument("name", type=NameType())
@click.option(
    "--scopes",
    type=ListType("scopes", _scope),
    required=True,
    metavar="A,B",
    help=f"What it may do: {', '.join(Scope)}.",
)
@click.option(
    "--senders",
    type=ListType("senders", parse_sender),
    default=(),
    metavar="A,@DOMAIN",
    help="The senders that it may use; without it any.",
)
@click.option(
    "--networks",
    type=ListType("networks", ip_network),
    default=(),
    metavar="NETWORK,NETWORK",
    help="Where it may be used from; without it anywhere.",
)
@click.option(
    "--per-minute", type=click.IntRange(min=1), metavar="N", help="Requests that it may make."
)
@click.option(
    "--sees",
    type=click.Choice([each.value for each in Sees]),
    default=Sees.OWN.value,
    show_default=True,
    help="Whether it is about its own messages, or about all.",
)
@click.option("--expires", type=DurationType(), metavar="365d", help="It can be used for so long.")
@json_option
@settings_option()
def add(
    name: str,
    *,
    scopes: Sequence[Scope],
    senders: Sequence[str],
    networks: Sequence[IPv4Network | IPv6Network],
    per_minute: int | None,
    sees: str,
    expires: timedelta | None,
    as_json: bool,
) -> None:
    """Add a key, and print it.

    It is shown only this once: relayd keeps a hash of it. Submit hands in messages, read sees queue and history,
    operate acts on mail, admin changes settings, accounts and keys. Content, on top of these, reads what mail says.
    """
    if not scopes:
        raise click.UsageError("Say what it may do: --scopes.")
    new = NewKey(
        name=name,
        scopes=frozenset(scopes),
        senders=tuple(senders),
        networks=tuple(networks),
        requests_per_minute=per_minute or 0,
        sees=Sees(sees),
        expires_at=None if expires is None else now() + expires,
    )
    reply = ask(
        add_key_to_json(new), otherwise=f"there is a key {name} already: relayd console key list"
    )
    if as_json:
        show_json({"name": name, "id": reply["id"], "key": reply["key"]})
        return
    click.echo(reply["key"])
    click.echo("relayd: this is the whole key, which is not shown again", err=True)


@key.command("set")
@_which
@click.option("--disable/--enable", "disabled", required=True, help="Whether it can be used.")
@json_option
@settings_option()
def set_(which: str, *, disabled: bool, as_json: bool) -> None:
    """Disable a key, or enable it again."""
    found = _find(which)
    ask(change_key_to_json(found.id, disabled=disabled), otherwise=_no_key(which))
    tell("changed", found.name, as_json=as_json)


@key.command()
@_which
@json_option
@settings_option()
def remove(which: str, *, as_json: bool) -> None:
    """Remove a key: from now on it is nobody's."""
    found = _find(which)
    ask(drop_key_to_json(found.id), otherwise=_no_key(which))
    tell("removed", found.name, as_json=as_json)


@key.command("list")
@takes_row_options
@takes_table_options(_COLUMNS)
@settings_option()
def list_keys(*, form: Form, table: TableOptions) -> int:
    """Show the keys, what each may do, and when it was used."""
    with open_view() as view:
        keys = view.people.keys()
    listing = Listing(
        columns=_COLUMNS,
        cells=partial(_cells, at=now()),
        names=KEY_FIELDS,
        fields=key_fields,
        none="there are no API keys",
    )
    return listing.show(keys, form, table)


def _cells(each: ApiKey, times: Times, *, at: datetime) -> tuple[str, ...]:
    is_over = each.expires_at is not None and each.expires_at <= at
    return (
        each.name,
        each.id,
        ", ".join(sorted(each.scopes)),
        each.sees.value,
        ", ".join(each.senders) or "any",
        ", ".join(map(str, each.networks)) or "any",
        "disabled" if each.disabled else "expired" if is_over else "",
        times.past(each.last_used_at) or "never",
        (times.past if is_over else times.coming)(each.expires_at) or "never",
    )


def _find(which: str) -> ApiKey:
    with open_view() as view:
        keys = view.people.keys()
    found = next((each for each in keys if which in (each.name, each.id)), None)
    if found is None:
        raise NoSuch(_no_key(which))
    return found


def _no_key(which: str) -> str:
    return f"there is no key {which}: relayd console key list"
