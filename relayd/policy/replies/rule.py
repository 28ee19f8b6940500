"""One rule that classifies replies, and the facts of a reply it may look at.

Owns both types. `relayd.policy.replies.rulefile` reads rules from TOML, `relayd.policy.replies.ruleset` finds the
one that decides.
"""

from dataclasses import dataclass

from relayd.mail.reply import Stage
from relayd.mail.words import About, Category
from relayd.policy.replies.phrases import Phrase, Words


@dataclass(frozen=True, slots=True)
class Facts:
    """What the rules may look at. The sets hold each code with its wider forms."""

    words: Words
    codes: frozenset[str]  # {"550", "5xx"}; {"none"} when unknown
    statuses: frozenset[str]  # {"5.1.1", "x.1.1", "5.1.x", "x.1.x"}; empty when unknown
    stage: Stage | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One rule: every condition that is not empty must hold."""

    id: str
    category: Category
    text: tuple[Phrase, ...] = ()  # one of them
    unless: tuple[Phrase, ...] = ()  # none of them
    link: frozenset[str] = frozenset()
    code: frozenset[str] = frozenset()
    enhanced: frozenset[str] = frozenset()
    stage: frozenset[Stage] = frozenset()
    permanent: bool | None = None  # None: as the reply code says
    suppress: bool = True  # false: not even category bad_mailbox or bad_domain suppresses
    about: About | None = None  # None: as the category says
    remedy: str = ""

    def may_apply(self, facts: Facts) -> bool:
        """Whether the conditions hold that cost little: code, enhanced, stage and link."""
        if self.code and self.code.isdisjoint(facts.codes):
            return False
        if self.enhanced and self.enhanced.isdisjoint(facts.statuses):
            return False
        if self.stage and facts.stage not in self.stage:
            return False
        return not self.link or not self.link.isdisjoint(facts.words.links)

    def is_excluded(self, words: Words) -> bool:
        """Whether one of the `unless` phrases is in the text."""
        return bool(self.unless) and any(phrase.found_in(words) for phrase in self.unless)
