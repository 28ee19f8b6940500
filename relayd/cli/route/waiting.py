"""What the queue says of an address: how many wait, what is paused, and whether it is suppressed."""

from collections.abc import Mapping
from datetime import datetime

from relayd.answers import pauses
from relayd.answers.recipients import find_rows
from relayd.cli.context import NotRunning, now, open_view
from relayd.errors import StoreError
from relayd.mail.address import Address
from relayd.mail.pause import PauseRule, Side, Traits, rule_for
from relayd.policy.delivery.route import RouteFacts, mx_domain_of
from relayd.ports.view import Query, QueueView, RecipientRow

Fields = Mapping[str, object]


def waiting_fields(key: str, wanted: Address, told: Address, facts: RouteFacts) -> Fields:
    """Return what is known of a destination and an address, or why the queue cannot be asked.

    `told` is whom the mail is for after a redirect. `why` is there only where mail would wait: what pauses it.
    """
    try:
        with open_view() as view:
            waiting = view.counts().by_destination.get(key, 0)
            domain = wanted.domain if told == wanted else None
            paused = _paused(view, key, domain, now()) if waiting else None
            rules = _rules(view, key, wanted, facts)
            return {
                "waiting": waiting,
                "paused_until": None if paused is None else paused.paused_until,
                "paused_for": None if paused is None else paused.paused_for or None,
                "pauses": [*map(pauses.fields, rules)],
                **_suppression(view, wanted),
                **_why(rules, paused),
            }
    except NotRunning as nothing:
        return {"queue": nothing.format_message()}
    except StoreError as error:
        return {"queue": f"the queue cannot be read: {error}"}


def _rules(view: QueueView, key: str, wanted: Address, facts: RouteFacts) -> list[PauseRule]:
    """The pauses of operators that such mail meets, as far as is known whose it is: of each side one."""
    traits = Traits(sender=facts.sender, user=facts.user, domain=wanted.domain, destination=key)
    rules, at = view.pause_rules(), now()
    stopping = (
        rule_for(traits, [rule for rule in rules if side in rule.sides], at) for side in Side
    )
    return [*{rule.number: rule for rule in stopping if rule is not None}.values()]


def _why(rules: list[PauseRule], paused: RecipientRow | None) -> Fields:
    for rule in rules:
        told = f"{pauses.sides_in_words(rule)} of {rule.named}, {pauses.in_words(rule, None)}"
        return {"why": f"paused {told} (relayd resume {rule.number})"}
    if paused is None:
        return {}
    return {"why": paused.paused_for or "the destination is left alone for a while"}


def _suppression(view: QueueView, wanted: Address) -> Fields:
    rows = view.addresses(Query(recipient=(str(wanted),)), limit=1)
    some = next((row.suppress_for for row in rows), ())
    return {"suppress": any(row.suppress for row in rows), "suppress_for": some or None}


def _paused(view: QueueView, key: str, domain: str | None, at: datetime) -> RecipientRow | None:
    """Return one who waits for a destination that is left alone: those know until when, and why."""
    narrowed = (domain,) if domain and mx_domain_of(key) else ()  # of many domains, all
    waiting = find_rows(view, Query(domain=narrowed, unfinished=True), limit=0)
    row = next((each for each in waiting if each.destination == key), None)
    is_left_alone = row is not None and row.paused_until is not None and row.paused_until > at
    return row if is_left_alone else None
