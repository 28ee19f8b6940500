"""Direct mode: a domain of which the DNS knows neither a mail host nor an address."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pytest

from relayd.mail.envelope import NewMessage
from relayd.mail.operator import Action
from relayd.mail.words import BounceClass, Category
from relayd.net.dns.cache import LONGEST_NOTHING
from relayd.policy.delivery.retry import SECOND_LOOK
from relayd.ports.view import Query, Status
from relayd.store.memory.queue import MemoryStore
from tests.support.clock import FakeClock
from tests.support.direct import A1, FINE, Direct, a_direct_post
from tests.support.dns_server import EMPTY, NODATA, SERVFAIL, InTurn, Zones
from tests.support.post import eventually

ADDRESS = [A1]
HOUR = timedelta(hours=1)
BARE: Zones = {"x.test": {"TXT": ["nothing to do with mail"]}}


async def next_attempt(direct: Direct, message: NewMessage, after: timedelta) -> None:
    """Let the time pass and wait for one more attempt to end."""

    def outcomes() -> int:
        return sum(noted.event.message_id == message.id for noted in direct.post.sink.noted)

    before = outcomes()
    queues = direct.post.scheduler._queues
    await direct.post.quiet()
    await eventually(lambda: not any(queue.is_closing for queue in queues.values()), "no pause")
    direct.post.advance(after)
    await eventually(lambda: outcomes() > before)


async def test_it_bounces_at_the_second_look_an_hour_later() -> None:
    async with a_direct_post(BARE, {}) as direct:
        message = await direct.send("a@x.test")
        await direct.post.settled()
        row = direct.post.row(message)
        assert (row.status, row.category) == (Status.DEFERRED, Category.BAD_DOMAIN)
        assert row.next_attempt_at == direct.post.clock.now() + SECOND_LOOK
        assert row.paused_until is None
        assert "neither MX nor address records; it bounces if" in str(row.reason)
        await next_attempt(direct, message, SECOND_LOOK)
        row = direct.post.row(message)
        assert (row.status, row.category) == (Status.BOUNCED, Category.BAD_DOMAIN)
        assert (row.bounce_class, row.suppress) == (BounceClass.HARD, True)
        assert (row.enhanced, row.reason) == (
            "5.1.2",
            "x.test has neither MX nor address records",
        )
        for rdtype in ("MX", "A", "AAAA"):
            assert direct.dns.count("x.test", rdtype) == 2, "the DNS was asked again"


def test_no_answer_is_kept_until_the_second_look() -> None:
    assert SECOND_LOOK.total_seconds() > LONGEST_NOTHING


@pytest.mark.parametrize(
    ("answers", "kinds"),
    [
        pytest.param([NODATA, ADDRESS], ["deferred", "sent"], id="it-was-a-mistake"),
        pytest.param([NODATA, SERVFAIL, NODATA], ["deferred"] * 3, id="a-failure-between"),
        pytest.param([SERVFAIL, NODATA, SERVFAIL], ["deferred"] * 3, id="failures-around"),
        pytest.param([NODATA, EMPTY], ["deferred", "bounced"], id="no-proof-at-last"),
        pytest.param(  # what proves nothing is asked for twice each time
            [EMPTY, EMPTY, SERVFAIL, EMPTY], ["deferred"] * 3, id="no-proof-and-a-failure"
        ),
        pytest.param([SERVFAIL, NODATA, NODATA], ["deferred", "deferred", "bounced"], id="at-last"),
        pytest.param(
            [NODATA, SERVFAIL, NODATA, NODATA],
            ["deferred", "deferred", "deferred", "bounced"],
            id="begun-anew",
        ),
    ],
)
async def test_only_two_looks_in_a_row_prove_it(answers: Sequence[Any], kinds: list[str]) -> None:
    zones: Zones = {"x.test": {"TXT": ["x"], "A": InTurn(*answers)}}
    async with a_direct_post(zones, {A1: FINE}) as direct:
        message = await direct.send("a@x.test")
        await direct.post.settled()
        for _ in kinds[1:]:
            await next_attempt(direct, message, 2 * HOUR)
        assert direct.post.kinds(message) == kinds


async def test_answers_without_proof_bounce_the_mail_and_spare_the_address() -> None:
    """Some resolvers leave out the SOA record of a negative answer."""
    async with a_direct_post({"x.test": EMPTY}, {}) as direct:
        message = await direct.send("a@x.test")
        await direct.post.settled()
        row = direct.post.row(message)
        assert (row.status, row.next_attempt_at) == (
            Status.DEFERRED,
            direct.post.clock.now() + SECOND_LOOK,
        )
        await next_attempt(direct, message, SECOND_LOOK)
        row = direct.post.row(message)
        assert (row.status, row.category) == (Status.BOUNCED, Category.BAD_DOMAIN)
        assert (row.bounce_class, row.suppress, row.enhanced) == (BounceClass.BLOCK, False, "5.4.4")
        assert row.reason == "x.test has neither MX nor address records, by answers without proof"


async def test_an_early_look_is_not_the_second_one() -> None:
    """An operator may want one; it proves nothing that the first has not."""
    async with a_direct_post(BARE, {}) as direct:
        message = await direct.send("a@x.test")
        await direct.post.settled()
        for _ in range(8):  # a look each ten minutes
            direct.post.clock.advance(timedelta(minutes=10))
            await direct.post.store.act(
                Query(message_id=message.id), Action.EXPEDITE, by="me", reason=""
            )
            await next_attempt(direct, message, timedelta())
        assert direct.post.row(message).status is Status.DEFERRED
        await next_attempt(direct, message, SECOND_LOOK)
        assert direct.post.row(message).status is Status.BOUNCED


async def test_a_restart_remembers_the_first_look() -> None:
    store = MemoryStore(FakeClock())
    async with a_direct_post(BARE, {}, store=store) as direct:
        message = await direct.send("a@x.test")
        await direct.post.settled()
    async with a_direct_post(BARE, {}, store=store, name="2") as direct:
        await next_attempt(direct, message, SECOND_LOOK)
        assert direct.post.row(message).status is Status.BOUNCED


async def test_each_message_has_two_looks_of_its_own() -> None:
    """Who writes later may know better."""
    async with a_direct_post(BARE, {}) as direct:
        first = await direct.send("a@x.test")
        await direct.post.settled()
        direct.post.clock.advance(timedelta(minutes=50))
        second = await direct.send("b@x.test")
        await direct.post.settled()
        await next_attempt(direct, first, timedelta(minutes=10))
        assert direct.post.row(first).status is Status.BOUNCED
        assert direct.post.row(second).status is Status.DEFERRED
