"""Judge a message by the score that a content checker gave it.

Owns the rules of `[content]`: what was found and the rules in, a verdict out. Which checker it was
and how it was asked is `relayd.net.content`'s affair. The checker's words are clean when they come.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from relayd.mail.envelope import ContentCheck
from relayd.mail.reply import Reply

SPAM = Reply(550, "5.7.1", ("5.7.1 Content is spam to the checker of this relay",))
NOT_CHECKED = Reply(451, "4.7.1", ("4.7.1 Content cannot be checked now, try again later",))

_NAMED = 8  # symbols in a reason


class WhenDown(StrEnum):
    """What becomes of a message that cannot be checked."""

    ACCEPT = "accept"
    DEFER = "defer"


@dataclass(frozen=True, slots=True, kw_only=True)
class ContentRules:
    """What a score leads to; None: to nothing."""

    tag: float | None  # noted in the history from here on
    hold: float | None
    refuse: float | None
    when_down: WhenDown
    size_limit: int  # octets of the largest message that is checked

    @property
    def has_effect(self) -> bool:
        return self.lowest is not None

    @property
    def lowest(self) -> float | None:
        """The score from which on something happens."""
        return min(
            (each for each in (self.tag, self.hold, self.refuse) if each is not None), default=None
        )


@dataclass(frozen=True, slots=True)
class Symbol:
    """One thing that a checker found."""

    name: str
    score: float
    description: str  # its own words; may be empty


@dataclass(frozen=True, slots=True, kw_only=True)
class Scored:
    """What a checker says of a message."""

    score: float
    required: float  # from here on the checker itself calls it spam
    symbols: Sequence[Symbol]

    @property
    def by_weight(self) -> Sequence[Symbol]:
        """What speaks most against the message comes first."""
        return sorted(self.symbols, key=lambda symbol: (-symbol.score, symbol.name))


@dataclass(frozen=True, slots=True, kw_only=True)
class Unchecked:
    """There is no score."""

    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """The message is not taken."""

    reply: Reply
    score: float | None
    reason: str  # for the operator


Verdict = ContentCheck | Refusal | None
"""None: the message goes on, and nothing is noted."""


def too_large(size: int, rules: ContentRules) -> ContentCheck | None:
    """Judge by the size alone; None: it is to be checked."""
    if size <= rules.size_limit:
        return None
    return ContentCheck(score=None, reason=f"not checked: larger than {rules.size_limit} octets")


def judge(found: Scored | Unchecked, rules: ContentRules) -> Verdict:
    """Say what becomes of a message."""
    if isinstance(found, Unchecked):
        reason = f"not checked: {found.reason}"
        if rules.when_down is WhenDown.DEFER:
            return Refusal(reply=NOT_CHECKED, score=None, reason=reason)
        return ContentCheck(score=None, reason=reason)
    score = found.score
    if rules.refuse is not None and score >= rules.refuse:
        return Refusal(reply=SPAM, score=score, reason=_reason(found, "refused", rules.refuse))
    if rules.hold is not None and score >= rules.hold:
        reason = _reason(found, "held", rules.hold)
        return ContentCheck(score=score, reason=reason, holds=True)
    if rules.tag is not None and score >= rules.tag:
        return ContentCheck(score=score, reason=_reason(found, "noted", rules.tag))
    return None


def _reason(found: Scored, what: str, since: float) -> str:
    named = [f"{each.name} {each.score:g}" for each in found.by_weight if each.score > 0]
    names = f": {', '.join(named[:_NAMED])}" if named else ""
    return f"content scored {found.score:.4g}, {what} from {since:g} on{names}"
