"""Pause rules: what they are, whom they stop, and letting go."""

from collections.abc import Collection, Sequence
from dataclasses import replace
from datetime import datetime

from relayd.mail.pause import Named, PauseRule, Side, Traits, rule_for
from relayd.store.memory.tables import Recipient, Tables


def rule_of(tables: Tables, recipient: Recipient, at: datetime) -> PauseRule | None:
    """Return the rule that stops its delivery."""
    new = tables.messages[recipient.message_id].new
    traits = Traits(
        sender=str(new.reverse_path or ""),
        tag=new.facts.tag,
        user=new.client.auth_user,
        domain=recipient.new.address.domain,
        destination=recipient.destination,
    )
    stopping = [rule for rule in tables.pause_rules.values() if Side.DELIVERY in rule.sides]
    return rule_for(traits, stopping, at)


def stop(tables: Tables, due: Sequence[Recipient], at: datetime, *, served: float) -> None:
    """Give recipients to the rules that stop them."""
    for recipient in due:
        rule = rule_of(tables, recipient, at)
        if rule is not None:
            recipient.stopped_by = rule.number
            recipient.uncounted -= served


def let_go(tables: Tables, at: datetime, *, served: float) -> None:
    """End the rules whose time is over, and make due what ended ones hold."""
    for number, rule in list(tables.pause_rules.items()):
        if rule.is_over(at):
            del tables.pause_rules[number]
    for recipient in tables.recipients():
        holding = tables.pause_rules.get(recipient.stopped_by)
        if recipient.stopped_by and (holding is None or Side.DELIVERY not in holding.sides):
            recipient.stopped_by = 0
            recipient.uncounted += served
            recipient.next_attempt_at = min(recipient.next_attempt_at, at)


def add(tables: Tables, rule: PauseRule) -> PauseRule:
    """Add a rule, or change the one that says the same until another time or for another reason."""
    said = (each for each in tables.pause_rules.values() if each.named.is_same(rule.named))
    number = next((each.number for each in said if each.sides == rule.sides), 0)
    if not number:
        number = tables.last_rule = tables.last_rule + 1
    tables.pause_rules[number] = replace(rule, number=number)
    return tables.pause_rules[number]


def end(
    tables: Tables, wanted: Collection[int | Named] | None, sides: Collection[Side]
) -> list[PauseRule]:
    """Take sides off rules; return what was taken of each."""
    ended = []
    for number, rule in list(tables.pause_rules.items()):
        gone = rule.sides & set(sides)
        if gone and rule.is_one_of(wanted):
            ended.append(replace(rule, sides=gone))
            tables.pause_rules[number] = replace(rule, sides=rule.sides - gone)
            if rule.sides == gone:
                del tables.pause_rules[number]
    return ended
