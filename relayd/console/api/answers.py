"""Answers as JSON, and lists page by page.

A cursor says where a list goes on. It is signed for the key that asked and for what was asked, so it can be used
for nothing else, and nobody has a reason to write one.
"""

import binascii
import hashlib
import hmac
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Annotated
from urllib.parse import urlencode

import orjson
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from relayd.console.api.caller import Caller
from relayd.console.api.problems import wrong
from relayd.mail.words import format_instant

_SIGNED = 16  # octets
_PAGED = ("cursor", "limit")


class Paged(BaseModel):
    """Which part of a list is asked for."""

    model_config = ConfigDict(extra="forbid")

    limit: Annotated[int, Field(ge=1, le=500)] = 50
    cursor: Annotated[str, Field(max_length=500, description="`next` of the page before")] = ""


def answer(
    told: object, *, status: int = 200, headers: Mapping[str, str] | None = None
) -> Response:
    """Return JSON; instants are as in the status log."""
    body = orjson.dumps(told, default=_plain, option=orjson.OPT_PASSTHROUGH_DATETIME)
    return Response(body, status, headers, "application/json")


def page(
    caller: Caller, name: str, rows: Sequence[object], place: Sequence[int | str] | None
) -> Response:
    """Return a page of a list; `place`: where it goes on, None: it is the last."""
    if place is None:
        return answer({name: rows, "next": None})
    cursor = seal(caller, place, about=_about(caller))
    kept = [each for each in caller.request.query_params.multi_items() if each[0] != "cursor"]
    link = "?" + urlencode([*kept, ("cursor", cursor)])
    headers = {"Link": f'<{link}>; rel="next"'}
    return answer({name: rows, "next": cursor}, headers=headers)


def place_in(caller: Caller, cursor: str) -> list[int | str] | None:
    """Return where a page begins, None: at the begin. Raises Problem for a cursor of something else."""
    return unseal(caller, cursor, about=_about(caller)) if cursor else None


def seal(caller: Caller, place: Sequence[int | str], *, about: str) -> str:
    """Return a cursor for a place in what `about` names."""
    body = orjson.dumps(list(place))
    return urlsafe_b64encode(_signature(caller, about, body) + body).decode().rstrip("=")


def unseal(caller: Caller, cursor: str, *, about: str) -> list[int | str]:
    """Return the place. Raises Problem."""
    try:
        octets = urlsafe_b64decode(cursor.encode("ascii") + b"=" * (-len(cursor) % 4))
    except (binascii.Error, UnicodeEncodeError, ValueError):
        octets = b""
    signature, body = octets[:_SIGNED], octets[_SIGNED:]
    if not hmac.compare_digest(signature, _signature(caller, about, body)):
        raise wrong("cursor", "it is of another list, or of another key", "`next` of a page before")
    place: list[int | str] = orjson.loads(body)
    return place


def _about(caller: Caller) -> str:
    """What a list is of: the resource and its filters."""
    given = caller.request.query_params.multi_items()
    return f"{caller.request.url.path}?{urlencode(sorted(x for x in given if x[0] not in _PAGED))}"


def _signature(caller: Caller, about: str, body: bytes) -> bytes:
    signed = b"relayd cursor\0" + about.encode() + b"\0" + body
    return hmac.new(caller.key.secret_hash, signed, hashlib.sha256).digest()[:_SIGNED]


def _plain(value: object) -> str:
    return format_instant(value) if isinstance(value, datetime) else str(value)
