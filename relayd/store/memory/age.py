"""How long this queue has been served, and noticing that the wall clock was set.

Owns the count by which mail ages, in seconds; `relayd.store.sqlite.age` says why it is counted.
"""

from dataclasses import replace
from datetime import timedelta

from relayd.ports.outward import Clock
from relayd.store.memory.tables import Tables


class Age:
    """The count."""

    def __init__(self, clock: Clock, tables: Tables) -> None:
        self._clock = clock
        self._tables = tables
        self._seen = clock.now()
        self._base = self._seen_served = 0.0

    def served(self) -> float:
        """Return for how many seconds a daemon served the queue."""
        return self._base + self._clock.monotonic()

    def watch(self, *, is_first: bool = False) -> None:
        """Notice that the wall clock was set: then all waits go on from where they were."""
        if is_first:
            self._base = self._seen_served - self._clock.monotonic()
        now, served = self._clock.now(), self.served()
        jump = (now - self._seen) - timedelta(seconds=served - self._seen_served)
        self._seen, self._seen_served = now, served
        self._tables.first_served_at = now - timedelta(seconds=served)
        if is_first:
            jump = min(jump, timedelta())
        if abs(jump) < timedelta(minutes=1):
            return
        ahead = min(now, now - jump)
        for recipient in self._tables.recipients():
            if recipient.is_waiting() and recipient.next_attempt_at > ahead:
                recipient.next_attempt_at = max(now, recipient.next_attempt_at + jump)
        for number, rule in self._tables.pause_rules.items():
            if rule.until is not None and rule.until > ahead:
                moved = replace(rule, until=max(now, rule.until + jump))
                self._tables.pause_rules[number] = moved
        for destination, until in self._tables.paused.items():
            if until > ahead:
                self._tables.paused[destination] = max(now, until + jump)
        left_at = self._tables.left_at
        left_at.update({destination: min(at, now) for destination, at in left_at.items()})
