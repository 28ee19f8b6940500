"""Pause rules in a worker: whom they stop at the door, and whose attempts they leave.

The rules are in the store. A number in memory that all workers share changes with them, so a look at it
tells whether what is known here is still so: a rule holds in every worker from the moment that the command
which made it returns. Who asks compares `stamp[0]` with `seen` first, and calls `look_again` if they differ;
for mail without rules that is all.
"""

from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from datetime import datetime

from relayd.mail.pause import PauseRule, Side, Traits, rule_for
from relayd.mail.reply import Reply

_REASON_LIMIT = 200  # characters: a reply line has 512 octets, RFC 5321 §4.5.3.1.5
_UNREAD = -1
# System not accepting network messages, RFC 3463 §3.4.
PAUSED = Reply(450, "4.3.2", ("4.3.2 Paused, try again later",))


class Pausing:
    """The rules as one worker knows them."""

    __slots__ = ("_read", "delivery", "intake", "seen", "stamp")

    def __init__(
        self,
        stamp: Sequence[int] = (0,),
        *,
        read: Callable[[], Collection[PauseRule] | None] = tuple,
    ) -> None:
        """`stamp` has one number; `read` returns the rules, None when it cannot just now."""
        self.stamp = stamp
        self.seen = _UNREAD
        self.intake: tuple[PauseRule, ...] = ()  # those with that side
        self.delivery: tuple[PauseRule, ...] = ()
        self._read = read

    def look_again(self) -> None:
        """Read the rules anew. Where they cannot be read, the old ones stay until the next look."""
        seen = self.stamp[0]
        rules = self._read()
        if rules is not None:
            self.seen = seen
            self.intake = tuple(rule for rule in rules if Side.INTAKE in rule.sides)
            self.delivery = tuple(rule for rule in rules if Side.DELIVERY in rule.sides)

    def forget(self) -> None:
        """Have the next who asks look again; what is known stays until then."""
        self.seen = _UNREAD

    def refusal(self, mail: Sequence[Traits], at: datetime) -> Reply | None:
        """Return the reply to mail with these traits, one for each recipient, if a rule stops any of it."""
        for traits in mail:
            if (rule := rule_for(traits, self.intake, at)) is not None:
                return refusal_of(rule)
        return None


def is_pause(refusal: Reply) -> bool:
    """Tell whether a refusal is no mistake of the client's, but a pause."""
    return (refusal.code, refusal.enhanced) == (PAUSED.code, PAUSED.enhanced)


def refusal_of(rule: PauseRule) -> Reply:
    """Return how mail is refused for now: with the operator's reason, as far as a reply can say it."""
    said = "".join(char if " " <= char <= "~" else "?" for char in rule.reason)[:_REASON_LIMIT]
    return replace(PAUSED, lines=(f"{PAUSED.enhanced} Paused: {said}",)) if said else PAUSED
