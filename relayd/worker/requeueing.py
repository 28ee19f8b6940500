"""Sending a bounced message again: its new id, and where it goes by the settings of today."""

from relayd.mail.envelope import NewMessage
from relayd.mail.requeue import Original, new_message_of
from relayd.policy.delivery.route import RouteRules, facts_of, key_for
from relayd.ports.requeue import SendsAgain
from relayd.worker.parts import Parts


def sends_again(parts: Parts, routes: RouteRules) -> SendsAgain:
    """Return what makes new messages for the store."""

    def send_again(original: Original) -> NewMessage:
        at = parts.clock.now()
        return new_message_of(
            original,
            message_id=parts.ids.next_id(at),
            at=at,
            destination_of=lambda address: key_for(address, facts_of(original.message), routes),
        )

    return send_again
