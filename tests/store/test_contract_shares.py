"""What every store must do with shares of limits that are smaller than the number of workers."""

from datetime import timedelta

from relayd.mail.ids import WorkerNumber
from relayd.policy.delivery.scarce import TURN, Claim
from tests.support.stores import LEASE, Box
from tests.support.workers import registered

SITE = "mx.test"
HAS, WAITS, YIELDS = Claim.HAS, Claim.WAITS, Claim.YIELDS


async def claim(box: Box, worker: WorkerNumber, *, limit: int = 1, key: str = SITE) -> Claim:
    return (await box.store.shares.ask(worker, [key], limit=limit))[key]


async def test_each_has_one_as_long_as_there_are_some(
    box: Box, worker: WorkerNumber, other: WorkerNumber, third: WorkerNumber
) -> None:
    found = [await claim(box, each, limit=2) for each in (worker, other, third)]
    assert found == [HAS, HAS, WAITS]
    assert await claim(box, worker, limit=2) == HAS, "it keeps what it has"
    assert await claim(box, third, key="other.test") == HAS
    await box.store.shares.give_back(worker, [SITE, "unknown.test"])
    assert await claim(box, third, limit=2) == HAS
    assert await claim(box, worker, limit=2) == WAITS


async def test_several_are_asked_for_at_once(
    box: Box, worker: WorkerNumber, other: WorkerNumber
) -> None:
    assert await claim(box, other, key="b.test") == HAS
    found = await box.store.shares.ask(worker, ["a.test", "b.test", "c.test"], limit=1)
    assert found == {"a.test": HAS, "b.test": WAITS, "c.test": HAS}
    await box.store.shares.give_back(worker, list(found))
    assert await claim(box, other, key="a.test") == HAS


async def test_a_share_ends_a_lease_s_time_after_it_was_asked_for(
    box: Box, worker: WorkerNumber, other: WorkerNumber
) -> None:
    """Who asks again keeps it; who is stopped loses it, and gets another one behind the others."""
    await claim(box, worker)
    box.advance(LEASE.total_seconds() - 1)
    assert await claim(box, other) == WAITS
    assert await claim(box, worker) == YIELDS
    box.advance(LEASE.total_seconds() - 1)
    assert await claim(box, other) == WAITS
    box.advance(1)
    assert await claim(box, other) == HAS
    assert await claim(box, worker) == WAITS


async def test_a_wish_ends_soon(
    box: Box, worker: WorkerNumber, other: WorkerNumber, third: WorkerNumber
) -> None:
    """One that died while it waited holds nobody up."""
    await claim(box, worker)
    assert await claim(box, other) == WAITS
    box.advance(1)
    assert await claim(box, third) == WAITS
    await box.store.shares.give_back(worker, [SITE])
    assert await claim(box, third) == WAITS, "the other one comes first"
    box.advance(9)
    assert await claim(box, third) == HAS


async def test_shares_go_round(box: Box, worker: WorkerNumber, other: WorkerNumber) -> None:
    await claim(box, worker)
    assert await claim(box, other) == WAITS
    for _ in range(TURN // 1000):
        assert await claim(box, worker) == HAS
        box.advance(1)
        assert await claim(box, other) == WAITS
    assert await claim(box, worker) == YIELDS
    await box.store.shares.give_back(worker, [SITE])
    assert await claim(box, worker) == WAITS
    assert await claim(box, other) == HAS


async def test_what_a_dead_worker_had_is_free_when_it_is_replaced(
    box: Box, worker: WorkerNumber, other: WorkerNumber
) -> None:
    await claim(box, worker)
    assert await claim(box, other) == WAITS
    await registered(box.store, "worker")
    assert await claim(box, other) == HAS


async def test_what_ended_is_forgotten(box: Box, worker: WorkerNumber) -> None:
    await claim(box, worker)
    box.clock.advance(timedelta(hours=1))
    await box.store.reap()
    assert await claim(box, worker) == HAS


async def test_what_a_worker_had_that_ended_is_free_at_once(
    box: Box, worker: WorkerNumber, other: WorkerNumber, third: WorkerNumber
) -> None:
    """Nobody comes in its place after a reload, or when a machine is shut down."""
    assert [await claim(box, each) for each in (worker, other, third)] == [HAS, WAITS, WAITS]
    await box.store.leave(other)
    await box.store.leave(worker)
    assert await claim(box, third) == HAS
