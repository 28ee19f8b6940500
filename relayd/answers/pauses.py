"""Pause rules in words and as fields: what is paused, until when, by whom, why."""

from relayd.mail.pause import PauseRule, Side
from relayd.mail.words import instant


def fields(rule: PauseRule) -> dict[str, object]:
    """Return a rule as JSON fields."""
    return {
        "pause": rule.number,
        "scope": rule.named.scope.value,
        "value": rule.named.value,
        "sides": sorted(side.value for side in rule.sides),
        "since": rule.since,
        "until": rule.until,
        "by": rule.by,
        "reason": rule.reason,
    }


def sides_in_words(rule: PauseRule) -> str:
    return " and ".join(side.value for side in Side if side in rule.sides)


def in_words(rule: PauseRule) -> str:
    """Return until when, by whom and why; what is paused comes before."""
    until = f"until {instant(rule.until)}" if rule.until else "until somebody ends it"
    return f"{until}, by {rule.by}" + (f": {rule.reason}" if rule.reason else "")
