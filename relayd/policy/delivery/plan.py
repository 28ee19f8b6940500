"""Group the recipients of one message into SMTP transactions.

One copy for many recipients at the same next hop (S-19), up to the number that every server has to
take (S-41). Owns also what the next hop is told instead of what the client said: the address that
`[redirect]` puts in its place, what rules rewrite, and with `verp_domain` a reverse-path of its own for each
recipient, by which an asynchronous bounce tells whom it is about; a rewritten one stays as the rule gave it.

Source: RFC 5321 §4.5.3.1.8, §4.5.4.1.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from relayd.mail.address import parse_address
from relayd.mail.content import Content
from relayd.mail.envelope import QueuedMessage, QueuedRecipient
from relayd.policy import verp
from relayd.policy.delivery.route import RouteRules, forwarded
from relayd.policy.rewriting.apply import Rewritten

AT_ONCE = 100  # recipients of one transaction


@dataclass(frozen=True, slots=True, kw_only=True)
class ReturnPaths:
    """How VERP addresses are made and recognized."""

    domain: str
    key: bytes

    def __repr__(self) -> str:
        return f"ReturnPaths({self.domain!r}, key=***)"


@dataclass(frozen=True, slots=True)
class Transaction:
    """One envelope as the next hop is given it."""

    message: QueuedMessage
    recipients: list[QueuedRecipient]
    content: Content
    rewritten: Sequence[str] = ()  # in words, for the history


def transactions(
    message: QueuedMessage,
    recipients: Sequence[QueuedRecipient],
    rules: RouteRules,
    paths: ReturnPaths | None,
    given: Rewritten,
    *,
    at_once: int = AT_ONCE,
) -> list[Transaction]:
    """Return the envelopes that bring `message` to `recipients`; `given` is what rules make of it."""
    told = recipients if rules.redirect_to is None else [_told(each, rules) for each in recipients]
    rest = (given.content, given.changes)
    if given.reverse_path != message.reverse_path:
        message, paths = replace(message, reverse_path=given.reverse_path), None
    if paths is not None and message.reverse_path:
        return [Transaction(_returning(message, each, paths), [each], *rest) for each in told]
    return [
        Transaction(message, list(told[start : start + at_once]), *rest)
        for start in range(0, len(told), at_once)
    ]


def _told(recipient: QueuedRecipient, rules: RouteRules) -> QueuedRecipient:
    return replace(recipient, address=str(forwarded(parse_address(recipient.address), rules)))


def _returning(
    message: QueuedMessage, recipient: QueuedRecipient, paths: ReturnPaths
) -> QueuedMessage:
    path = verp.encode(message.id, recipient.number, key=paths.key, domain=paths.domain)
    return replace(message, reverse_path=str(path))
