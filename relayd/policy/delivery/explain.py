"""Say in words why a reply was judged as it was, and why the next attempt is when it is.

Owns no judgement: it asks the functions that judged, with the same facts, and names the rule, the words
and the setting behind the result. `relayd trace` asks while that happens, `relayd status show
--explain` afterwards, about what the history holds.
"""

from dataclasses import dataclass
from datetime import timedelta

from relayd.mail.reply import Reply, Stage
from relayd.policy.delivery import retry
from relayd.policy.delivery.retry import RetrySettings
from relayd.policy.delivery.verdict import ONCE_MORE, REFUSED_FOR_NOW, SPARED
from relayd.policy.replies.classify import classify
from relayd.policy.replies.phrases import TEXT_LIMIT, words_of
from relayd.policy.replies.quoted import read
from relayd.policy.replies.ruleset import Rules


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleUsed:
    """Which rule judged a reply."""

    rule: str  # its id; empty: no rule knows the reply
    category: str
    words: str  # of the reply, reduced, that the rule looks for; empty: it needs none

    def __str__(self) -> str:
        return f"rule {self.named}" if self.rule else self.named

    @property
    def named(self) -> str:
        """The same for a field of the name `rule`."""
        if not self.rule:
            return "no rule knows these words"
        return self.rule + (f', which looks for "{self.words}"' if self.words else "")


def rule_used(reply: Reply, stage: Stage | None, rules: Rules) -> RuleUsed:
    """Return the rule that judges a reply, and the words that it found."""
    found = classify(reply, stage, rules)
    entries = (*rules.rules.entries, *rules.vetoes.entries)
    phrases = [one.phrase for one in entries if one.phrase and one.rule.id == found.rule]
    told = read(reply.text[:TEXT_LIMIT], reply.code, stage)
    texts = [words_of(text) for text in (told.quoted, told.text) if text]
    words = next((seen for text in texts for one in phrases if (seen := one.seen_in(text))), "")
    return RuleUsed(rule=found.rule, category=found.category.value, words=words)


@dataclass(frozen=True, slots=True, kw_only=True)
class Deferral:
    """What is known of an attempt that is to be repeated."""

    wait: timedelta  # from its record to the next one
    attempt: int
    soft_failures: int  # so far, this one included where it is one
    unknown_outcomes: int  # the same, of those that may have delivered the message
    reason: str
    reply: str  # text; empty: there was none
    possible_duplicate: bool


def why_wait(deferral: Deferral, rules: RetrySettings) -> str:
    """Return why the next attempt is when it is, by the settings `rules`."""
    planned, setting = _planned(deferral, rules)
    said = f"{in_words(deferral.wait)} after this attempt: {setting} = {in_words(planned)}"
    asked = retry.asked_for(deferral.reply)
    if asked is not None and retry.heed(planned, asked) != planned:
        return f"{said}, and the server asks for {in_words(asked)}"
    spread = deferral.wait - planned
    if timedelta(seconds=1) <= spread <= planned * retry.SPREAD:
        return f"{said}, and {in_words(spread)} so that not all come at once"
    if abs(spread) >= timedelta(seconds=1):
        return f"{in_words(deferral.wait)} after this attempt; by {setting} of now it is {in_words(planned)}"
    return said


def _planned(deferral: Deferral, rules: RetrySettings) -> tuple[timedelta, str]:
    """Return the wait before chance and the server's wish, and the setting that has it."""
    if deferral.reason.endswith(ONCE_MORE):
        return retry.SECOND_LOOK, "the second look at the DNS"
    if deferral.reason.startswith(SPARED):
        if deferral.possible_duplicate:
            wait = retry.while_copies_are_spared(deferral.unknown_outcomes, rules, jitter=0)
            return wait, "retry.unreachable, doubled with each possible copy, for soft_bounce is on"
        return _step(
            rules.unreachable, deferral.attempt, "retry.unreachable, for soft_bounce is on"
        )
    if deferral.reason.startswith(REFUSED_FOR_NOW):
        return _step(rules.soft_bounce, deferral.soft_failures, "retry.soft_bounce")
    if deferral.possible_duplicate and deferral.unknown_outcomes:
        return _step(rules.unknown_outcome, deferral.unknown_outcomes, "retry.unknown_outcome")
    failures = max(1, deferral.attempt - deferral.soft_failures)
    return _step(rules.unreachable, failures, "retry.unreachable")


def _step(waits: tuple[timedelta, ...], number: int, setting: str) -> tuple[timedelta, str]:
    number = max(1, min(number, len(waits)))
    return waits[number - 1] if waits else timedelta(0), f"step {number} of {setting}"


def in_words(duration: timedelta) -> str:
    """Return a duration in its largest unit that is exact enough: 90 s, 15 min, 2.5 h, 5 days."""
    seconds = duration.total_seconds()
    for size, unit in ((86400, "days"), (3600, "h"), (60, "min")):
        if abs(seconds) >= 2 * size:
            return f"{round(seconds / size, 1):g} {unit}"
    return f"{round(seconds, 1):g} s"
