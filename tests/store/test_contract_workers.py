"""What every store must do: workers register, and no two ids are the same.

The scheme of before, a number that only counts up, is run through the same lives: it must fail.
"""

from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from datetime import timedelta
from itertools import count, cycle, islice

import pytest

from relayd.errors import StoreUnavailable
from relayd.mail.ids import (
    MessageId,
    Registration,
    WorkerIdentity,
    WorkerNumber,
    received_at_of,
)
from relayd.worker.parts import IdSource
from tests.support.builders import a_message
from tests.support.clock import FakeClock
from tests.support.stores import Box, PostgresBox
from tests.support.workers import a_registration, registered

Register = Callable[[WorkerIdentity], Awaitable[Registration]]

MS = timedelta(milliseconds=1)
pytestmark = pytest.mark.timeout(180)  # hundreds of workers, each registered at a server
LIVES = 2000
AS_MANY_AS_IDS_TELL_APART = 512


def a_worker(name: str, *, boot: str = "", node: str = "node1") -> WorkerIdentity:
    return WorkerIdentity(node=node, boot=boot, name=name)


def counting_up() -> Register:
    """Return how workers got their numbers before."""
    numbers = count(1)

    async def register(_: WorkerIdentity) -> Registration:
        return a_registration(next(numbers))

    return register


async def ids_of(register: Register, clock: FakeClock) -> AsyncIterator[MessageId]:
    """Yield ids of one worker that lives on while three others die and come back, 2,000 times.

    All that live make an id in the same millisecond.
    """
    living = {"steady": IdSource(await register(a_worker("steady")))}
    for name in islice(cycle("123"), LIVES):
        living[name] = IdSource(await register(a_worker(name)))
        clock.advance(MS)
        for source in living.values():
            yield source.next_id(clock.now())


async def test_two_live_workers_never_make_the_same_id(box: Box) -> None:
    """F-20: an id holds 9 bits of a number, and there were more workers than that."""
    made = Counter([each async for each in ids_of(box.store.register, box.clock)])
    assert len(made) > 3 * LIVES
    assert max(made.values()) == 1


async def test_a_number_that_only_counts_up_is_not_enough() -> None:
    made = Counter([each async for each in ids_of(counting_up(), FakeClock())])
    assert max(made.values()) == 2


async def ids_of_the_same_hour_twice(
    register: Register, box: Box, clock: FakeClock
) -> AsyncIterator[MessageId]:
    """Yield ids, and store them, of so many short lives that numbers come back, in the same instants."""
    for _ in range(2):
        for _ in range(AS_MANY_AS_IDS_TELL_APART):
            registration = await register(a_worker("1"))
            clock.advance(MS)
            ids = IdSource(registration)
            for _ in range(2):
                message_id = ids.next_id(clock.now())
                yield message_id
                message = replace(a_message(at=clock.now()), id=message_id)
                await box.put(message, worker=registration.number)
        clock.jump(-MS * AS_MANY_AS_IDS_TELL_APART)


async def first_repeated(ids: AsyncIterator[MessageId]) -> MessageId | None:
    seen = set()
    async for each in ids:
        if each in seen:
            return each
        seen.add(each)
    return None


async def test_no_id_comes_back_when_the_clock_is_set_back(box: Box) -> None:
    """F-31: the next worker with these bits begins where the one before it ended."""
    ids = ids_of_the_same_hour_twice(box.store.register, box, box.clock)
    assert await first_repeated(ids) is None


async def test_without_a_beginning_for_ids_they_come_back(box: Box) -> None:
    async def register(worker: WorkerIdentity) -> Registration:
        return a_registration((await box.store.register(worker)).number)

    ids = ids_of_the_same_hour_twice(register, box, box.clock)
    assert await first_repeated(ids) is not None


async def test_ids_begin_after_the_registration(box: Box) -> None:
    """A worker that was killed in this millisecond had its number, and left nothing behind."""
    given = await box.store.register(a_worker("1"))
    now = box.clock.now()
    first = IdSource(given).next_id(now)
    assert now < received_at_of(first) <= now + MS


async def test_a_clock_before_all_ids_does_no_harm(box: Box) -> None:
    """Without a battery a machine starts in 1970."""
    box.clock.jump(timedelta(days=-30_000))
    ids = IdSource(await box.store.register(a_worker("1")))
    assert 0 < ids.next_id(box.clock.now()) < ids.next_id(box.clock.now())


async def test_more_workers_than_ids_tell_apart_are_refused(box: Box) -> None:
    numbers = [await registered(box.store, str(each)) for each in range(AS_MANY_AS_IDS_TELL_APART)]
    assert len({each % AS_MANY_AS_IDS_TELL_APART for each in numbers}) == len(numbers)
    with pytest.raises(StoreUnavailable, match="512 workers are alive"):
        await registered(box.store, "one more")
    again = await registered(box.store, "7")
    assert again > max(numbers)
    assert again % AS_MANY_AS_IDS_TELL_APART == numbers[7] % AS_MANY_AS_IDS_TELL_APART


async def test_a_node_that_was_renamed_is_the_same_machine(box: Box, worker: WorkerNumber) -> None:
    """A container has another name after each start; its file has one daemon all the same.

    In a database that many machines share, another name is another machine, which lives.
    """
    message = a_message()
    await box.put(message, worker=worker, leased=True)
    await box.store.register(a_worker("2", node="node2", boot="the next"))
    row = box.row(message)
    is_shared = isinstance(box, PostgresBox)
    assert (row.leased, row.possible_duplicate) == (is_shared, not is_shared)
