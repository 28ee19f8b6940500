"""Shorthands to talk to a ScriptedServer with the real SMTP client."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import cache

from relayd.mail.attempt import AttemptFacts, RouteKind
from relayd.mail.envelope import QueuedMessage
from relayd.net.smtp.client import Connection, Delivery, Target, Timers, TlsContexts, connect
from relayd.policy.tls.ladder import asked_by
from relayd.settings import CertificateSettings, Login, TlsMode
from tests.support.builders import CONTENT, a_queued_message, a_queued_recipient
from tests.support.clock import FakeClock
from tests.support.scripted_server import ScriptedServer

PATIENT = Timers(greeting=10, command=10, data=10, block=10, dot=10)
HASTY = Timers(greeting=0.2, command=0.2, data=0.2, block=0.2, dot=0.2, quit=0.2)  # to see them end

SEEN_AT = "127.0.0.1"  # for what `implicit` asks of this machine

shared_contexts = cache(TlsContexts)  # loading the system's authorities takes its time


def a_target(
    server: ScriptedServer,
    *,
    tls: TlsMode = TlsMode.OFF,
    login: Login | None = None,
    host: str = "mx.test",
    route: RouteKind = RouteKind.DIRECT,
    assume_8bit: bool = False,
) -> Target:
    return Target(
        route=route,
        host=host,
        ip="127.0.0.1",
        port=server.port,
        requirement=asked_by(tls, SEEN_AT),
        login=login,
        assume_8bit=assume_8bit,
    )


async def connect_to(
    server: ScriptedServer,
    *,
    timers: Timers = PATIENT,
    tls: TlsMode = TlsMode.OFF,
    login: Login | None = None,
    contexts: TlsContexts | None = None,
    route: RouteKind = RouteKind.DIRECT,
    assume_8bit: bool = False,
    certificate: CertificateSettings | None = None,
) -> Connection:
    target = a_target(server, tls=tls, login=login, route=route, assume_8bit=assume_8bit)
    return await connect(
        replace(target, certificate=certificate),
        helo="relay.test",
        timers=timers,
        tls=contexts or shared_contexts(),
        clock=FakeClock(),
    )


@asynccontextmanager
async def connected(
    server: ScriptedServer,
    *,
    timers: Timers = PATIENT,
    route: RouteKind = RouteKind.DIRECT,
    assume_8bit: bool = False,
) -> AsyncIterator[Connection]:
    """A connection in clear text that is closed at the end."""
    connection = await connect_to(server, timers=timers, route=route, assume_8bit=assume_8bit)
    try:
        yield connection
    finally:
        await connection.quit()


async def deliver(
    connection: Connection,
    *addresses: str,
    content: bytes = CONTENT,
    message: QueuedMessage | None = None,
) -> Delivery:
    """One transaction; to one recipient unless told otherwise."""
    recipients = [
        a_queued_recipient(address, number=number)
        for number, address in enumerate(addresses or ("user@example.com",))
    ]
    message = message or a_queued_message(size=len(content), is_8bit=not content.isascii())
    return await connection.deliver(message, recipients, content)


def seen(facts: AttemptFacts) -> tuple[str, int | str]:
    """Stage, and code or category: what most tests are about."""
    if facts.reply is not None:
        assert facts.breakdown is None
        return facts.stage.value, facts.reply.code
    assert facts.breakdown is not None
    return facts.stage.value, facts.breakdown.category.value


def all_seen(delivery: Delivery) -> Sequence[tuple[str, int | str]]:
    return [seen(facts) for facts in delivery.facts]
