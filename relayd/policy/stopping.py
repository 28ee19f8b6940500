"""How long a stop takes at most, made of one setting, `limits.stop_within`.

A client that stalls in the middle of a message gets that long; it has no `250`, so it keeps its mail. So does a delivery
that has not sent the final dot: nothing went, and the next start tries it anew, uncounted. After the dot the server may have the
message, and only its answer tells: that is waited for two and a half times as long. What is left then is on
record as a possible duplicate (S-06).

Where a balancer asks whether relayd is ready, it hears first that it is not, and sends its clients elsewhere before the listeners close.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

HAND_OVER_WITHIN = 20.0
"""Seconds for clients to leave by themselves, and for deliveries to end, where others take over: in a reload."""
RECORD_WITHIN = 2.0
"""Seconds for what became of the deliveries that were cut off to get on record."""

LEAVES_FOR = 5.0
"""Seconds between the answer that relayd leaves and the end of its listeners: two or three questions of a balancer."""
_WATCHED_FOR = 30.0  # seconds in which somebody asked some times: a balancer asks more often

_DOT = 2.5  # times
_MARGIN = 5.0  # seconds, until a process that has not ended is killed


@dataclass(frozen=True, slots=True, kw_only=True)
class StopTimes:
    """Seconds from the signal on."""

    sessions: float  # of clients, and transactions in front of the final dot
    dot: float  # transactions that wait for the answer to it
    process: float  # then it is killed


def is_watched(asked: Sequence[float], now: float) -> bool:
    """Tell whether somebody asks again and again whether relayd is ready; `asked` are the last times, 0 where there was none."""
    return all(asked) and now - min(asked) <= _WATCHED_FOR


def stop_times(stop_within: timedelta) -> StopTimes:
    """Return them for this setting."""
    sessions = stop_within.total_seconds()
    dot = _DOT * sessions
    return StopTimes(sessions=sessions, dot=dot, process=dot + RECORD_WITHIN + _MARGIN)
