"""What every store must do: a claim serves destinations fairly, however much of others is due."""

from collections import Counter
from collections.abc import Sequence
from datetime import timedelta
from math import ceil

import pytest

from relayd.mail.ids import WorkerNumber
from relayd.mail.operator import Action
from relayd.ports.queue import Work
from relayd.ports.view import Query
from tests.support.builders import a_message, a_recipient, settlements_of
from tests.support.stores import LEASE, Box

LIMIT, EACH = 8, 2


async def put(box: Box, worker: WorkerNumber, destination: str, count: int = 1) -> None:
    recipients = [a_recipient(destination=destination)] * count
    await box.put(a_message(*recipients, at=box.clock.now()), worker=worker)


async def claim(
    box: Box,
    worker: WorkerNumber,
    *,
    limit: int = LIMIT,
    each: int = EACH,
    only: frozenset[str] | None = None,
) -> Counter[str]:
    """Return how many recipients of which destinations were claimed; a moment passes."""
    work = await box.store.claim(worker, limit=limit, each=each, lease_for=LEASE, only=only)
    box.advance(0.001)
    return counted(work)


def counted(works: Sequence[Work]) -> Counter[str]:
    found: Counter[str] = Counter()
    for work in works:
        found[work.lease.destination] += len(work.recipients)
    return found


async def backlogs(box: Box, worker: WorkerNumber, *names: str, count: int = 50) -> None:
    """Have much that is due for longest; each was claimed from once."""
    for name in names:
        await put(box, worker, name, count)
    box.advance(60)
    claimed = await claim(box, worker, limit=len(names), each=1, only=frozenset(names))
    assert set(claimed) == set(names)


async def test_new_mail_does_not_wait_behind_the_backlogs_of_others(
    box: Box, worker: WorkerNumber
) -> None:
    await backlogs(box, worker, *(f"b{number}.test" for number in range(20)))
    await put(box, worker, "new.test")
    assert (await claim(box, worker))["new.test"] == 1


async def test_new_mail_does_not_wait_behind_backlogs_that_nobody_looked_at(
    box: Box, worker: WorkerNumber
) -> None:
    """A claim finds out what is a backlog: each is served once before."""
    names = [f"b{number}.test" for number in range(10)]
    for name in names:
        await put(box, worker, name, 100)
    box.advance(60)
    await put(box, worker, "new.test")
    limit = 40  # six of five each, in three quarters
    claims = [await claim(box, worker, limit=limit, each=limit) for _ in range(2)]
    assert sum(claims, Counter())["new.test"] == 1


async def test_who_waits_alone_gets_all_that_was_asked_for(box: Box, worker: WorkerNumber) -> None:
    await put(box, worker, "one.test", 50)
    assert await claim(box, worker, limit=40, each=40) == {"one.test": 40}
    assert await claim(box, worker, limit=40, each=40) == {"one.test": 10}


async def test_backlogs_are_served_in_a_ring(box: Box, worker: WorkerNumber) -> None:
    """Each has been served again before as many claims as all of them fill."""
    names = [f"b{number}.test" for number in range(6)]
    await backlogs(box, worker, *names)
    claims = [await claim(box, worker) for _ in range(8)]
    enough = ceil(len(names) * EACH / LIMIT)
    for first in range(len(claims) - enough + 1):
        assert set(sum(claims[first : first + enough], Counter())) == set(names)


async def test_a_backlog_gets_its_quarter_whatever_comes_in(box: Box, worker: WorkerNumber) -> None:
    await backlogs(box, worker, "b.test")
    for turn in range(5):
        for number in range(2 * LIMIT):
            await put(box, worker, f"n{turn}-{number}.test")
        claimed = await claim(box, worker)
        assert claimed["b.test"] == LIMIT // 4
        assert claimed.total() == LIMIT


async def test_what_one_kind_does_not_use_the_other_has(box: Box, worker: WorkerNumber) -> None:
    await backlogs(box, worker, "b.test")
    await put(box, worker, "new.test")
    assert await claim(box, worker, each=LIMIT) == {"new.test": 1, "b.test": LIMIT - 1}
    for number in range(LIMIT):
        await put(box, worker, f"n{number}.test")
    claimed = await claim(box, worker, each=1)
    assert claimed.total() == LIMIT, "one of the backlog, and all the others"


@pytest.mark.parametrize(
    ("others", "count", "few"), [(1, 30, 1), (3, 60, 20), (12, 30, 7), (40, 40, 13)]
)
async def test_who_has_one_message_is_served_soon(
    box: Box, worker: WorkerNumber, others: int, count: int, few: int
) -> None:
    """Within as many claims as those destinations alone would fill of three quarters; whatever others have."""
    await backlogs(box, worker, *(f"b{number}.test" for number in range(others)), count=count)
    names = {f"n{number}.test" for number in range(few)}
    for name in sorted(names):
        await put(box, worker, name)
    got: Counter[str] = Counter()
    for _ in range(ceil(few / (LIMIT * 3 // 4))):
        got += await claim(box, worker)
    assert names <= set(got)


@pytest.mark.parametrize("limit", [1, 2, 3])
async def test_small_claims_starve_nobody(box: Box, worker: WorkerNumber, limit: int) -> None:
    names = [f"b{number}.test" for number in range(3)]
    await backlogs(box, worker, *names)
    few = [f"n{number}.test" for number in range(4)]
    for name in few:
        await put(box, worker, name)
    got = sum([await claim(box, worker, limit=limit, each=1) for _ in range(10)], Counter[str]())
    assert set(got) == {*names, *few}


async def test_a_backlog_that_is_gone_counts_no_more(box: Box, worker: WorkerNumber) -> None:
    await backlogs(box, worker, "gone.test")
    assert (await claim(box, worker, limit=100, each=100))["gone.test"] == 49
    await backlogs(box, worker, *(f"b{number}.test" for number in range(20)))
    await put(box, worker, "gone.test")
    assert (await claim(box, worker))["gone.test"] == 1


async def test_an_operator_may_end_a_backlog(box: Box, worker: WorkerNumber) -> None:
    await backlogs(box, worker, "gone.test")
    query = Query(destination=("gone.test",))
    await box.store.act(query, Action.DROP, by="ann", reason="")
    await backlogs(box, worker, *(f"b{number}.test" for number in range(20)))
    await put(box, worker, "gone.test")
    assert (await claim(box, worker))["gone.test"] == 1


async def test_a_few_messages_are_no_backlog(box: Box, worker: WorkerNumber) -> None:
    """Who sends a little more than one claim brings does not wait for a round of the backlogs."""
    await put(box, worker, "few.test", 22)
    box.advance(1)
    await backlogs(box, worker, *(f"b{number}.test" for number in range(20)))
    claims = [(await claim(box, worker))["few.test"] for _ in range(11)]
    assert claims == [EACH] * 11


async def test_a_retry_does_not_wait_behind_the_backlogs_of_others(
    box: Box, worker: WorkerNumber, other: WorkerNumber
) -> None:
    """Also that of a destination that was left alone."""
    await put(box, worker, "one.test")
    (work,) = await box.claim(worker)
    until = box.clock.now() + timedelta(seconds=90)
    await box.store.release(work.lease, paused_until=until, why="no answer")
    await backlogs(box, other, *(f"b{number}.test" for number in range(20)))
    assert (await claim(box, other))["one.test"] == 0
    box.advance(40)
    assert (await claim(box, other))["one.test"] == 1


async def test_the_order_is_the_same_among_some(box: Box, worker: WorkerNumber) -> None:
    await backlogs(box, worker, "b.test", "c.test")
    await put(box, worker, "new.test")
    some = frozenset({"b.test", "new.test"})
    assert await claim(box, worker, each=LIMIT, only=some) == {"b.test": LIMIT - 1, "new.test": 1}
    assert await claim(box, worker, only=frozenset({"c.test"})) == {"c.test": EACH}


@pytest.mark.parametrize("seconds", [30, 3600])
async def test_a_clock_that_is_set_back_stops_no_backlog(
    box: Box, worker: WorkerNumber, seconds: int
) -> None:
    await backlogs(box, worker, "b.test")
    box.clock.jump(timedelta(seconds=-seconds))
    assert await claim(box, worker) == {"b.test": EACH}


async def test_mail_that_comes_back_to_a_backlog_is_found(box: Box, worker: WorkerNumber) -> None:
    """What is handed back, and what is settled without an attempt."""
    await put(box, worker, "b.test", 4)
    (work,) = await box.store.claim(worker, limit=2, lease_for=LEASE)
    await box.store.release(work.lease)
    got = 0
    for _ in range(2):
        (work,) = await box.store.claim(worker, limit=2, lease_for=LEASE)
        got += len(work.recipients)
        await box.store.settle(work.lease, settlements_of(work))
    assert got == 4
    assert not await box.claim(worker)
