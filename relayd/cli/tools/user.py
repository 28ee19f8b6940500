"""`relayd user`: the accounts that clients log in to.

Changes the users file of the settings; a running daemon notices by itself. The settings need not
be right otherwise: they are wrong until there is a first user. A password is never an argument.
"""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from relayd.cli.context import NoSuch, named_settings_file, settings_file, settings_option
from relayd.cli.group import Group
from relayd.cli.output import Form, printable, say_empty, show_fields, show_table
from relayd.cli.passwords import ask_password
from relayd.cli.row_options import takes_row_options
from relayd.cli.table import Column, TableOptions
from relayd.cli.table_options import takes_columns
from relayd.config.peek import DEFAULT_STORE, find_store
from relayd.mail.account import (
    Account,
    AccountError,
    parse_name,
    parse_sender,
    with_account,
    without_account,
)

if TYPE_CHECKING:
    from relayd.accounts.users_file import Change
    from relayd.doctor.service_user import ServiceUser

_COLUMNS = (Column(title="USER", least=16), Column(title="SENDERS"))


class NameType(click.ParamType[str]):
    name = "name"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        try:
            return parse_name(str(value))
        except AccountError as error:
            self.fail(str(error), param, ctx)


class SendersType(click.ParamType[Sequence[str]]):
    name = "senders"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> Sequence[str]:
        try:
            return tuple(parse_sender(each) for each in str(value).split(",") if each)
        except AccountError as error:
            self.fail(str(error), param, ctx)


@click.group(cls=Group)
@settings_option()
def user() -> None:
    """Manage the users that applications log in as."""


@user.command()
@click.argument("name", type=NameType())
@click.option(
    "--senders",
    type=SendersType(),
    metavar="A,@DOMAIN",
    help="The reverse-paths that it may use, separated by commas; empty: any.",
)
@settings_option()
def add(name: str, senders: Sequence[str] | None) -> None:
    """Add a user, or give one a new password.

    On a terminal relayd asks for the password; otherwise it is the first line of standard input. An
    existing user keeps its senders unless --senders is given.
    """
    from relayd.accounts.passwords import hash_password  # noqa: PLC0415

    path, hashed = _path(), hash_password(ask_password())
    was_there = False

    def change(text: str, accounts: Mapping[str, Account]) -> str:
        nonlocal was_there
        old = accounts.get(name)
        was_there = old is not None
        kept = old.senders if old is not None else ()
        wanted = kept if senders is None else tuple(senders)
        return with_account(text, Account(name=name, hash=hashed, senders=wanted))

    _change(path, change)
    _warn_of_service_user(path)
    click.echo(printable(f"{'changed' if was_there else 'added'} {name} in {path}"))


@user.command()
@click.argument("name", type=NameType())
@settings_option()
def remove(name: str) -> None:
    """Remove a user. Its open sessions end with their next message."""
    path = _path()

    def change(text: str, accounts: Mapping[str, Account]) -> str:
        if name not in accounts:
            raise NoSuch(f"there is no user {name} in {path}")
        return without_account(text, name)

    _change(path, change)
    click.echo(printable(f"removed {name} from {path}"))


@user.command("list")
@takes_row_options
@takes_columns(_COLUMNS)
@settings_option()
def list_users(*, form: Form, table: TableOptions) -> int:
    """Show every user, and the senders that it may use."""
    from relayd.accounts.users_file import read_users  # noqa: PLC0415

    accounts = read_users(_path()).values()
    if form is Form.TABLE:
        rows = ((each.name, ", ".join(each.senders) or "any") for each in accounts)
        show_table(_COLUMNS, rows, table=table)
    else:
        fields = ({"auth_user": each.name, "senders": each.senders} for each in accounts)
        show_fields(fields, ("auth_user", "senders"), form)
    if not accounts:
        say_empty("there are no users")
    return len(accounts)


def _path() -> Path:
    from relayd.config.load import users_path  # noqa: PLC0415

    return users_path(settings_file())


def _change(path: Path, change: "Change") -> None:
    from relayd.accounts.users_file import change_users  # noqa: PLC0415

    change_users(path, change, group=_group_for_new())


def _group_for_new() -> int:
    """Return the group of the settings, unless the daemon's user is known and is not in it."""
    try:
        group = Path(settings_file()).stat().st_gid
    except FileNotFoundError:  # all settings are in the environment
        group = os.getegid()
    user = _service_user()
    return group if user is None or group in user.groups else user.gid


def _service_user() -> "ServiceUser | None":
    """Return who runs the daemon; None for who is not root, and can do nothing about it."""
    from relayd.doctor.service_user import service_user  # noqa: PLC0415

    if os.geteuid() != 0:
        return None
    return service_user(find_store(named_settings_file()) or DEFAULT_STORE)


def _warn_of_service_user(path: Path) -> None:
    """Say what to do where the daemon's user cannot read the file, such as one that root made before."""
    from relayd.doctor.service_user import can_read  # noqa: PLC0415

    user = _service_user()
    if user is not None and not can_read(user, path):
        remedy = f"run chgrp {user.group} {path}; chmod g+r {path}; relayd check"
        told = f"{user.name}, who runs relayd, cannot read {path}: {remedy}"
        click.echo(printable(f"relayd: {told}"), err=True)
