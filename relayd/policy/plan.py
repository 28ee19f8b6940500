"""Group the recipients of one message into SMTP transactions.

One copy for many recipients at the same next hop (S-19), up to the number that every server has to
take (S-41). Owns also what the next hop is told instead of what the client said: the address that
`[redirect]` puts in its place.

Source: RFC 5321 §4.5.3.1.8, §4.5.4.1.
"""

from collections.abc import Sequence
from dataclasses import replace

from relayd.mail.address import parse_address
from relayd.mail.envelope import QueuedRecipient
from relayd.policy.route import RouteRules, forwarded

AT_ONCE = 100  # recipients of one transaction


def transactions(
    recipients: Sequence[QueuedRecipient], rules: RouteRules
) -> list[list[QueuedRecipient]]:
    """Return the recipients by transaction, each with the address to be given at RCPT."""
    told = recipients if rules.redirect_to is None else [_told(each, rules) for each in recipients]
    return [list(told[start : start + AT_ONCE]) for start in range(0, len(told), AT_ONCE)]


def _told(recipient: QueuedRecipient, rules: RouteRules) -> QueuedRecipient:
    return replace(recipient, address=str(forwarded(parse_address(recipient.address), rules)))
