"""Mail to those who run the relay, about what stays broken until one of them acts."""

from relayd.answers.webhooks import heard_in_words
from relayd.deliverer.own_message import own_message
from relayd.mail.envelope import NewMessage
from relayd.mail.ids import format_id
from relayd.policy.console.webhook_alert import DisabledWebhook, compose_alert
from relayd.ports.outbox import Endpoint, TellsDisabled
from relayd.settings import Settings
from relayd.worker.parts import Parts


def tells_disabled(settings: Settings, parts: Parts) -> TellsDisabled | None:
    """Return what makes the mail about a webhook that is disabled; None: nobody wants it."""
    to = settings.console.alerts_to
    if not to:
        return None

    def tell(endpoint: Endpoint) -> NewMessage:
        now = parts.clock.now()
        message_id = parts.ids.next_id(now)
        webhook = DisabledWebhook(
            number=endpoint.id,
            url=endpoint.wanted.url,
            off=endpoint.off,
            failing_since=endpoint.failing_since,
            last_ok_at=endpoint.last_ok_at,
            last_answer=heard_in_words(endpoint.last),
            waiting=endpoint.waiting,
        )
        composed = compose_alert(
            webhook,
            [str(each) for each in to],
            fqdn=settings.fqdn,
            token=format_id(message_id).lower(),
            now=now,
        )
        return own_message(
            message_id,
            to,
            composed,
            fqdn=settings.fqdn,
            routes=settings.routes,
            now=now,
            signer=parts.signer,
        )

    return tell
