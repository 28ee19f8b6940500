"""Sending a bounced message again: its new id, and where it goes by the settings of today."""

from collections.abc import Sequence

from relayd.mail.content import Content
from relayd.mail.envelope import Client, NewMessage, QueuedMessage, QueuedRecipient
from relayd.mail.requeue import new_message_of
from relayd.policy.delivery.route import RouteRules, key_for
from relayd.ports.requeue import SendsAgain
from relayd.worker.parts import Parts


def sends_again(parts: Parts, routes: RouteRules) -> SendsAgain:
    """Return what makes new messages for the store."""

    def send_again(
        message: QueuedMessage,
        recipients: Sequence[QueuedRecipient],
        client: Client,
        content: Content,
    ) -> NewMessage:
        at = parts.clock.now()
        return new_message_of(
            message,
            recipients,
            client,
            content,
            message_id=parts.ids.next_id(at),
            at=at,
            destination_of=lambda address: key_for(address, is_test=message.is_test, rules=routes),
        )

    return send_again
