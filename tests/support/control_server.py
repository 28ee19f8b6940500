"""The control server of one worker, in this process, for commands that have something changed."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import closing
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

from relayd.control.context import ControlContext
from relayd.control.log_ins import LogIns
from relayd.control.protocol import Message
from relayd.control.server import serve_control
from relayd.control.set_keys import KeyChanges
from relayd.errors import RelaydError
from relayd.mail.event import Event
from relayd.ports.oidc import IdentityProvider
from relayd.ports.queue import Acted, QueueStore
from relayd.settings import ConsoleSettings
from tests.support.accounts import lone_log_ins
from tests.support.clock import START, FakeClock
from tests.support.following import nobody_follows
from tests.support.supervised import settings_of


async def no_reload() -> Message:
    raise RelaydError("nobody asked for it")


async def no_change(wanted: KeyChanges) -> Message:  # noqa: ARG001 -- as all of them
    raise RelaydError("nobody asked for it")


def no_checks(checks: str, by: str) -> None:  # noqa: ARG001 -- as all of them
    raise RelaydError("nobody asked for it")


def a_context(
    store: QueueStore,
    *,
    record: Callable[[Acted], None] = lambda _: None,
    now: Callable[[], datetime] | None = None,
    read_content: bool = False,
    console: ConsoleSettings | None = None,
    provider: IdentityProvider | None = None,
    log_ins: LogIns | None = None,
    fqdn: str = "relay.test",
) -> ControlContext:
    settings = settings_of([], control="unused", queue="unused", fqdn=fqdn)
    if console is not None:
        settings = replace(settings, console=console)
    return ControlContext(
        store=store,
        on_change=lambda: None,
        on_pauses=lambda: None,
        now=now or FakeClock().now,
        record=record,
        info=dict,
        oldest_kept=lambda: START - timedelta(days=90),
        settings=replace(settings, read_content=read_content),
        reload=no_reload,
        set_keys=no_change,
        told=lambda _: None,
        jitter=lambda: 0.0,
        follow=nobody_follows,
        doctor=no_checks,
        identity_provider=provider,
        log_ins=log_ins or lone_log_ins(),
    )


@contextlib.asynccontextmanager
async def a_control_server(
    path: Path,
    store: QueueStore,
    *,
    read_content: bool = False,
    console: ConsoleSettings | None = None,
    provider: IdentityProvider | None = None,
    fqdn: str = "relay.test",
) -> AsyncIterator[list[Event]]:
    """Answer on the socket `path`; gives the events that it recorded."""
    recorded: list[Event] = []
    log_ins = lone_log_ins()
    context = a_context(
        store,
        log_ins=log_ins,
        record=lambda acted: recorded.extend(acted.events),
        read_content=read_content,
        console=console,
        provider=provider,
        fqdn=fqdn,
    )
    with closing(log_ins), socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(path))
        listening.listen()
        async with asyncio.TaskGroup() as group:
            server = group.create_task(serve_control(listening, context))
            yield recorded
            server.cancel()
