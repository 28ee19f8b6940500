"""One name server, asked alone."""

from datetime import timedelta

import pytest

from relayd.net.dns.one_server import ask_server
from relayd.policy.doctor.dnssec import Said, ServerAnswer
from relayd.settings import HostPort
from tests.support.clock import FakeClock
from tests.support.dns_server import (
    DROP,
    REFUSED,
    SERVFAIL,
    Action,
    Authentic,
    DnsServer,
    InTurn,
)
from tests.support.ports import free_port

SECOND = timedelta(seconds=1)


@pytest.mark.parametrize(
    ("action", "expected"),
    [
        (["192.0.2.1"], ServerAnswer(Said.RECORDS)),
        (Authentic(["192.0.2.1"]), ServerAnswer(Said.RECORDS, is_authentic=True)),
        (InTurn(DROP, ["192.0.2.1"]), ServerAnswer(Said.RECORDS)),
        ([], ServerAnswer(Said.NOTHING)),
        (REFUSED, ServerAnswer(Said.NOTHING)),
        (SERVFAIL, ServerAnswer(Said.SERVFAIL, reason="SERVFAIL to A a.test")),
        (DROP, ServerAnswer(Said.SILENCE, reason="no answer to A a.test within 1 s")),
    ],
)
async def test_what_it_says(action: Action, expected: ServerAnswer) -> None:
    zones = {"a.test": {"A": action}} if action != [] else {}
    async with DnsServer(zones) as server:
        found = await ask_server(server.endpoint, "a.test", "A", within=SECOND, clock=FakeClock())
    assert found == expected


async def test_the_root() -> None:
    soa = "a.test. b.test. 1 2 3 4 5"
    async with DnsServer({".": {"SOA": Authentic([soa])}}) as server:
        found = await ask_server(server.endpoint, ".", "SOA", within=SECOND, clock=FakeClock())
    assert found == ServerAnswer(Said.RECORDS, is_authentic=True)


async def test_nobody_there() -> None:
    nobody = HostPort(host="127.0.0.1", port=free_port())
    found = await ask_server(nobody, "a.test", "A", within=SECOND, clock=FakeClock())
    assert found == ServerAnswer(Said.SILENCE, reason="no usable answer to A a.test")
