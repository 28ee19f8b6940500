"""Requeueing, as a worker does it."""

from relayd.mail.envelope import NewMessage
from relayd.mail.requeue import Original, new_message_of
from relayd.ports.outward import Clock
from relayd.ports.requeue import Requeue, SendsAgain
from relayd.worker.parts import IdSource
from tests.support.workers import a_registration

_IDS = IdSource(a_registration(411))


def sends_again(clock: Clock, ids: IdSource = _IDS) -> SendsAgain:
    """Return what makes new messages, with destinations that tell them from the old ones."""

    def send_again(original: Original) -> NewMessage:
        at = clock.now()
        return new_message_of(
            original,
            message_id=ids.next_id(at),
            at=at,
            way_of=lambda address: (f"today.{address.domain}", ""),
        )

    return send_again


def a_requeue(
    clock: Clock, *, again: bool = False, spares_suppressed: bool = False, ids: IdSource = _IDS
) -> Requeue:
    return Requeue(
        by="ann",
        reason="wrong smarthost",
        send_again=sends_again(clock, ids),
        again=again,
        spares_suppressed=spares_suppressed,
    )
