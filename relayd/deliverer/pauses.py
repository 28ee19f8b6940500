"""How long a destination is left alone after its queue closed, and what the operator is told."""

from collections.abc import Callable
from datetime import datetime, timedelta

import structlog

from relayd.deliverer.nexthop.hosts import HostFailure
from relayd.deliverer.queue_owner import QueueClosed
from relayd.mail.words import LOGIN_REFUSED, Fault
from relayd.policy.delivery import retry
from relayd.policy.delivery.history import DestinationHistory
from relayd.policy.seldom import Seldom
from relayd.ports.outward import Clock

_SHORTAGE = timedelta(seconds=5)
"""Up to twice that, until what this machine lacks is asked for again: descriptors, ports, memory.

Such things come back in seconds, and asking for them costs what is short.
"""

log = structlog.get_logger()


class Pauses:
    """Sets the pauses of one worker."""

    def __init__(self, *, clock: Clock, jitter: Callable[[], float]) -> None:
        self.history = DestinationHistory()
        self._clock = clock
        self._jitter = jitter
        self._shortage = Seldom()

    def until(self, destination: str, why: QueueClosed) -> datetime:
        """Return until when to leave the destination alone; log it where somebody failed."""
        if why.until is not None:
            return why.until
        if why.is_shortage:
            if self._shortage.is_due(self._clock.monotonic()):
                log.error("resources_short", fault="local", reason=why.reason)
            return self._clock.now() + _SHORTAGE * (1 + self._jitter())
        failures = self.history.has_failed(destination)
        pause = retry.LOGIN_PROBE
        if not why.login_refused:
            pause = retry.pause_after(failures, jitter=self._jitter())
        until = self._clock.now() + pause
        log.error(
            "login_refused" if why.login_refused else "destination_down",
            destination=destination,
            fault=_fault(why).value,
            paused_until=until.isoformat(timespec="seconds"),
            reason=in_words(why),
        )
        return until


def in_words(why: QueueClosed) -> str:
    """Return why a queue closed, in one line for people."""
    told = why.reason or "; ".join(dict.fromkeys(map(_told, why.failures)))
    return f"{LOGIN_REFUSED}: {told}" if why.login_refused else told


def _told(failure: HostFailure) -> str:
    """Return what a host did, under its name; what this machine could not do is nobody's."""
    breakdown = failure.failed.breakdown
    is_ours = breakdown is not None and breakdown.fault is Fault.LOCAL
    return str(failure.failed) if is_ours else f"{failure.host}: {failure.failed}"


def _fault(why: QueueClosed) -> Fault:
    """Return whose it is, when all that failed agree; else it is the other side's to explain."""
    ended = [each.failed.breakdown for each in why.failures]
    faults = {Fault.PEER if breakdown is None else breakdown.fault for breakdown in ended}
    return faults.pop() if len(faults) == 1 else Fault.PEER
