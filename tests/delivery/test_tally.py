"""Counted TLS sessions get to the store once, and do not fill the memory."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import date

import pytest

from relayd.deliverer.tally import TlsTally
from relayd.errors import CommitUnknown, StoreBroken, StoreError, StoreUnavailable
from relayd.mail.tls_count import CountedPolicy, CountedSession, PolicyKind
from relayd.store.memory.queue import MemoryStore
from relayd.store.memory.trust import MemoryTrust
from tests.support.clock import FakeClock

SESSION = CountedSession(
    day=date(2026, 11, 29), policy=CountedPolicy(kind=PolicyKind.NONE, domain="a.test")
)


class Failing(MemoryTrust):
    """Fails as told, once."""

    error: StoreError | None = None

    async def add_tls_results(self, counts: Mapping[CountedSession, int]) -> None:
        error, self.error = self.error, None
        if error is not None:
            raise error
        await super().add_tls_results(counts)


@pytest.fixture
def trust() -> Failing:
    store = MemoryStore(FakeClock())
    return Failing(store._tables, FakeClock(), lambda _: None)


@pytest.mark.parametrize(
    ("error", "kept"),
    [(None, 3), (StoreUnavailable("later"), 3), (CommitUnknown("who knows"), 1)],
)
async def test_it_is_counted_once(trust: Failing, error: StoreError | None, kept: int) -> None:
    tally = TlsTally(trust)
    tally.note(SESSION)
    tally.note(SESSION)
    tally.note(None)
    trust.error = error
    await tally.flush()
    tally.note(SESSION)
    await tally.flush()
    await tally.flush()
    assert trust.tls_counts() == {SESSION: kept}


async def test_a_broken_store_ends_the_worker(trust: Failing) -> None:
    tally = TlsTally(trust)
    tally.note(SESSION)
    trust.error = StoreBroken("gone")
    with pytest.raises(StoreBroken):
        await tally.flush()


async def test_memory_is_bounded(trust: Failing) -> None:
    tally = TlsTally(trust)
    for number in range(10_100):
        tally.note(replace(SESSION, host=f"mx{number}.test"))
    tally.note(replace(SESSION, host="mx0.test"))
    await tally.flush()
    counts = trust.tls_counts()
    assert (len(counts), sum(counts.values())) == (10_000, 10_001)
