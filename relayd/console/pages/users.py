"""Users: the accounts of people who log in, for admins."""

import asyncio
from collections.abc import Mapping
from functools import partial

from starlette.datastructures import QueryParams
from starlette.exceptions import HTTPException
from starlette.responses import Response

from relayd.accounts.passwords import hash_password
from relayd.console.asked import Asked
from relayd.control import client
from relayd.control.people import (
    NewAccount,
    add_account_to_json,
    change_account_to_json,
    name_to_json,
)
from relayd.control.protocol import Message
from relayd.policy.console import sessions
from relayd.policy.console.names import parse_name
from relayd.policy.console.roles import Role
from relayd.ports.people import Account, AccountChange
from relayd.ports.view import QueueView

_SHORTEST = 8  # characters of a password
_LONGEST = 1024  # octets


async def show(asked: Asked) -> Response:
    """List the accounts, and who of them is logged in."""
    accounts, opened = await asked.ask(partial(_find, asked))
    return asked.page("users.html", accounts=accounts, opened=opened, roles=tuple(Role))


async def show_one(asked: Asked) -> Response:
    """One account, and what can be changed about it."""
    name = asked.request.path_params["name"]
    account = await asked.ask(lambda view: view.people.account(name))
    if account is None:
        raise HTTPException(404, f"There is no user {name}.")
    return asked.page(
        "user.html",
        account=account,
        roles=[(each.value, each.value) for each in Role],
        is_own=name == asked.who.name,
    )


async def add(asked: Asked) -> Response:
    """Add an account."""
    account = NewAccount(
        name=_name(asked),
        role=_role(asked),
        reads_content=bool(asked.text("reads_content")),
        password_hash=await new_hash(asked),
    )
    await _ask(asked, add_account_to_json(account), f"there is a user {account.name} already")
    return asked.done("/users", QueryParams(), "user_added")


async def change(asked: Asked) -> Response:
    """Change rights, or disable and enable. Its sessions end."""
    name = _other(asked)
    wanted = AccountChange(
        role=_role(asked),
        reads_content=bool(asked.text("reads_content")),
        disabled=bool(asked.text("disabled")),
    )
    await _ask(asked, change_account_to_json(name, wanted), f"there is no user {name}")
    return asked.done(f"/users/{name}", QueryParams(), "user_changed")


async def set_password(asked: Asked) -> Response:
    """Give an account a new password. Its sessions end, one's own too."""
    name = _name(asked)
    wanted = AccountChange(password_hash=await new_hash(asked))
    await _ask(asked, change_account_to_json(name, wanted), f"there is no user {name}")
    return asked.done(f"/users/{name}", QueryParams(), "user_changed")


async def sign_out(asked: Asked) -> Response:
    """End all sessions of an account."""
    name = _name(asked)
    request = name_to_json("people.end_sessions", name)
    await _ask(asked, request, f"{name} is not logged in")
    return asked.done("/users", QueryParams(), "signed_out")


async def remove(asked: Asked) -> Response:
    """Remove an account. What it did stays in the audit."""
    name = _other(asked)
    await _ask(asked, name_to_json("people.drop_account", name), f"there is no user {name}")
    return asked.done("/users", QueryParams(), "user_removed")


def _find(asked: Asked, view: QueueView) -> tuple[list[Account], Mapping[str, int]]:
    accounts = list(view.people.accounts())
    now = asked.now
    opened = {
        each.name: sum(
            sessions.judge(one.begun_at, one.seen_at, now=now) is sessions.Verdict.VALID
            for one in view.people.sessions(each.name)
        )
        for each in accounts
    }
    return accounts, opened


async def _ask(asked: Asked, request: Message, otherwise: str) -> None:
    answer = await asked.change(partial(client.ask, request=request))
    if answer.get("done") is not True:
        raise HTTPException(409, otherwise)


def _name(asked: Asked) -> str:
    try:
        return parse_name(asked.needed("name", "the name"))
    except ValueError as wrong:
        raise HTTPException(400, str(wrong)) from wrong


def _other(asked: Asked) -> str:
    """Return the account that is meant: nobody takes rights from himself by mistake."""
    if (name := _name(asked)) == asked.who.name:
        raise HTTPException(409, "this is your own account: ask another admin, or root")
    return name


def _role(asked: Asked) -> Role:
    try:
        return Role(asked.text("role"))
    except ValueError as wrong:
        raise HTTPException(400, f"the role is one of {', '.join(Role)}") from wrong


def new_password(asked: Asked) -> str:
    """Return the new password in a form. Raises HTTPException if it is none."""
    password = str(asked.form.get("password", ""))
    if len(password) < _SHORTEST or len(password.encode()) > _LONGEST or not password.isprintable():
        raise HTTPException(
            400,
            f"a password has {_SHORTEST} characters or more, at most {_LONGEST} octets, and no control characters",
        )
    return password


async def new_hash(asked: Asked) -> str:
    """Return the hash of the new password in a form. Raises as `new_password`."""
    return await asyncio.to_thread(hash_password, new_password(asked))
