"""Whether mail that a site refuses because of our address goes by the smarthost instead.

Owns the judgement on one refusal. Which mail may fall back at all is `route.fallback_of`'s: only what goes
directly because nothing says otherwise. What the smarthost says then is final.

A refusal of our address says nothing of the recipient or the message, so the message itself is moved and
does not bounce: semantics S-15 has this exception. One that speaks of the sender's domain, or of the message, is
as true by another way, and bounces.
"""

from datetime import timedelta
from enum import StrEnum

from relayd.mail.attempt import AttemptFacts, RouteKind
from relayd.mail.words import About, Category
from relayd.policy.replies.classify import classify
from relayd.policy.replies.ruleset import Rules

FALLS_BACK_FOR = timedelta(hours=6)
"""So long the mail of a domain goes by the smarthost after such a refusal; custom, not measurement."""
_OF_THE_MAILBOX = ("5.1.", "5.2.")  # RFC 3463 §3.2, §3.3

WARM_UP_FALLS_BACK_FOR = timedelta(minutes=1)
"""So long it does after each turn of an address that receivers do not know yet, which may save up as many."""


class FallbackMode(StrEnum):
    AUTO = "auto"  # where there is a smarthost
    OFF = "off"


def refuses_our_address(facts: AttemptFacts, sender: str, rules: Rules) -> bool:
    """Tell whether a mail host of the recipient refuses mail of `sender` for good, and speaks of our address.

    Words that have the sender's domain in them are about that.
    """
    reply, peer = facts.reply, facts.peer
    if (
        reply is None
        or not reply.is_permanent
        or peer is None
        or peer.route is not RouteKind.DIRECT
    ):
        return False
    said, domain = reply.text.lower(), sender.rpartition("@")[2].lower()
    if (reply.enhanced or "").startswith(_OF_THE_MAILBOX):
        return False
    if domain and domain in said:
        return False
    found = classify(reply, facts.stage, rules)
    return found.category is Category.REPUTATION and found.about is About.ADDRESS
