"""What an attempt shows of a site: that we are too fast, that our address has a bad name, or nothing.

Owns no judgement on the mail, which is `relayd.policy.delivery.verdict`'s. Most refusals are about a message or its recipient, and
say nothing of the site. When in doubt, nothing: a site that is left alone by mistake holds up all its mail.
"""

from collections.abc import Sequence

from relayd.mail.reply import Reply, Stage
from relayd.mail.words import About, Category
from relayd.policy.delivery.retry import asked_for
from relayd.policy.pace import Saw, Seen
from relayd.policy.replies.classify import classify
from relayd.policy.replies.ruleset import Rules

_AT_DOOR = frozenset({Stage.CONNECT, Stage.GREETING, Stage.EHLO, Stage.STARTTLS, Stage.AUTH})
# RFC 3463 §3.2 and §3.3: of an address or its mailbox; 4.5.3 is too many recipients in one transaction.
_OF_THE_MAIL = ("4.1.", "4.2.", "4.5.3", "5.1.", "5.2.")
_GRAVEST = (Saw.BLOCKED, Saw.MISTRUST, Saw.SLOW, Saw.ACCEPTED, Saw.NOTHING)


def sign_of(reply: Reply | None, stage: Stage, rules: Rules) -> Saw:
    """Return what one reply shows; None: there was none."""
    if reply is None:
        return Saw.NOTHING
    if reply.is_positive:
        return Saw.ACCEPTED if stage is Stage.DOT else Saw.NOTHING
    if (reply.enhanced or "").startswith(_OF_THE_MAIL):
        return Saw.NOTHING
    found = classify(reply, stage, rules)
    match found.category, found.about:
        case Category.REPUTATION, About.ADDRESS:
            return Saw.BLOCKED if reply.is_permanent else Saw.MISTRUST
        case Category.RATE_LIMIT | Category.REPUTATION, About.ADDRESS | About.VOLUME:
            # Connections that are too many are fewer from then on (`throttle`): fewer messages are no remedy.
            is_of_connections = stage in _AT_DOOR and "connection" in reply.text.lower()
            return Saw.NOTHING if reply.is_permanent or is_of_connections else Saw.SLOW
        case _:
            return Saw.NOTHING


def seen_of(
    replies: Sequence[tuple[Reply | None, Stage]],
    rules: Rules,
    *,
    went: float = 0.0,
    message: int = 0,
    has_other_way: bool = False,
) -> Seen:
    """Return the gravest of what the replies of one transaction show, or of the hosts that let nobody in."""
    signs = [(sign_of(reply, stage, rules), reply) for reply, stage in replies]
    saw, reply = min(signs, key=lambda each: _GRAVEST.index(each[0]), default=(Saw.NOTHING, None))
    if reply is None or saw in (Saw.ACCEPTED, Saw.NOTHING):
        return Seen(saw=saw)
    wish = asked_for(reply.text)
    return Seen(
        saw=saw,
        reply=str(reply),
        asked_for=wish.total_seconds() if wish else 0.0,
        went=went,
        message=message,
        has_other_way=has_other_way,
    )
