"""The states of a destination queue, and what moves it from one to the next.

A queue begins with one connection, because nobody knows whether the destination takes mail. With the
first answered transaction it opens more, and one more for each that takes long. It drains when nothing more may be sent for now, and closes
when the destination, or the lease, is of no use: what is under way ends, and the rest goes back to
the store. `docs/states.md` shows the diagram.

Invariant: no event leads back. A destination that is to be used again gets a new queue.
"""

from enum import StrEnum


class QueueState(StrEnum):
    """What a destination queue does."""

    PROBING = "probing"  # few connections, until the destination has answered a transaction
    VERIFIED = "verified"  # as many connections as the next hop allows
    DRAINING = "draining"  # takes no more work; sends what a connection has in hand
    CLOSED = "closed"  # and begins no transaction; what is under way ends
    ENDED = "ended"  # no connection is left, and the owner knows


class QueueEvent(StrEnum):
    """What happens to a destination queue."""

    ANSWERED = "a transaction is answered"
    DRAIN = "drain"
    CLOSE = "close"
    EMPTY = "the last connection has ended"


TRANSITIONS: dict[QueueState, dict[QueueEvent, QueueState]] = {
    QueueState.PROBING: {
        QueueEvent.ANSWERED: QueueState.VERIFIED,
        QueueEvent.DRAIN: QueueState.DRAINING,
        QueueEvent.CLOSE: QueueState.CLOSED,
        QueueEvent.EMPTY: QueueState.PROBING,
    },
    QueueState.VERIFIED: {
        QueueEvent.ANSWERED: QueueState.VERIFIED,
        QueueEvent.DRAIN: QueueState.DRAINING,
        QueueEvent.CLOSE: QueueState.CLOSED,
        QueueEvent.EMPTY: QueueState.VERIFIED,
    },
    QueueState.DRAINING: {
        QueueEvent.ANSWERED: QueueState.DRAINING,
        QueueEvent.DRAIN: QueueState.DRAINING,
        QueueEvent.CLOSE: QueueState.CLOSED,
        QueueEvent.EMPTY: QueueState.ENDED,
    },
    QueueState.CLOSED: {
        QueueEvent.ANSWERED: QueueState.CLOSED,
        QueueEvent.DRAIN: QueueState.CLOSED,
        QueueEvent.CLOSE: QueueState.CLOSED,
        QueueEvent.EMPTY: QueueState.ENDED,
    },
    QueueState.ENDED: dict.fromkeys(QueueEvent, QueueState.ENDED),
}

TAKES_WORK = frozenset({QueueState.PROBING, QueueState.VERIFIED})
MAY_SEND = TAKES_WORK | {QueueState.DRAINING}
