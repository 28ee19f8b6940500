"""What happened, in its order: page by page, or as a stream that does not end.

A place in the history is a cursor; so is the id of each event in the stream. Who goes on from the last one that it
has seen misses nothing. Every page is a read of its own, and so is every look of the stream.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import contextmanager
from typing import Annotated

import orjson
import structlog
from fastapi import Depends, Header, Query
from pydantic import AfterValidator, Field, WithJsonSchema
from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Send
from starlette.types import Scope as AsgiScope

from relayd.answers.status_line import status_line
from relayd.console.api.answers import Paged, answer, seal, unseal
from relayd.console.api.caller import Caller, Needs, caller_of
from relayd.console.api.problems import Problem
from relayd.console.api.resource import PREFIX, resources
from relayd.console.api.shapes import messages as shapes
from relayd.errors import StoreError
from relayd.mail.words import EventKind
from relayd.policy.console.roles import Scope
from relayd.ports.people import ApiKey
from relayd.ports.view import NumberedEvent

_log = structlog.get_logger(__name__)
router = resources("events")
_Reader = Annotated[Caller, Depends(Needs(Scope.READ, own=True))]
_PAGE = 500
_PAGES = 20  # that one question looks at
_LOOKS = 1.0  # seconds between two
_CHECKED = (
    15  # looks after which the key is looked up again, and the client hears that the stream lives
)
_ABOUT = "events"
STREAM = f"{PREFIX}/events/stream"
_TOLD = tuple(kind for kind in EventKind if kind not in (EventKind.RECEIVED, EventKind.REFUSED))
_STREAMS = 10  # of one key
_LATER = {"Retry-After": "30"}


class Streams:
    """How many streams each key has open."""

    def __init__(self) -> None:
        self._open: Counter[str] = Counter()

    def check(self, key: ApiKey) -> None:
        """Raise Problem when a key has as many as it may have."""
        if self._open[key.id] >= _STREAMS:
            words = f"the key has {_STREAMS} streams open: close one first"
            raise Problem(429, words, headers=_LATER)

    @contextmanager
    def one(self, key: ApiKey) -> Iterator[None]:
        """Count one more while it is open."""
        self._open[key.id] += 1
        try:
            yield
        finally:
            self._open[key.id] -= 1
            self._open += Counter()  # without those that have none


class _Stream(StreamingResponse):
    """A stream that counts for its key from its begin to its end, however it ends."""

    def __init__(self, caller: Caller, after: int) -> None:
        super().__init__(_lines(caller, after), media_type="text/event-stream")
        self._caller = caller

    async def __call__(self, scope: AsgiScope, receive: Receive, send: Send) -> None:
        with _streams(self._caller).one(self._caller.key):
            await super().__call__(scope, receive, send)


def _streams(caller: Caller) -> Streams:
    streams: Streams = caller.request.app.state.streams
    return streams


def _is_told(kind: EventKind) -> EventKind:
    if kind not in _TOLD:
        raise ValueError(f"{kind} is not told here; these are: {', '.join(_TOLD)}")
    return kind


_Kind = Annotated[
    EventKind,
    AfterValidator(_is_told),
    WithJsonSchema({"type": "string", "enum": [each.value for each in _TOLD]}),
]


class Params(Paged):
    event: Annotated[list[_Kind] | None, Field(min_length=1, max_length=50)] = None


@router.get("/events", response_model=shapes.Events)
async def find(params: Annotated[Params, Query()], caller: _Reader) -> Response:
    """List what happened behind a cursor, oldest first; without one from the first event that is kept.

    `next` is always there: ask with it again for what happens later. A page may be empty though more follow:
    `more` says so. That a message was received is in its own history and in `/recipients`; who was refused is in the status log.
    """
    after = _after(caller, params.cursor) if params.cursor else 0
    kinds = set(params.event or EventKind)
    told: list[NumberedEvent] = []
    found: Sequence[NumberedEvent] = ()
    for _ in range(
        _PAGES
    ):  # those of others do not count: else pages would tell how many there are
        found = await _look(caller, after)
        told += [each for each in found if caller.sees(each.auth_user) and each.kind in kinds]
        after = found[-1].number if found else after
        if len(told) > params.limit or len(found) < _PAGE:
            break
    has_more = len(told) > params.limit
    told = told[: params.limit]
    return answer(
        {
            "events": list(map(_told, told)),
            "next": seal(caller, [told[-1].number if has_more else after], about=_ABOUT),
            "more": has_more or len(found) == _PAGE,
        }
    )


@router.get(
    "/events/stream",
    response_class=StreamingResponse,
    responses={200: {"description": "server-sent events", "content": {"text/event-stream": {}}}},
)
async def stream(
    caller: _Reader,
    last_event_id: Annotated[str, Header(max_length=500)] = "",
) -> Response:
    """Tell what happens from now on, or behind `Last-Event-ID`: each event as `data`, its kind as `event`.

    A key may have 10 streams open.
    """
    if last_event_id:
        after = _after(caller, last_event_id)
    else:
        after = await caller.ask(lambda view: view.last_event())
    _streams(caller).check(caller.key)
    return _Stream(caller, after)


async def _lines(caller: Caller, after: int) -> AsyncIterator[bytes]:
    """Yield events until the key is no longer good, or the store fails: then the client comes again."""
    looks = 0
    yield b": relayd\n\n"
    try:
        while True:
            found = await _look(caller, after)
            if found:
                after = found[-1].number
            for each in found:
                if caller.sees(each.auth_user):
                    yield _sent(caller, each)
            looks += 1
            if len(found) < _PAGE:
                await asyncio.sleep(_LOOKS)
            if looks >= _CHECKED:
                caller = await caller_of(caller.request)
                looks = 0
                yield b": relayd\n\n"
    except (Problem, StoreError):
        return
    except Exception:  # noqa: BLE001 -- nobody above can tell it: the answer has begun
        _log.exception("console_failed", method="GET", path=caller.request.url.path, fault="local")


async def _look(caller: Caller, after: int) -> Sequence[NumberedEvent]:
    return await caller.ask(lambda view: view.events(after=after, limit=_PAGE))


def _sent(caller: Caller, event: NumberedEvent) -> bytes:
    cursor = seal(caller, [event.number], about=_ABOUT)
    return b"id: %b\nevent: %b\ndata: %b\n\n" % (
        cursor.encode(),
        event.kind.encode(),
        orjson.dumps(_told(event)),
    )


def _after(caller: Caller, cursor: str) -> int:
    return int(unseal(caller, cursor, about=_ABOUT)[0])


def _told(event: NumberedEvent) -> dict[str, object]:
    return status_line(event, event.message_id, event, event.address)
