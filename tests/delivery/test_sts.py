"""MTA-STS policies: who waits for them, when they are fetched, and that nothing but another one replaces them."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import timedelta

import pytest
from structlog.testing import capture_logs

from relayd.deliverer.sts import StsPolicies
from relayd.errors import StoreUnavailable
from relayd.mail.dns import DnsFailure, TextAnswer, Texts
from relayd.policy.tls.sts import NoPolicy, StsEntry, StsFault, StsMode, StsPolicy
from relayd.ports.trust import TrustStore
from relayd.store.memory.queue import MemoryStore
from tests.support.clock import FakeClock

MINUTE, DAY = timedelta(minutes=1), timedelta(days=1)
POLICY = StsPolicy(mode=StsMode.ENFORCE, hosts=("mx.a.test",), max_age=timedelta(days=7), id="1")
OTHER = replace(POLICY, hosts=("mx2.a.test",), id="2")
GONE = NoPolicy("the MTA-STS policy cannot be fetched: it answers 404", StsFault.FETCH)
SICK = DnsFailure(reason="10.0.0.1 answers SERVFAIL")


class World:
    """A record and a policy, for every domain; both can be held back."""

    def __init__(self) -> None:
        self.record: str | None = "1"
        self.policy: StsPolicy | NoPolicy = POLICY
        self.sick = False
        self.asked: list[str] = []
        self.fetched: list[str] = []
        self.is_asked, self.may_answer = asyncio.Event(), asyncio.Event()
        self.may_answer.set()

    async def texts(self, name: str) -> TextAnswer:
        self.asked.append(name)
        if self.sick:
            return SICK
        return Texts(texts=() if self.record is None else (f"v=STSv1; id={self.record}",))

    async def fetch(self, domain: str, policy_id: str, *, within: float) -> StsPolicy | NoPolicy:
        assert 0 < within <= 20
        self.fetched.append(f"{domain} {policy_id}")
        self.is_asked.set()
        await self.may_answer.wait()
        return self.policy


class Down:
    """A store that does not answer."""

    async def sts_policy(self, domain: str) -> StsEntry | None:
        raise StoreUnavailable(f"nothing is known of {domain}")


@dataclass(kw_only=True)
class Fixture:
    world: World
    clock: FakeClock
    trust: TrustStore
    failures: list[tuple[str, StsPolicy | None, NoPolicy]]

    def worker(self, trust: TrustStore | None = None) -> StsPolicies:
        return StsPolicies(
            trust or self.trust,
            self.world,
            self.world,
            clock=self.clock,
            note_failure=lambda *failure: self.failures.append(failure),
        )

    async def settled(self, policies: StsPolicies) -> None:
        """Wait for what is asked behind deliveries."""
        while policies._behind:
            await asyncio.gather(*policies._behind)


@pytest.fixture
def it() -> Fixture:
    clock = FakeClock()
    return Fixture(world=World(), clock=clock, trust=MemoryStore(clock).trust, failures=[])


async def test_the_first_mail_waits_for_record_and_policy(it: Fixture) -> None:
    policies = it.worker()
    assert await policies.policy("a.test") == POLICY
    assert await policies.policy("a.test") == POLICY
    assert it.world.asked == ["_mta-sts.a.test"]
    assert it.world.fetched == ["a.test 1"]
    # Another worker, and a later start, know it from the store, without any HTTP.
    another = it.worker()
    assert await another.policy("a.test") == POLICY
    await it.settled(another)
    assert it.world.fetched == ["a.test 1"]


async def test_those_who_ask_at_once_share_one_flight(it: Fixture) -> None:
    policies = it.worker()
    it.world.may_answer.clear()
    waiting = [asyncio.ensure_future(policies.policy("a.test")) for _ in range(5)]
    await it.world.is_asked.wait()
    waiting[0].cancel()  # that one gives up, not the others
    it.world.may_answer.set()
    assert await asyncio.gather(*waiting[1:]) == 4 * [POLICY]
    assert len(it.world.fetched) == 1


async def test_what_is_begun_is_asked_once(it: Fixture) -> None:
    """A look that was begun beside other questions is the one that counts."""
    policies = it.worker()
    it.world.may_answer.clear()
    policies.begin("a.test")
    waiting = asyncio.ensure_future(policies.policy("a.test"))
    await it.world.is_asked.wait()
    it.world.may_answer.set()
    assert await waiting == POLICY
    policies.begin("a.test")
    assert await policies.policy("a.test") == POLICY
    assert len(it.world.fetched) == 1


async def test_nothing_is_fetched_that_no_mail_waits_for(it: Fixture) -> None:
    """A domain may have a record and no mail host: its web server is not asked, and the next mail begins anew."""
    policies = it.worker()
    for _ in range(2):
        policies.begin("a.test")
        assert isinstance(await ended(policies, "a.test"), Exception)
    assert it.world.asked == 2 * ["_mta-sts.a.test"]
    assert it.world.fetched == []
    assert await it.trust.sts_policy("a.test") is None
    assert await policies.policy("a.test") == POLICY
    assert it.world.fetched == ["a.test 1"]


async def test_what_was_begun_without_a_record_is_known(it: Fixture) -> None:
    it.world.record = None
    policies = it.worker()
    policies.begin("a.test")
    assert await ended(policies, "a.test") is None
    assert await policies.policy("a.test") is None
    assert len(it.world.asked) == 1


async def ended(policies: StsPolicies, domain: str) -> object:
    """Return what came of a flight that nobody waits for."""
    (found,) = await asyncio.gather(policies._flights[domain], return_exceptions=True)
    return found


async def test_a_domain_without_a_record_costs_one_question(it: Fixture) -> None:
    it.world.record = None
    policies = it.worker()
    for _ in range(3):
        assert await policies.policy("a.test") is None
    assert len(it.world.asked) == 1
    assert it.world.fetched == []
    assert await it.trust.sts_policy("a.test") is None, "nothing is written for it"
    it.clock.advance(MINUTE)
    it.world.record = "1"
    assert await policies.policy("a.test") == POLICY


@pytest.mark.parametrize("what", ["record gone", "record doubted", "DNS down", "fetch fails"])
async def test_a_live_policy_outlives_what_fails(it: Fixture, what: str) -> None:
    """Row 15 of table A."""
    assert await it.worker().policy("a.test") == POLICY
    it.clock.advance(DAY)
    it.world.policy = GONE
    it.world.record = {"record gone": None, "record doubted": "1; v=x=", "fetch fails": "2"}.get(
        what
    )
    it.world.sick = what == "DNS down"
    policies = it.worker()
    for _ in range(3):
        assert await policies.policy("a.test") == POLICY
        await it.settled(policies)
        it.clock.advance(MINUTE)
    assert await it.worker().policy("a.test") == POLICY
    is_tried = what == "fetch fails"
    assert it.failures == ([("a.test", POLICY, GONE)] if is_tried else [])
    it.clock.advance(7 * DAY)
    it.world.record = None
    assert await policies.policy("a.test") is None, "it has ended"


async def test_another_policy_is_fetched_behind_the_delivery(it: Fixture) -> None:
    policies = it.worker()
    await policies.policy("a.test")
    it.world.record, it.world.policy = "2", OTHER
    it.clock.advance(MINUTE)
    it.world.may_answer.clear()
    assert await policies.policy("a.test") == POLICY, "it does not wait"
    it.world.may_answer.set()
    with capture_logs() as logs:
        await it.settled(policies)
    assert await policies.policy("a.test") == OTHER
    [told] = [each for each in logs if each["event"] == "sts_policy_changed"]
    assert (told["domain"], told["mode"], told["hosts"]) == ("a.test", "enforce", "mx2.a.test")


async def test_t_02_before_mail_waits_the_record_is_asked_again(it: Fixture) -> None:
    policies = it.worker()
    await policies.policy("a.test")
    assert await policies.policy_now("a.test") == POLICY
    assert len(it.world.fetched) == 1, "the record names the policy that is known"
    it.world.record, it.world.policy = "2", OTHER
    assert await policies.policy("a.test") == POLICY, "within a minute it is not asked"
    assert await policies.policy_now("a.test") == OTHER
    assert await policies.policy("a.test") == OTHER
    it.world.record, it.world.policy = "3", GONE
    assert await policies.policy_now("a.test") == OTHER
    assert await policies.policy_now("a.test") == OTHER
    assert it.world.fetched == ["a.test 1", "a.test 2", "a.test 3"], "once in five minutes"


async def test_a_failed_first_fetch_rests(it: Fixture) -> None:
    it.world.policy = GONE
    policies = it.worker()
    for _ in range(5):
        assert await policies.policy("a.test") is None
        it.clock.advance(MINUTE)
        assert await it.worker().policy("a.test") is None
    assert it.world.fetched == ["a.test 1", "a.test 1"]
    assert it.failures == 2 * [("a.test", None, GONE)]
    it.world.policy = POLICY
    it.clock.advance(5 * MINUTE)
    assert await policies.policy("a.test") == POLICY


async def test_mode_none_counts_as_none_and_is_kept(it: Fixture) -> None:
    it.world.policy = replace(POLICY, mode=StsMode.NONE, hosts=())
    policies = it.worker()
    for _ in range(3):
        assert await policies.policy("a.test") is None
        it.clock.advance(MINUTE)
    assert len(it.world.fetched) == 1


async def test_without_the_store_nobody_knows(it: Fixture) -> None:
    """Else an unreadable queue would be a downgrade."""
    down = it.worker(Down())  # type: ignore[arg-type]
    with pytest.raises(StoreUnavailable):
        await down.policy("a.test")
    with pytest.raises(StoreUnavailable):
        await down.policy_now("a.test")
    assert it.world.asked == []


async def test_memory_is_bounded(it: Fixture) -> None:
    it.world.record = None
    policies = it.worker()
    for number in range(1200):
        await policies.policy(f"d{number}.test")
    assert len(policies._known) == 1000
    assert not policies._flights


@asynccontextmanager
async def a_day_later(it: Fixture) -> AsyncIterator[StsPolicies]:
    await it.worker().policy("a.test")
    it.clock.advance(DAY)
    yield it.worker()


async def test_policies_are_fetched_again_each_day(it: Fixture) -> None:
    async with a_day_later(it) as policies:
        assert await policies.refresh() == 1
        assert await policies.refresh() == 0
        assert it.world.fetched == 2 * ["a.test 1"]
        entry = await it.trust.sts_policy("a.test")
        assert entry is not None
        assert entry.fetched_at == it.clock.now()
        assert entry.used_at == it.clock.now() - DAY, "that is no delivery"


@pytest.mark.parametrize("is_listed", [True, False])
async def test_a_refresh_that_gives_nothing_rests(it: Fixture, *, is_listed: bool) -> None:
    async with a_day_later(it) as policies:
        it.world.policy = GONE
        if not is_listed:
            it.world.record = None
        assert await policies.refresh() == 1
        it.clock.advance(59 * MINUTE)
        assert await policies.refresh() == 0
        assert await policies.policy("a.test") == POLICY
        it.clock.advance(MINUTE)
        assert await policies.refresh() == 1


async def test_that_a_policy_is_of_use_is_written_once_a_day(it: Fixture) -> None:
    async with a_day_later(it) as policies:
        await policies.policy("a.test")
        await it.settled(policies)
        entry = await it.trust.sts_policy("a.test")
        assert entry is not None
        assert entry.used_at == it.clock.now()
        assert len(it.world.fetched) == 1


async def test_it_ends_at_once(it: Fixture) -> None:
    policies = it.worker()
    it.world.may_answer.clear()
    waiting = asyncio.ensure_future(policies.policy("a.test"))
    await it.world.is_asked.wait()
    policies.close()
    with pytest.raises(asyncio.CancelledError):
        await waiting
