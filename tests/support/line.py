"""A session with both its ends in hand, on a clock moved by hand: no socket, no waiting."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import timedelta
from ipaddress import ip_network
from typing import Any, cast

from relayd.policy.intake.origin import Origin
from relayd.receiver import wire
from relayd.receiver.context import SessionContext
from relayd.receiver.work import Spawn
from relayd.settings import LimitSettings, LineEndings, ListenerSettings
from tests.support.clock import START, FakeClock
from tests.support.receiving import MemoryIntake

LISTENER = ListenerSettings(
    address="test", networks=(ip_network("127.0.0.0/8"),), line_endings=LineEndings.REJECT
)
LIMITS = LimitSettings(
    message_size=1_000_000,
    recipients=100,
    connections=10,
    connections_per_client=10,
    stop_within=timedelta(seconds=8),
)


@dataclass(slots=True)
class Timer:
    when: float
    callback: Callable[[], None]
    is_cancelled: bool = False

    def cancel(self) -> None:
        self.is_cancelled = True


@dataclass(slots=True)
class ManualLoop:
    """What a session asks of an event loop: the time, and to be called later."""

    now: float = 1000.0
    timers: list[Timer] = field(default_factory=list)

    def time(self) -> float:
        return self.now

    def call_at(self, when: float, callback: Callable[[], None]) -> Timer:
        self.timers.append(timer := Timer(when, callback))
        return timer

    def advance(self, seconds: float) -> None:
        """Let time pass, and every timer fire at its instant."""
        end = self.now + seconds
        while due := [one for one in self.timers if one.when <= end and not one.is_cancelled]:
            timer = min(due, key=lambda one: one.when)
            self.timers.remove(timer)
            self.now = max(self.now, timer.when)
            timer.callback()
        self.now = end


@dataclass(slots=True)
class ManualTransport:
    """Remembers each write by itself."""

    written: list[bytes] = field(default_factory=list)
    is_closing: bool = False
    is_aborted: bool = False
    paused: bool = False

    def write(self, data: bytes) -> None:
        assert not self.is_closing
        self.written.append(data)

    def get_extra_info(self, name: str) -> object:
        return {"ssl_object": None, "peername": ("127.0.0.1", 50000)}[name]

    def close(self) -> None:
        self.is_closing = True

    def abort(self) -> None:
        self.is_aborted = self.is_closing = True

    def pause_reading(self) -> None:
        self.paused = True

    def resume_reading(self) -> None:
        self.paused = False

    def reads(self) -> bool:
        return not self.paused


class Line:
    """A session with both its ends in hand."""

    def __init__(self, *, spawn: Spawn | None = None, **given: Any) -> None:
        self.loop = ManualLoop()
        self.intake = MemoryIntake(FakeClock())
        self.closed: list[wire.Wire] = []
        context = SessionContext(
            fqdn="relay.test",
            listener=LISTENER,
            limits=LIMITS,
            intake=self.intake,
            now=lambda: START,
            monotonic=lambda: 0.0,
            may_send=lambda _whose: True,
        )
        surroundings = wire.Surroundings(
            loop=cast("asyncio.AbstractEventLoop", self.loop),
            spawn=spawn or (lambda coroutine: coroutine.close()),
            on_changed=lambda _session, _whose: True,
            on_close=self.closed.append,
        )
        context = replace(context, **given)
        self.session = wire.Wire(context, surroundings, Origin(ip="127.0.0.1"))
        self.transport = ManualTransport()

    def connect(self) -> None:
        self.session.connection_made(cast("Any", self.transport))

    def say(self, *segments: bytes) -> list[bytes]:
        """Deliver segments; return what was written meanwhile, a write each."""
        before = len(self.transport.written)
        for segment in segments:
            self.session.data_received(segment)
        return self.transport.written[before:]

    @property
    def last(self) -> bytes:
        return self.transport.written[-1]
