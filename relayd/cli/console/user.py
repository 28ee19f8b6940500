"""`relayd console user`: people who log in to the console. Clients that send mail are `relayd user`."""

import click

from relayd.answers.people import ACCOUNT_FIELDS, account_fields
from relayd.cli.ages import Times
from relayd.cli.completing import complete_people
from relayd.cli.console.asking import NameType, ask, tell
from relayd.cli.console.listing import Listing
from relayd.cli.context import json_option, open_view, settings_option
from relayd.cli.group import Group
from relayd.cli.output import Form
from relayd.cli.passwords import ask_password
from relayd.cli.row_options import takes_row_options
from relayd.cli.table import Column, TableOptions
from relayd.cli.table_options import takes_table_options
from relayd.control.people import (
    NewAccount,
    add_account_to_json,
    change_account_to_json,
    name_to_json,
)
from relayd.policy.console.roles import Role
from relayd.ports.people import Account, AccountChange

_COLUMNS = (
    Column(title="USER", least=12),
    Column(title="ROLE", whole=True),
    Column(title="CONTENT", whole=True, goes=2),
    Column(title="STATE", whole=True),
    Column(title="LAST LOGIN", whole=True, goes=3),
    Column(title="SINCE", whole=True, goes=1),
)
_ROLE = click.Choice([each.value for each in Role])
_new = click.argument("name", type=NameType())
_name = click.argument("name", type=NameType(), shell_complete=complete_people)


@click.group(cls=Group)
@settings_option()
def user() -> None:
    """Manage the people who log in to the console."""


@user.command()
@_new
@click.option("--role", type=_ROLE, required=True, help="What this person may do.")
@click.option("--reads-content", is_flag=True, help="This person may read what mail says.")
@json_option
@settings_option()
def add(name: str, *, role: str, reads_content: bool, as_json: bool) -> None:
    """Add a person.

    A viewer sees queue and history, an operator acts on mail too, and an admin also changes settings, accounts and
    keys. On a terminal relayd asks for the password; otherwise it is the first line of standard input.
    """
    account = NewAccount(
        name=name, role=Role(role), reads_content=reads_content, password_hash=_new_hash()
    )
    ask(
        add_account_to_json(account),
        otherwise=f"there is a user {name} already: relayd console user set changes it",
    )
    tell("added", name, as_json=as_json)


@user.command("set")
@_name
@click.option("--role", type=_ROLE, help="What this person may do.")
@click.option(
    "--reads-content/--no-reads-content", default=None, help="Whether to read what mail says."
)
@click.option("--disable/--enable", "disabled", default=None, help="Whether to keep them out.")
@json_option
@settings_option()
def set_(
    name: str,
    *,
    role: str | None,
    reads_content: bool | None,
    disabled: bool | None,
    as_json: bool,
) -> None:
    """Change what a person may do. Whatever changes, the person has to log in anew."""
    change = AccountChange(
        role=None if role is None else Role(role), reads_content=reads_content, disabled=disabled
    )
    if change == AccountChange():
        raise click.UsageError(
            "Say what to change: --role, --reads-content, --no-reads-content, --disable or --enable."
        )
    ask(change_account_to_json(name, change), otherwise=_no_user(name))
    tell("changed", name, as_json=as_json)


@user.command()
@_name
@json_option
@settings_option()
def password(name: str, *, as_json: bool) -> None:
    """Give a person a new password. Open sessions of that person end.

    On a terminal relayd asks for it; otherwise it is the first line of standard input.
    """
    change = AccountChange(password_hash=_new_hash())
    ask(change_account_to_json(name, change), otherwise=_no_user(name))
    tell("changed", name, as_json=as_json)


@user.command()
@_name
@json_option
@settings_option()
def remove(name: str, *, as_json: bool) -> None:
    """Remove a person. Open sessions of that person end."""
    ask(name_to_json("people.drop_account", name), otherwise=_no_user(name))
    tell("removed", name, as_json=as_json)


@user.command("list")
@takes_row_options
@takes_table_options(_COLUMNS)
@settings_option()
def list_users(*, form: Form, table: TableOptions) -> int:
    """Show who may log in to the console, as what, and who did when."""
    with open_view() as view:
        accounts = view.people.accounts()
    listing = Listing(
        columns=_COLUMNS,
        cells=_cells,
        names=ACCOUNT_FIELDS,
        fields=account_fields,
        none="there are no users of the console",
    )
    return listing.show(accounts, form, table)


def _cells(account: Account, times: Times) -> tuple[str, ...]:
    return (
        account.name,
        account.role.value,
        "reads" if account.reads_content else "",
        "disabled" if account.disabled else "",
        times.past(account.last_login_at) or "never",
        times.past(account.created_at),
    )


def _new_hash() -> str:
    from relayd.accounts.passwords import hash_password  # noqa: PLC0415 -- few of the commands need it

    return hash_password(ask_password())


def _no_user(name: str) -> str:
    return f"there is no user {name} of the console"
