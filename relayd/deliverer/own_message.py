"""What relayd itself sends, as the store takes it: from the null reverse-path, so that no answer makes another."""

from collections.abc import Sequence
from datetime import datetime

from relayd.mail.address import Address
from relayd.mail.envelope import REPORT, Client, NewMessage, NewRecipient
from relayd.mail.finish import finish_own, signed_own
from relayd.mail.header import read_facts
from relayd.mail.ids import MessageId
from relayd.mail.parameters import MAIL_WITHOUT, RCPT_WITHOUT, MailParameters
from relayd.mail.signing import Signer
from relayd.policy.delivery.route import RouteFacts, RouteRules, asked_by, way_of

_8BIT = MailParameters(body="8BITMIME")
_UTF8 = MailParameters(body="8BITMIME", smtputf8=True)


def own_message(
    message_id: MessageId,
    to: Sequence[Address],
    composed: bytes,
    *,
    fqdn: str,
    routes: RouteRules,
    now: datetime,
    signer: Signer | None = None,
) -> NewMessage:
    """Return a new message of the content `composed`, signed where there are keys for it."""
    facts, content = finish_own(composed, read_facts(composed)[0])
    known = RouteFacts(
        sender="", listener=REPORT, asks=asked_by(requires=False, lifts=facts.lifts_tls)
    )
    is_ascii = all(each.is_ascii for each in to)
    message = NewMessage(
        id=message_id,
        received_at=now,
        reverse_path=None,
        parameters=_UTF8 if not is_ascii else _8BIT if facts.is_8bit else MAIL_WITHOUT,
        recipients=recipients_of(to, known, routes),
        content=content,
        facts=facts,
        client=Client(ip="", helo=fqdn, listener=REPORT),
    )
    return signed_own(message, composed, signer)


def recipients_of(
    to: Sequence[Address], known: RouteFacts, routes: RouteRules
) -> tuple[NewRecipient, ...]:
    """Return the recipients of a message of which that is known, each with its way."""
    return tuple(
        NewRecipient(
            address=each,
            destination=way.key,
            chosen_by=way.rule,
            parameters=RCPT_WITHOUT,
        )
        for each in to
        for way in (way_of(each, known, routes),)
    )
