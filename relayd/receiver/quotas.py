"""Quotas of messages that hold for all workers of a machine together.

Owns the shared memory and its lock. Each message that has a quota is counted in a few microseconds, without a
write to the store. The lock is the kernel's and goes with its owner, so a worker that is killed holds up
nobody. The counts outlive workers and reloads; a restart of relayd begins them anew.
"""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from mmap import mmap

from relayd.mail.reply import Reply
from relayd.policy.intake.origin import Origin
from relayd.policy.intake.quota import OCTETS, QuotaRules, QuotaTable, refusal_until
from relayd.ports.outward import Clock


class SharedQuotas:
    """The table of one daemon, made before it forks."""

    def __init__(self) -> None:
        self._file = os.memfd_create("relayd-quotas")
        os.ftruncate(self._file, OCTETS)
        self._table = QuotaTable(mmap(self._file, OCTETS))

    @contextmanager
    def locked(self) -> Iterator[QuotaTable]:
        """Give the table to one process at a time."""
        fcntl.lockf(self._file, fcntl.LOCK_EX)
        try:
            yield self._table
        finally:
            fcntl.lockf(self._file, fcntl.LOCK_UN)


class Quotas:
    """What clients may hand over, by the settings of this worker."""

    def __init__(self, rules: QuotaRules, shared: SharedQuotas, clock: Clock) -> None:
        self._rules = rules
        self._shared = shared
        self._clock = clock

    def refusal(self, origin: Origin, user: str | None) -> Reply | None:
        """Judge MAIL: whether a message of this client would be too many."""
        found = self._judge(origin, user, counts=False)
        return found if isinstance(found, Reply) else None

    def take(self, origin: Origin, user: str | None) -> float | Reply | None:
        """Count a message, unless it is one too many; return when, for `give_back`. None: the client has no quota."""
        return self._judge(origin, user, counts=True)

    def give_back(self, origin: Origin, user: str | None, *, counted_at: float) -> None:
        """Take a message out of the count that is not stored after all."""
        with self._shared.locked() as table:
            table.add(self._rules.for_client(origin, user), counted_at, -1)

    def _judge(self, origin: Origin, user: str | None, *, counts: bool) -> float | Reply | None:
        quotas = self._rules.for_client(origin, user)
        if not quotas:
            return None
        now = self._clock.monotonic()
        with self._shared.locked() as table:
            ends = table.full_until(quotas, now)
            if ends is None and counts:
                table.add(quotas, now)
        return now if ends is None else refusal_until(ends, now=now, at=self._clock.now())
