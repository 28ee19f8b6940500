"""Sending a bounced message again: its new id, and where it goes by the settings of today."""

from relayd.mail.address import Address
from relayd.mail.envelope import NewMessage
from relayd.mail.requeue import Original, new_message_of
from relayd.policy.delivery.route import RouteRules, facts_of, way_of
from relayd.ports.requeue import SendsAgain
from relayd.worker.parts import Parts


def sends_again(parts: Parts, routes: RouteRules) -> SendsAgain:
    """Return what makes new messages for the store."""

    def send_again(original: Original) -> NewMessage:
        at, facts = parts.clock.now(), facts_of(original.message)

        def chosen(address: Address) -> tuple[str, str]:
            way = way_of(address, facts, routes)
            return way.key, way.rule

        return new_message_of(original, message_id=parts.ids.next_id(at), at=at, way_of=chosen)

    return send_again
