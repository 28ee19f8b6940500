"""Whether the message of a client is to be signed, and what that takes."""

from dataclasses import replace

from relayd.mail.address import Address
from relayd.mail.envelope import NewMessage
from relayd.mail.header import header_end
from relayd.mail.signing import NOT_SIGNED, ToSign
from relayd.policy.dkim import is_by
from relayd.policy.intake import access
from relayd.receiver.client import ClientState
from relayd.receiver.context import SessionContext
from relayd.receiver.reader import Received


def prepared(
    message: NewMessage,
    context: SessionContext,
    client: ClientState,
    received: Received,
    *,
    head: bytes,
    trace: int,
) -> NewMessage:
    """Return a message of a client with what it takes to sign it; `head` begins with `trace` octets of ours.

    A client gets the signature of a domain only for authors whom it may be (T-03): a stranger for none, others
    for those that the lists of their account, login, network and listener have.
    """
    signer = context.signer
    if signer is None or context.intake.owns(message.recipients[0].address):  # it comes back to us
        return message
    header = head[trace : trace + header_end(head[trace:])]
    lists = client.allowed_by(context.access)
    account = client.account

    def may_be_author(author: Address) -> bool:
        is_its_own = account is None or account.may_send_as(author)
        return client.may_relay and is_its_own and access.may_be_author(lists, author)

    domain = signer.domain_of(header, may_be_author)
    if domain is None:
        is_proven = is_by(header, may_be_author)
        return replace(message, dkim=NOT_SIGNED, author_unproven=not is_proven)
    rest = received.rest
    return replace(
        message,
        to_sign=ToSign(
            domain=domain,
            head=head,
            trace=trace,
            body=received.body,
            finish=bytes if rest is None else rest.finish,
        ),
    )
