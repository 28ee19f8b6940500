"""Clients with a quota of messages: what is counted, and by whom."""

import os
from base64 import b64encode
from datetime import timedelta
from ipaddress import ip_network
from mmap import mmap

import pytest

from relayd.errors import CommitUnknown, StoreError, StoreUnavailable
from relayd.policy.intake.access import Networks
from relayd.policy.intake.origin import Origin
from relayd.policy.intake.quota import Quota, QuotaRules
from relayd.receiver.dialogue import ERROR_LIMIT
from relayd.receiver.quotas import Quotas, SharedQuotas
from relayd.settings import ListenerAuth
from tests.support.clock import FakeClock
from tests.support.forked import in_a_child
from tests.support.receiving import (
    TRANSACTION,
    Options,
    in_data,
    on_every_loop,
    receiving,
    run_on,
    send_message,
)

LOGIN = f"AUTH PLAIN {b64encode(b'.app.hunter2'.replace(b'.', bytes(1))).decode()}"
TWO = QuotaRules(
    networks=Networks((("127.0.0.0/8", ip_network("127.0.0.0/8")),)),
    in_network={"127.0.0.0/8": Quota(per_hour=2)},
)


@on_every_loop
def test_what_is_beyond_waits_until_the_time_that_is_named(loop: str) -> None:
    async def main() -> None:
        async with receiving(Options(quotas=TWO)) as reception:
            client = await reception.greeted()
            assert (await send_message(client)).startswith("250 ")
            assert (await send_message(client)).startswith("250 ")
            for _ in range(ERROR_LIMIT + 5):  # it is no mistake of the client's
                told = await client.ask(TRANSACTION[0])
                assert told.startswith("450 4.7.1 Message limit reached, more at ")
            reception.clock.advance(timedelta(hours=1, minutes=1))
            assert (await send_message(client)).startswith("250 ")

    run_on(loop, main())


def test_sessions_that_began_in_time_are_counted_at_their_end() -> None:
    async def main() -> None:
        async with receiving(Options(quotas=TWO)) as reception:
            clients = [await reception.greeted() for _ in range(3)]
            for client in clients:
                await in_data(client)
            told = []
            for client in clients:
                await client.send(b"x\r\n.\r\n")
                told.append((await client.line())[:9])
            assert told == ["250 2.0.0", "250 2.0.0", "450 4.7.1"]
            assert len(reception.intake.messages) == 2

    run_on("asyncio", main())


@pytest.mark.parametrize("fault", [StoreUnavailable, CommitUnknown])
def test_only_what_may_be_stored_is_counted(fault: type[StoreError]) -> None:
    async def main() -> None:
        async with receiving(Options(quotas=TWO)) as reception:
            for _ in range(3):
                client = await reception.greeted()
                await in_data(client)
                reception.intake.fault = fault("the disk is on fire")
                await client.send(b"x\r\n.\r\n")
                await client.gone() if fault is CommitUnknown else await client.line()
                reception.intake.fault = None
                if fault is CommitUnknown:
                    break
            client = await reception.greeted()
            assert (await send_message(client)).startswith("250 ")
            last = "450" if fault is CommitUnknown else "250"
            assert (await client.ask(TRANSACTION[0])).startswith(last)

    run_on("asyncio", main())


def test_a_login_has_its_own() -> None:
    async def main() -> None:
        rules = QuotaRules(logins={"app": Quota(per_minute=1)})
        async with receiving(Options(quotas=rules, auth=ListenerAuth.OPTIONAL)) as reception:
            other, client = await reception.greeted(), await reception.greeted()
            assert (await client.ask(LOGIN)).startswith("235 ")
            assert (await send_message(client)).startswith("250 ")
            assert (await client.ask(TRANSACTION[0])).startswith("450 4.7.1 ")
            assert (await send_message(other)).startswith("250 ")

    run_on("asyncio", main())


def test_bounces_of_strangers_are_not_counted() -> None:
    async def main() -> None:
        async with receiving(Options(quotas=TWO, networks=())) as reception:
            client = await reception.greeted()
            for _ in range(3):
                report = "MAIL FROM:<>", "RCPT TO:<known@returns.test>"
                assert (await send_message(client, b"x\r\n", *report)).startswith("250 ")

    run_on("asyncio", main())


def test_no_message_too_many_is_taken_by_workers_at_once() -> None:
    """Two children take all that they get, beside each other: what they got is the quota, to the message."""
    quotas = Quotas(QuotaRules(logins={"app": Quota(per_hour=4000)}), SharedQuotas(), FakeClock())
    got = memoryview(mmap(-1, 16)).cast("Q")

    def work(place: int) -> None:
        for _ in range(3000):
            got[place] += isinstance(quotas.take(Origin(), "app"), float)

    def both() -> None:
        other = os.fork()
        work(0 if other else 1)
        if not other:
            os._exit(0)
        os.waitpid(other, 0)

    in_a_child(both)
    assert sum(got) == 4000


def test_workers_count_together_and_one_that_is_killed_leaves_no_lock() -> None:
    shared, clock, origin = SharedQuotas(), FakeClock(), Origin(ip="127.0.0.1")
    quotas = Quotas(TWO, shared, clock)

    def work() -> None:
        assert isinstance(quotas.take(origin, None), float)

    def die_with_the_lock() -> None:
        shared.locked().__enter__()

    in_a_child(work)
    in_a_child(die_with_the_lock)
    assert quotas.refusal(origin, None) is None
    counted_at = quotas.take(origin, None)
    assert isinstance(counted_at, float)
    assert quotas.refusal(origin, None) is not None
    quotas.give_back(origin, None, counted_at=counted_at)
    in_a_child(work)
    assert quotas.refusal(origin, None) is not None
