"""Each verb with its connection cut in each exchange, at each place of it: the store tells the truth afterwards (F-41, F-48)."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import pytest

from relayd.errors import StoreError
from relayd.store.postgres import line, session, unknown
from relayd.store.postgres.line import Session
from relayd.store.postgres.queue import PostgresStore
from relayd.store.postgres.view import PostgresView
from tests.support import postgres
from tests.support.clock import FakeClock
from tests.support.cut_proxy import Cut, CutProxy, a_cut_proxy
from tests.support.cut_verbs import VERBS, Verb, World
from tests.support.outages import nobody_looks
from tests.support.stores import PostgresBox
from tests.support.workers import registered

pytestmark = postgres.needs_postgres

_LINES = {
    "enqueue": "_arrivals",
    "settle": "_results",
    "lease": "_lease",
    "renew": "_renewal",
    "upkeep": "_upkeep",
}


@dataclass(frozen=True, slots=True)
class Place:
    world: World
    proxy: CutProxy
    store: PostgresStore

    async def settled(self, name: str) -> None:
        """Wait for what the line of that name does behind a verb, and have it connected."""
        while True:
            try:
                await getattr(self.store, _LINES[name]).submit(nothing)
            except StoreError:
                continue
            return

    async def cut_in_each(self, verb: Verb, cut: Cut, *, refuses: int = 0) -> None:
        nth = 1
        while await self.cut_in(verb, cut, nth, refuses=refuses):
            nth += 1
        assert nth > 1

    async def cut_in(
        self, verb: Verb, cut: Cut, nth: int, *, then: int = 0, refuses: int = 0
    ) -> bool:
        """Do the verb with a cut in that exchange, and one so many later; tell whether it has so many.

        So many connections as `refuses` says are refused behind the cut.
        """
        given = await verb.prepare(
            self.world
        )  # without a cut: then its statements are known to the connection
        await verb.judge(self.world, given, await self._done(verb, given))
        given = await verb.prepare(self.world)
        await self.settled(verb.line)
        self.proxy.watch(f"relayd/{verb.line}", cut, nth, then=then, refuses=refuses)
        done = asyncio.ensure_future(self._done(verb, given))
        if cut is Cut.STALLED:
            held = asyncio.ensure_future(self.proxy.is_held.wait())
            await asyncio.wait({held, done}, return_when=asyncio.FIRST_COMPLETED)
            held.cancel()
            self.proxy.goes_on.set()
        result = await done
        await self.settled(verb.line)
        has_cut = self.proxy.has_cut
        self.proxy.watch("")
        await verb.judge(self.world, given, result)
        return has_cut

    async def _done(self, verb: Verb, given: Any) -> Any:
        try:
            return await verb.do(self.world, given)
        except StoreError as exc:
            return exc


async def nothing(_: Session) -> None:
    pass


@pytest.fixture
async def place(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Place]:
    monkeypatch.setattr(line, "_WAITS", 0.0)
    monkeypatch.setattr(unknown, "_LOOKS_EACH", 0.01)
    clock, url = FakeClock(), postgres.database()
    async with a_cut_proxy(postgres.server().folder) as proxy:
        store = PostgresStore.open(
            f"postgresql://relayd@/postgres?host={proxy.folder}",
            clock=clock,
            slots={},
            leases_by=clock.monotonic,
            keeps_bounced=True,
        )
        box = PostgresBox(store=store, view=PostgresView(url), clock=clock)
        yield Place(World(box, await registered(store, "worker")), proxy, store)
        await box.close()


_WITH_EACH = (
    "enqueue",
    "enqueue, leased",
    "claim",
    "settle, relayed",
    "settle, bounced with a report",
    "release",
)
_TRIED = [
    *((name, cut) for name in _WITH_EACH for cut in Cut),
    *((name, Cut.READY) for name in VERBS if name not in _WITH_EACH),
    *((name, Cut.SILENT) for name in ("bounce", "requeue", "note_late", "settle, deferred")),
]


@pytest.mark.parametrize(
    ("name", "cut"), _TRIED, ids=[f"{name}-{cut.name.lower()}" for name, cut in _TRIED]
)
async def test_a_verb_that_is_cut_tells_the_truth(
    place: Place, monkeypatch: pytest.MonkeyPatch, name: str, cut: Cut
) -> None:
    if cut in (Cut.LOST, Cut.SILENT):
        monkeypatch.setattr(session, "SILENT", 0.2)
    await place.cut_in_each(VERBS[name], cut)


@pytest.mark.parametrize("name", [name for name in VERBS if name.startswith("settle, ")])
async def test_a_verb_that_is_cut_before_an_outage_tells_the_truth(place: Place, name: str) -> None:
    """Who is told that the store is away does it once more, and hears of all that was done."""
    await place.cut_in_each(VERBS[name], Cut.BEFORE, refuses=1)


@pytest.mark.parametrize("name", ["enqueue, leased at once", "settle, relayed"])
async def test_a_look_that_is_cut_as_well_is_repeated(place: Place, name: str) -> None:
    """Their first exchange is the commit."""
    then = 1
    while await place.cut_in(VERBS[name], Cut.READY, 1, then=then):
        then += 1
    assert then > 5


@pytest.mark.parametrize("name", ["enqueue", "claim", "bounce"])
async def test_without_a_look_at_what_happened_it_does_not(place: Place, name: str) -> None:
    """The control."""
    with nobody_looks(), pytest.raises(AssertionError):
        await place.cut_in_each(VERBS[name], Cut.READY)
