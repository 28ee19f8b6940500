"""Answers as JSON, and lists page by page.

A cursor says where a list goes on. It is sealed for the key that asked and for what was asked, so it can be used
for nothing else, and nobody can write or read one: the place may be that of a message of others.
"""

import binascii
import hashlib
import hmac
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Mapping, Sequence
from datetime import datetime
from operator import xor
from typing import Annotated, Any, NamedTuple
from urllib.parse import urlencode

import orjson
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from relayd.console.api.caller import Caller
from relayd.console.api.problems import wrong
from relayd.console.paging import Part
from relayd.mail.words import format_instant

_SIGNED = 16  # octets
_PAGED = ("cursor", "limit")
_BACK = "back"  # begins a cursor that leads back
Key = Sequence[int | str]


class Paged(BaseModel):
    """Which part of a list is asked for."""

    model_config = ConfigDict(extra="forbid")

    limit: Annotated[int, Field(ge=1, le=500)] = 50
    cursor: Annotated[
        str, Field(max_length=500, description="`next` or `prev` of another page")
    ] = ""


def answer(
    told: object, *, status: int = 200, headers: Mapping[str, str] | None = None
) -> Response:
    """Return JSON; instants are as in the status log."""
    body = orjson.dumps(told, default=_plain, option=orjson.OPT_PASSTHROUGH_DATETIME)
    return Response(body, status, headers, "application/json")


class Place(NamedTuple):
    """Which page of a list is asked for."""

    key: Key | None  # of the row that it goes on from; None: it is the first page
    is_back: bool = False  # it ends there, and does not begin there


def page(
    caller: Caller,
    name: str,
    rows: Sequence[object],
    *,
    prev: Key | None,
    following: Key | None,
) -> Response:
    """Return a page of a list; `prev`, `following`: where those beside it go on from, None: there is none."""
    places = {"prev": None if prev is None else [_BACK, *prev], "next": following}
    cursors = {
        rel: None if place is None else seal(caller, place, about=_about(caller))
        for rel, place in places.items()
    }
    kept = [each for each in caller.request.query_params.multi_items() if each[0] != "cursor"]
    links = [
        f'<?{urlencode([*kept, ("cursor", cursor)])}>; rel="{rel}"'
        for rel, cursor in cursors.items()
        if cursor is not None
    ]
    return answer({name: rows, **cursors}, headers={"Link": ", ".join(links)} if links else None)


def page_of_keys(
    caller: Caller, name: str, rows: Sequence[object], part: Part[Any, Any]
) -> Response:
    """Return the page of a list whose rows have a key."""
    prev, following = (None if key is None else [key] for key in (part.prev, part.next))
    return page(caller, name, rows, prev=prev, following=following)


def place_in(caller: Caller, cursor: str) -> Place:
    """Return which page is asked for. Raises Problem for a cursor of something else."""
    if not cursor:
        return Place(None)
    first, *rest = key = unseal(caller, cursor, about=_about(caller))
    return Place(rest, is_back=True) if first == _BACK else Place(key)


def seal(caller: Caller, place: Key, *, about: str) -> str:
    """Return a cursor for a place in what `about` names."""
    body = orjson.dumps(list(place))
    signature = _signature(caller, about, body)
    return urlsafe_b64encode(signature + _hidden(caller, signature, body)).decode().rstrip("=")


def unseal(caller: Caller, cursor: str, *, about: str) -> list[int | str]:
    """Return the place. Raises Problem."""
    try:
        octets = urlsafe_b64decode(cursor.encode("ascii") + b"=" * (-len(cursor) % 4))
    except (binascii.Error, UnicodeEncodeError, ValueError):
        octets = b""
    signature = octets[:_SIGNED]
    body = _hidden(caller, signature, octets[_SIGNED:])
    if not hmac.compare_digest(signature, _signature(caller, about, body)):
        raise wrong(
            "cursor", "it is of another list, or of another key", "`next` or `prev` of a page"
        )
    place: list[int | str] = orjson.loads(body)
    return place


def _about(caller: Caller) -> str:
    """What a list is of: the resource and its filters."""
    given = caller.request.query_params.multi_items()
    return f"{caller.request.url.path}?{urlencode(sorted(x for x in given if x[0] not in _PAGED))}"


def _signature(caller: Caller, about: str, body: bytes) -> bytes:
    signed = b"relayd cursor\0" + about.encode() + b"\0" + body
    return hmac.digest(caller.seal, signed, hashlib.sha256)[:_SIGNED]


def _hidden(caller: Caller, signature: bytes, body: bytes) -> bytes:
    """Hide a body, or show it again, by octets that its signature chooses (as RFC 5297 does)."""
    mask = hashlib.shake_256(caller.seal + b"\0mask\0" + signature).digest(len(body))
    return bytes(map(xor, body, mask))


def _plain(value: object) -> str:
    return format_instant(value) if isinstance(value, datetime) else str(value)
