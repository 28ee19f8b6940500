"""A limit that nobody told us is found and used, and hardly ever tried in vain."""

import heapq
import random  # noqa: TID251 -- seeded
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import pytest

from relayd.policy.accounts import pace as learnt
from relayd.policy.accounts.booking import book
from relayd.policy.accounts.limits import AccountLimits
from relayd.policy.accounts.pace import Pace, is_over, refused, with_taken
from relayd.policy.accounts.state import AccountState

NO_LIMITS = AccountLimits()


class Bucket:
    """A server that saves up permits: `rate` a second, `size` at most."""

    def __init__(self, rate: float, size: float) -> None:
        self.rate, self._size, self._left, self._at = rate, size, size, 0.0

    def takes(self, now: float) -> bool:
        self._left = min(self._size, self._left + (now - self._at) * self.rate)
        self._at = now
        if self._left < 1:
            return False
        self._left -= 1
        return True


class Window:
    """A server that counts anew each `seconds`."""

    def __init__(self, most: float, seconds: float) -> None:
        self.rate = most / seconds
        self._most, self._seconds, self._window, self._used = most, seconds, -1, 0

    def takes(self, now: float) -> bool:
        if int(now // self._seconds) != self._window:
            self._window, self._used = int(now // self._seconds), 0
        self._used += 1
        return self._used <= self._most


class Sliding:
    """A server that looks back over `seconds`."""

    def __init__(self, most: int, seconds: float) -> None:
        self.rate = most / seconds
        self._most, self._seconds, self._taken = most, seconds, deque[float]()

    def takes(self, now: float) -> bool:
        while self._taken and self._taken[0] <= now - self._seconds:
            self._taken.popleft()
        if len(self._taken) >= self._most:
            return False
        self._taken.append(now)
        return True


Server = Bucket | Window | Sliding


@dataclass
class Run:
    """A queue that never ends, sent over 20 connections by a clock of its own."""

    server: Server
    latency: float
    taken: int = 0
    in_vain: list[float] = field(default_factory=list)
    state: AccountState = field(default_factory=AccountState)

    def send(self, seconds: float) -> "Run":
        chance = random.Random(1)
        now, told, under_way, waits_until = 0.0, 0, list[tuple[float, float]](), 0.0
        permits: deque[float] = deque()
        while now < seconds:
            most = 20 if self.state.pace is not None else min(20, 1 + self.taken)
            if len(under_way) < most and now >= waits_until:
                if self.state.pace is None:
                    starts = now
                else:
                    if not permits:
                        self.state, booked = book(self.state, NO_LIMITS, 1000, now, taken=told)
                        told = 0
                        if not booked.count:
                            waits_until = booked.until
                            continue
                        permits += [booked.first + n * booked.every for n in range(booked.count)]
                    starts = waits_until = max(now, permits.popleft())
                ends = starts + self.latency * chance.uniform(0.7, 1.3)
                heapq.heappush(under_way, (ends, starts))
            elif under_way and (len(under_way) >= most or under_way[0][0] <= waits_until):
                now = max(now, heapq.heappop(under_way)[0])
                if self.server.takes(now):
                    self.taken, told = self.taken + 1, told + 1
                else:
                    self.in_vain.append(now)
                    before = self.state.pace
                    known = None if before is None else with_taken(before, told)
                    self.state = replace(self.state, pace=refused(known, now=now))
                    told, waits_until = 0, now
                    permits.clear()
            else:
                now = waits_until
        return self

    def used(self, seconds: float) -> float:
        return self.taken / (self.server.rate * seconds)

    def most_in_a_minute(self) -> int:
        """In vain, once the limit was met first."""
        later = [at for at in self.in_vain if at > 60]
        return max((sum(at <= each < at + 60 for each in later) for at in later), default=0)


HIDDEN: dict[str, tuple[Callable[[], Server], float, float, int]] = {
    # at least this much of it is used in ten minutes, and in an hour; at most so often in vain in a minute
    "14 a second": (lambda: Bucket(14, 14), 0.93, 0.95, 2),
    "30 a minute, saved up": (lambda: Bucket(0.5, 30), 0.95, 0.97, 3),
    "30 a minute, counted anew": (lambda: Window(30, 60), 0.8, 0.93, 6),
    "30 a minute, looking back": (lambda: Sliding(30, 60), 0.85, 0.88, 6),
    "300 a minute, counted anew": (lambda: Window(300, 60), 0.65, 0.72, 30),
    "14 a second, counted anew": (lambda: Window(14, 1), 0.75, 0.83, 3),
    "one a minute": (lambda: Window(1, 60), 0.85, 0.85, 6),
}


@pytest.mark.parametrize("case", HIDDEN)
def test_a_hidden_limit_is_used_and_hardly_tried_in_vain(case: str) -> None:
    server, of_ten_minutes, of_an_hour, in_vain = HIDDEN[case]
    assert Run(server(), 0.19).send(600).used(600) >= of_ten_minutes
    run = Run(server(), 0.19).send(3600)
    assert run.used(3600) >= of_an_hour
    assert run.most_in_a_minute() <= in_vain


def test_a_server_that_takes_nothing_is_asked_less_and_less() -> None:
    """R46: all of it is refused."""
    run = Run(Window(0, 60), 0.19).send(86_400)
    assert run.taken == 0
    assert run.most_in_a_minute() <= 2
    assert len(run.in_vain) < 70
    assert run.in_vain[-1] - run.in_vain[-2] == pytest.approx(1800, abs=5)


def test_replies_of_messages_that_were_under_way_count_once() -> None:
    first = refused(None, now=0.0)
    assert refused(first, now=0.5) == first
    assert refused(first, now=0.5, asked_for=60.0).rests_until == 60.5


def test_a_rest_that_is_asked_for_is_kept() -> None:
    assert refused(None, now=0.0, asked_for=300.0).rests_until == 300.0
    known = replace(refused(None, now=0.0), taken=50)
    assert refused(known, now=100.0, asked_for=300.0).rests_until == 400.0


def test_what_was_learnt_is_forgotten_after_half_a_day() -> None:
    known = refused(None, now=0.0)
    assert not is_over(known, 12 * 3600.0)
    assert is_over(known, 12 * 3600.0 + 1)
    later = refused(known, now=13 * 3600.0)
    assert later == refused(None, now=13 * 3600.0)


def test_an_account_that_was_idle_says_little_of_the_limit() -> None:
    known = Pace(base=10.0, since=0.0, rests_until=2.0, taken=100, is_measured=True)
    after_an_hour = refused(known, now=3600.0)
    assert 5 < after_an_hour.base < 10
    assert after_an_hour.is_measured


def test_a_pace_is_never_none() -> None:
    known: Pace | None = None
    for again in range(100):
        known = refused(known, now=again * 4000.0)
        assert known.rate > 0
    assert with_taken(Pace(base=1.0, since=0.0, rests_until=0.0), 0).taken == 0
    soon = replace(refused(None, now=0.0), taken=3)
    assert refused(soon, now=4.0).base < soon.rate, "too soon to measure"
    assert learnt._SLOWEST > 0


def test_the_first_reply_in_half_a_day_is_told_apart() -> None:
    first = learnt.learn(None, now=0.0, asked_for=0.0, taken=3)
    assert first.is_first
    assert first.pace == refused(None, now=0.0)
    again = learnt.learn(first.pace, now=60.0, asked_for=0.0, taken=30)
    assert not again.is_first
    assert again.pace == refused(with_taken(first.pace, 30), now=60.0)
    assert learnt.learn(again.pace, now=86_400.0, asked_for=0.0, taken=0).is_first
