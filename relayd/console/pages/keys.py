"""Keys of programs that use the API, for admins. A key is shown whole once, when it is made."""

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from functools import partial
from ipaddress import ip_network
from typing import TypeVar

from starlette.datastructures import QueryParams
from starlette.exceptions import HTTPException
from starlette.responses import Response

from relayd.console.asked import Asked
from relayd.control import client
from relayd.control.people import (
    NewKey,
    add_key_to_json,
    change_key_to_json,
    drop_key_to_json,
)
from relayd.control.protocol import Message
from relayd.mail.account import parse_sender
from relayd.policy.console.names import parse_name
from relayd.policy.console.roles import Scope
from relayd.ports.people import ApiKey, Sees

T = TypeVar("T")
_MOST_DAYS = 3650
_MOST_PER_MINUTE = 100_000


async def show(asked: Asked) -> Response:
    return await _list(asked)


async def add(asked: Asked) -> Response:
    """Make a key, and show it: nobody can be told again."""
    key = NewKey(
        name=_read(asked.needed("name", "the name"), parse_name, "the name"),
        scopes=frozenset(_each(asked.texts("scope"), Scope, "a scope")),
        senders=_each(_words(asked, "senders"), parse_sender, "a sender"),
        networks=_each(_words(asked, "networks"), ip_network, "a network"),
        requests_per_minute=_number(asked, "per_minute", _MOST_PER_MINUTE) or 0,
        sees=_read(asked.text("sees") or Sees.OWN, Sees, "what it sees"),
        expires_at=_expires_at(asked),
    )
    if not key.scopes:
        raise HTTPException(400, "a key without a scope may do nothing: choose at least one")
    answer = await asked.change(partial(client.ask, request=add_key_to_json(key)))
    if answer.get("done") is not True:
        raise HTTPException(409, f"there is a key {key.name} already")
    return await _list(asked, fresh=str(answer.get("key", "")), name=key.name)


async def change(asked: Asked) -> Response:
    """Disable a key, or enable it again."""
    request = change_key_to_json(
        asked.needed("id", "the key"), disabled=asked.text("disabled") == "1"
    )
    return await _changed(asked, request, "key_changed")


async def remove(asked: Asked) -> Response:
    return await _changed(asked, drop_key_to_json(asked.needed("id", "the key")), "key_removed")


async def _list(asked: Asked, *, fresh: str = "", name: str = "") -> Response:
    keys: Sequence[ApiKey] = await asked.ask(lambda view: view.people.keys())
    return asked.page(
        "keys.html",
        keys=keys,
        fresh=fresh,
        name=name,
        scopes=tuple(Scope),
        sees=[(each.value, each.value) for each in Sees],
    )


async def _changed(asked: Asked, request: Message, done: str) -> Response:
    answer = await asked.change(partial(client.ask, request=request))
    if answer.get("done") is not True:
        raise HTTPException(409, "there is no such key any more")
    return asked.done("/keys", QueryParams(), done)


def _words(asked: Asked, name: str) -> Sequence[str]:
    """Return what is divided by commas or blanks."""
    return asked.text(name).replace(",", " ").split()


def _each(texts: Sequence[str], read: Callable[[str], T], what: str) -> tuple[T, ...]:
    return tuple(_read(text, read, what) for text in texts)


def _read(text: str, read: Callable[[str], T], what: str) -> T:
    try:
        return read(text)
    except ValueError as wrong:
        raise HTTPException(400, f"{text!r} is not {what}: {wrong}") from wrong


def _number(asked: Asked, name: str, most: int) -> int | None:
    """Return a number from 1 on; None if none is given."""
    if not (text := asked.text(name)):
        return None
    if not text.isdecimal() or not 1 <= int(text[:9]) <= most:
        raise HTTPException(400, f"{text!r} is not a number from 1 to {most}")
    return int(text)


def _expires_at(asked: Asked) -> datetime | None:
    days = _number(asked, "days", _MOST_DAYS)
    return None if days is None else asked.now + timedelta(days=days)
