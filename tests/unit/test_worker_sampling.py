"""How often a machine looks whose turn it is to count the queue, notes what it does, and reads the week of complaints."""

import asyncio
from datetime import timedelta
from types import SimpleNamespace

import pytest

from relayd.ports.samples import EVERY
from relayd.ports.tally import TallyAnswer, TallyQuery, TallyRow
from relayd.store.memory.tables import Tables
from relayd.store.memory.view import MemoryView
from relayd.worker import sampling
from tests.support.clock import FakeClock

_MINUTES = 20


class Samples:
    """Has the turn come whenever it is asked, or never."""

    def __init__(self, *, has_turns: bool) -> None:
        self.has_turns = has_turns
        self.asked = self.counted = self.noted = 0

    async def take_turn(self, lease_for: timedelta) -> bool:
        assert lease_for > EVERY
        self.asked += 1
        return self.has_turns

    async def note_queue(self, counts: object, metrics: object, *, next_in: timedelta) -> None:
        assert counts is not None
        assert metrics
        assert next_in <= EVERY
        self.counted += 1

    async def note_work(self, numbers: object) -> None:
        assert numbers
        self.noted += 1


class View(MemoryView):
    def __init__(self) -> None:
        super().__init__(Tables())
        self.weeks = 0

    def tally(self, query: TallyQuery) -> TallyAnswer:
        assert query.since is not None
        self.weeks += 1
        return TallyAnswer(total=TallyRow(), rows=[], since=None, until=None, begins=None)


async def _for_minutes(samples: Samples, view: View, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = FakeClock()
    ends = clock.now() + timedelta(minutes=_MINUTES)

    async def sleep(seconds: float) -> None:
        clock.advance(timedelta(seconds=seconds))
        if clock.now() >= ends:
            raise asyncio.CancelledError
        await asyncio.sleep(0)

    times = SimpleNamespace(sleep=sleep, to_thread=asyncio.to_thread)
    monkeypatch.setattr(sampling, "asyncio", times)
    with pytest.raises(asyncio.CancelledError):
        await sampling.keep_sampling(
            samples,
            worker=0,
            open_view=lambda: view,
            clock=clock,
            counters=list,
        )


async def test_who_counts_looks_again_when_the_next_turn_comes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    samples, view = Samples(has_turns=True), View()
    await _for_minutes(samples, view, monkeypatch)
    turns = timedelta(minutes=_MINUTES) // EVERY
    assert samples.asked == samples.counted == samples.noted == turns
    assert view.weeks == 2 * _MINUTES // 5, "by sender and by recipient, every five minutes"


async def test_the_others_look_more_often_and_note_as_often(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Who counts may die."""
    samples, view = Samples(has_turns=False), View()
    await _for_minutes(samples, view, monkeypatch)
    turns = timedelta(minutes=_MINUTES) // EVERY
    assert samples.asked == 3 * turns
    assert samples.noted == turns
    assert not samples.counted
    assert not view.weeks
