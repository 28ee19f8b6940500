"""Handing in a message: the answer is 202 only once the daemon has it on its disk.

The daemon takes it by SMTP and checks it as any client's mail. With an `Idempotency-Key` the same request may be made
again: the key is written with the message, so there is one message however often it was asked for.
"""

import asyncio
import hashlib
import re
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, nullcontext
from functools import partial
from typing import Annotated, assert_never

import orjson
from fastapi import Depends, Header, Query
from pydantic import BaseModel, ConfigDict, Field
from starlette.requests import Request
from starlette.responses import Response

from relayd.answers.recipients import recipients_of
from relayd.console.api.answers import answer
from relayd.console.api.caller import Caller, Needs
from relayd.console.api.filters import bare_address, read
from relayd.console.api.problems import Problem, wrong
from relayd.console.api.resource import PREFIX, resources
from relayd.console.api.senders import Named, check_content, check_senders
from relayd.console.api.shapes import submissions as shapes
from relayd.console.compose import compose
from relayd.console.intake import (
    Answered,
    KeyUsed,
    OutcomeUnknown,
    Postponed,
    Queued,
    Refused,
    Result,
    Submission,
    Unreachable,
    submit,
)
from relayd.console.json_fields import BadFields
from relayd.console.limits import BODY_LIMIT, read_body
from relayd.console.mail_fields import Mail, Mailbox, read_mail
from relayd.errors import StoreError
from relayd.mail.address import Address, parse_address
from relayd.mail.header import header_end
from relayd.mail.ids import parse_id
from relayd.mail.once import Once
from relayd.policy.console.roles import Scope

PATH = f"{PREFIX}/messages"
router = resources("messages")
_Submitter = Annotated[Caller, Depends(Needs(Scope.SUBMIT, own=True))]
_AT_ONCE = 8  # messages that are handed over; and large ones that are read
_JSON, _RFC822 = "application/json", "message/rfc822"
_LARGER = 1.4  # a body than what it says: base64
_LATER = {"Retry-After": "30"}
_TAG = re.compile(rb"^X-Relayd-Tag[ \t]*:", re.IGNORECASE | re.MULTILINE)
_BODY = {
    "requestBody": {
        "required": True,
        "content": {
            _JSON: {"schema": {"$ref": "#/components/schemas/NewMessage"}},
            _RFC822: {},
        },
    }
}


class Submitting:
    """What all who hand in messages share."""

    def __init__(self) -> None:
        self.places = asyncio.Semaphore(_AT_ONCE)  # of small ones
        self.making = asyncio.Semaphore(1)  # a large one: JSON may take tens of times its size
        self._large = asyncio.Semaphore(_AT_ONCE)
        self._of_key: dict[str, asyncio.Semaphore] = {}

    @asynccontextmanager
    async def place(self, request: Request, *, key: str) -> AsyncIterator[bool]:
        """Give a request its place, from its first octet to its answer; tell whether it is large.

        Few large ones are in memory, and a slow one delays no small one. Those of one key have half of the places at
        most, so that no key keeps out the others.
        """
        length = request.headers.get("content-length", "")
        if length.isdecimal() and int(length) <= BODY_LIMIT:
            yield False
            return
        own = self._of_key.setdefault(key, asyncio.Semaphore(_AT_ONCE // 2))
        async with own, self._large:  # in this order: who waits for its own place has no other
            yield True


class Envelope(BaseModel):
    """Of `message/rfc822`; JSON says it in the body."""

    model_config = ConfigDict(extra="forbid")

    from_: Annotated[str | None, Field(alias="from", max_length=1000)] = None
    rcpt: Annotated[
        list[Annotated[str, Field(min_length=1, max_length=320)]] | None, Field(max_length=100)
    ] = None
    tag: Annotated[str, Field(max_length=200)] = ""


@router.post(
    "/messages",
    status_code=202,
    response_model=shapes.Submitted,
    openapi_extra=_BODY,
)
async def hand_in(
    envelope: Annotated[Envelope, Query()],
    caller: _Submitter,
    idempotency_key: Annotated[str | None, Header(min_length=1, max_length=255)] = None,
) -> Response:
    """Hand in a message: JSON, or `message/rfc822` with `from`, `rcpt` and `tag` in the query string.

    202 says that it is in the queue. With the header `Idempotency-Key` the same request can be made again within 24 hours, and
    is answered with the first message.
    """
    if len(caller.request.headers.getlist("idempotency-key")) > 1:
        raise wrong("Idempotency-Key", "it is there more than once")
    submitting: Submitting = caller.request.app.state.submitting
    kind = caller.media_type
    if kind not in (_JSON, _RFC822):
        raise Problem(415, f"a message is {_JSON} or {_RFC822}")
    settings = caller.console.settings
    make = _of_fields if kind == _JSON else _of_octets
    async with submitting.place(caller.request, key=caller.key.id) as is_large:
        most = int(settings.limits.message_size * _LARGER) if is_large else BODY_LIMIT
        body = await read_body(caller.request, most)
        async with submitting.making if is_large else nullcontext():
            path, recipients, content = await asyncio.to_thread(
                make, body, envelope, caller.key.senders
            )
        message = Submission(
            reverse_path=path,
            recipients=recipients,
            content=content,
            client=caller.behalf.client,
            by=caller.name,
            once=_once(caller, idempotency_key, kind, body) if idempotency_key else None,
        )
        async with nullcontext() if is_large else submitting.places:
            result = await submit(settings.console_smtp, message)
    return await _told(result, caller, has_key=bool(idempotency_key))


def _of_fields(
    body: bytes, envelope: Envelope, senders: tuple[str, ...]
) -> tuple[Address | None, Sequence[Address], bytes]:
    """Make a message of JSON. Raises Problem."""
    if envelope != Envelope():
        raise wrong("query", "JSON says in the body from whom and to whom it is")
    try:
        given = orjson.loads(body.decode())
    except UnicodeDecodeError as error:
        words = (
            f"the body is not UTF-8 (octet {error.start + 1}); it is not taken compressed either"
        )
        raise Problem(400, words) from error
    except orjson.JSONDecodeError as error:
        raise Problem(400, f"the body is not JSON: {error}") from error
    try:
        mail = read_mail(given)
    except BadFields as error:
        mistakes = [
            {"where": each.where, "message": "it is wrong", "expected": each.expected}
            for each in error.wrong
        ]
        raise Problem(422, str(error), errors=mistakes) from error
    check_senders(_named_in(mail), senders)
    return mail.reverse_path, mail.recipients, compose(mail)


def _of_octets(
    body: bytes, envelope: Envelope, senders: tuple[str, ...]
) -> tuple[Address | None, Sequence[Address], bytes]:
    """Take a message as it is, with lines that end in CRLF. Raises Problem."""
    if envelope.from_ is None or not envelope.rcpt:
        missing = "from" if envelope.from_ is None else "rcpt"
        raise wrong(missing, "it is missing", "from and rcpt in the query string")
    if not envelope.tag.isprintable():
        raise wrong("tag", "it has control characters")
    path = None if envelope.from_ in ("", "<>") else _address("from", envelope.from_)
    check_senders([("from", path)], senders)
    recipients = [_address("rcpt", each) for each in envelope.rcpt]
    if not body.strip():
        raise wrong("body", "it is empty", "a message")
    content = body.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")
    if envelope.tag and _TAG.search(content, 0, header_end(content)):
        raise wrong("tag", "the message has an X-Relayd-Tag of its own", "one of both")
    if not content.endswith(b"\r\n"):
        content += b"\r\n"
    check_content(content, senders)
    if envelope.tag:
        content = f"X-Relayd-Tag: {envelope.tag}\r\n".encode() + content
    return path, recipients, content


def _address(name: str, text: str) -> Address:
    address: Address = read(name, parse_address, bare_address(text))
    return address


def _named_in(mail: Mail) -> Iterator[Named]:
    """Yield the addresses that a message is from, by its fields and its envelope."""
    yield "from", mail.author.address
    yield "envelope.from", mail.reverse_path
    for name, value in mail.headers:
        if name.lower() == "sender":
            yield from (
                (f"headers.{name}", each.address) for each in value if isinstance(each, Mailbox)
            )


def _once(caller: Caller, idempotency_key: str, kind: str, body: bytes) -> Once:
    """Return what makes this request the same as another one: key, and all that it asks for."""
    key = f"{caller.key.id}\0{idempotency_key}"
    asked = f"{kind}\0{caller.request.url.query}\0".encode() + body
    return Once(key=hashlib.sha256(key.encode()).digest(), body=hashlib.sha256(asked).digest())


async def _told(result: Result, caller: Caller, *, has_key: bool) -> Response:
    """Answer what became of it. Raises Problem."""
    match result:
        case Queued():
            told = {
                "queue_id": result.queue_id,
                "message_id": await _header_of(result.queue_id, caller),
                "recipients": list(map(_answered, result.recipients)),
            }
            again = {"Idempotency-Replayed": "true"} if result.came_before else {}
            return answer(told, status=202, headers=again)
        case Refused():
            problem = Problem(
                422, str(result.reply), kind="refused", errors=_refusals(result.recipients)
            )
        case Postponed():
            problem = Problem(
                503,
                str(result.reply),
                errors=_refusals(result.recipients),
                headers=_LATER,
            )
        case KeyUsed():
            problem = Problem(
                409,
                "another message came with this Idempotency-Key: a new message needs a new one",
                kind="key-used",
            )
        case Unreachable():
            problem = Problem(503, f"the daemon takes no mail: {result.reason}", headers=_LATER)
        case OutcomeUnknown():
            again_with = "ask again with the same Idempotency-Key"
            look = "look for it in /recipients before you hand it in again"
            problem = Problem(
                504,
                f"the daemon did not say whether it took it ({result.reason}): "
                + (again_with if has_key else look),
                kind="outcome-unknown",
            )
        case _:
            assert_never(result)
    raise problem


async def _header_of(queue_id: str, caller: Caller) -> str | None:
    """Return the Message-ID, which the daemon may have made; None if it cannot be read now."""
    try:
        rows = await caller.ask(partial(recipients_of, message_id=parse_id(queue_id)))
    except StoreError:
        return None
    return rows[0].message_id_header if rows else None


def _answered(each: Answered) -> dict[str, object]:
    reply = each.reply
    return {
        "rcpt": str(each.recipient),
        "status": "queued" if each.is_accepted else "refused",
        "code": reply.code,
        "enhanced": reply.enhanced,
        "reply": str(reply),
    }


def _refusals(recipients: Sequence[Answered]) -> list[dict[str, str]]:
    return [
        {"where": str(each.recipient), "message": str(each.reply)}
        for each in recipients
        if not each.is_accepted
    ]
