"""Pause rules in words and as fields: what is paused, until when, by whom, why."""

from collections.abc import Sequence
from datetime import UTC, tzinfo

from relayd.mail.pause import PauseRule, Side, Traits, rule_for
from relayd.mail.words import format_instant, instant
from relayd.ports.view import RecipientRow, Status

FIELDS = ("pause", "scope", "value", "sides", "since", "until", "by", "reason")
"""The names of `fields`, in their order."""


def fields(rule: PauseRule) -> dict[str, object]:
    """Return a rule as JSON fields, instants as text."""
    return {
        "pause": rule.number,
        "scope": rule.named.scope.value,
        "value": rule.named.value,
        "sides": sorted(side.value for side in rule.sides),
        "since": format_instant(rule.since),
        "until": None if rule.until is None else format_instant(rule.until),
        "by": rule.by,
        "reason": rule.reason,
    }


def sides_in_words(rule: PauseRule) -> str:
    return " and ".join(side.value for side in Side if side in rule.sides)


def in_words(rule: PauseRule, zone: tzinfo | None = UTC) -> str:
    """Return until when, by whom and why; what is paused comes before. `zone` as for `instant`."""
    until = f"until {instant(rule.until, zone)}" if rule.until else "until somebody ends it"
    return f"{until}, by {rule.by}" + (f": {rule.reason}" if rule.reason else "")


def rule_that_holds(row: RecipientRow, rules: Sequence[PauseRule]) -> PauseRule | None:
    """Return the rule that stops the delivery of a recipient, whatever its end; None: none does."""
    if row.status not in (Status.QUEUED, Status.DEFERRED):
        return None
    stopping = [rule for rule in rules if Side.DELIVERY in rule.sides]
    traits = Traits(
        sender=row.reverse_path,
        tag=row.tag,
        user=row.auth_user,
        domain=row.address.rpartition("@")[2],
        destination=row.destination,
    )
    return rule_for(traits, stopping, None)
