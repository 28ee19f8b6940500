"""Decide how much work a worker leases at once, and for which destinations.

A worker keeps a window of due messages, not the queue. Part of the window is for destinations that
may take no mail: it can be minutes until that is known, and the others must not wait for it (F-34).
A destination is one of three kinds:

| kind       | it took mail                                | gets more while                       |
|------------|---------------------------------------------|---------------------------------------|
| verified   | under the lease that it has now             | its queue and the window have room    |
| known good | under an earlier lease, and did not fail    | probing queues hold under 3/4 of it   |
| eligible   | never, or it failed since                   | probing queues hold under half of it  |

A queue that waits for its answer for longer than `ASIDE_AFTER`, while the probing queues have half of their part, is set
aside: it keeps what it has, and counts in a window of its own. So slow or silent destinations do not keep others from
being probed until there are hundreds of them (F-34).

Claims leave a tenth of the window, and a quarter of each queue, to new mail. A backlog that is due would take all of it again
and again, and new mail would wait for the end of that. New mail leaves as much to claims, for the same reason:
a tenth beyond the window, and a quarter of each queue.

Owns the sizes and the decisions. The scheduler counts (`Load`), claims and leases.

The sizes are ours: no RFC says how much of a queue a relay holds at once. Postfix bounds its active
queue for the same reason (qmgr_message_active_limit in postconf(5)).
"""

from dataclasses import dataclass
from enum import Enum, auto

WINDOW = 1000
"""Messages leased at once: a second's work of a fast worker, so that claims never hold it up.

More would mean more mail to hand back at a stop, and to mark as possible duplicates after a crash.
"""
WINDOW_OCTETS = 64 * 1024 * 1024
"""Content of new messages held for them in memory, per worker: claimed ones are read when sent."""
QUEUE_WINDOW = WINDOW // 4
"""Messages waiting in one verified queue: three slow destinations leave room for others."""
SLOW_WINDOW = 20
"""The same at a limited rate or of a probing queue: as many as connections can soon take."""
PROBING_WINDOW = WINDOW // 2
"""Messages in all probing queues from which on eligible destinations get no more."""
KNOWN_GOOD_WINDOW = WINDOW * 3 // 4
"""The same for those that are known good; the last quarter is for verified ones alone."""
ASIDE_AFTER = 0.5
"""Seconds until the answer of a destination is late; most answer within that, over an ocean too."""
CLAIM_WINDOW = WINDOW * 9 // 10
"""Messages from which on nothing is claimed: the rest is for new mail, which is leased at enqueue."""
CLAIMED_LEAST = WINDOW // 10
"""Messages up to which claims go on where new mail has filled all of the window: what waits longer would wait for the end of that."""
FEED_WINDOW = WINDOW * 19 // 20
"""Messages from which on nothing is claimed either for queues that have nothing: some of the rest stays for new domains."""
FEW = 5
"""Messages for one destination that nobody knows, while many others are probed."""
CLAIM = 200
"""Recipients claimed at once: a transaction of the store that takes a few milliseconds."""
CLAIM_EACH = 100
"""Of these for one destination: RFC 5321 §4.5.3.1.8 lets every server take 100 in a transaction."""
_WORTH_A_CLAIM = CLAIM // 4  # less room than that costs a transaction of the store for little work
_FOR_NEW = 4  # the part of a queue that claims leave to new mail, and new mail to claims
ENOUGH_AT_LEAST = SLOW_WINDOW - SLOW_WINDOW // _FOR_NEW
"""Messages waiting in one queue up to which claims may bring more, whatever its window is."""
_FEW_PROBE = 4  # the part of the probing window up to which a destination gets `CLAIM_EACH` at once


@dataclass(slots=True)
class Load:
    """What a worker has leased."""

    messages: int = 0  # but those that are set aside
    octets: int = 0  # of the content of all in memory
    claimed: int = 0  # those of the messages that are no new mail
    probing: int = 0  # messages in queues that are not verified
    aside: int = 0  # the same, in those whose answer is late


class Who(Enum):
    """Whose work may be claimed."""

    ALL = auto()
    KNOWN_GOOD = auto()
    VERIFIED = auto()


@dataclass(frozen=True, slots=True)
class Quota:
    """What to claim."""

    limit: int  # recipients
    each: int  # of these for one destination
    who: Who


class Admission:
    """The windows of one worker."""

    def __init__(self, slots: int = WINDOW) -> None:
        """`slots` is how many connections there may be: probing queues have their part of these too."""
        self.probing_window = min(PROBING_WINDOW, max(1, slots // 2))
        self.known_good_window = min(KNOWN_GOOD_WINDOW, max(1, slots * 3 // 4))
        self.aside_window = min(WINDOW, (slots - self.known_good_window) * 3 // 4)

    def has_room(self, load: Load, octets: int) -> bool:
        """Tell whether a new message of that size may be leased."""
        return load.messages < WINDOW and load.octets + octets <= WINDOW_OCTETS

    def may_probe(self, load: Load, *, is_known_good: bool) -> bool:
        """Tell whether a destination whose queue is not verified may have more work."""
        window = self.known_good_window if is_known_good else self.probing_window
        return load.probing < window

    def is_crowded(self, load: Load) -> bool:
        """Tell whether probing queues have half of their part: who is late is set aside, and who is new gets few."""
        return load.probing >= self.probing_window // 2

    def has_room_aside(self, load: Load, messages: int) -> bool:
        """Tell whether a queue with so many messages may be set aside."""
        return load.aside + messages <= self.aside_window

    def quota(self, load: Load) -> Quota | None:
        """Return what to claim; None: nothing for now. Octets do not count: little comes along."""
        room = min(max(CLAIM_WINDOW - load.messages, CLAIMED_LEAST - load.claimed), CLAIM)
        if room < _WORTH_A_CLAIM:
            return None
        who = Who.VERIFIED
        if load.probing < self.probing_window:
            who = Who.ALL
            room = min(room, self.probing_window - load.probing)  # all of it may be to probe
        elif load.probing < self.known_good_window:
            who = Who.KNOWN_GOOD
            room = min(room, self.known_good_window - load.probing)
        each = SLOW_WINDOW
        if load.probing < self.probing_window // _FEW_PROBE:
            each = CLAIM_EACH
        elif who is Who.ALL and self.is_crowded(load):
            each = FEW
        return Quota(limit=room, each=each, who=who)

    def few(self, load: Load) -> Quota | None:
        """Return what to claim for verified destinations that have nothing: also of the room for new mail, but not all."""
        room = min(FEED_WINDOW - load.messages, CLAIM)
        return Quota(limit=room, each=FEW, who=Who.VERIFIED) if room > 0 else None

    def is_probing_room_free(self, before: int, after: int) -> bool:
        """Tell whether the probing messages have just become few: more may be claimed for them."""
        return after <= self.probing_window // 2 < before


def queue_window(*, is_verified: bool, is_limited: bool) -> int:
    """Return how many messages may wait in one queue; `is_limited`: a rate holds its mail back."""
    return QUEUE_WINDOW if is_verified and not is_limited else SLOW_WINDOW


def has_enough(waiting: int, claimed: int, window: int) -> bool:
    """Tell whether claims leave the rest of a queue's window to new mail; `claimed` of those that wait came by one.

    Where new mail fills it again and again, a part is for what waits in the store: it would wait for the end of that.
    """
    part = window // _FOR_NEW
    return waiting >= window - part and claimed >= part
