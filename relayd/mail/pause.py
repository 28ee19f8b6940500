"""Pause rules: which mail is not taken, or waits undelivered, until when, by whose word.

A rule is about mail that is there and mail to come. Owns what a rule is and whom it fits; when a refusal is
given and when an attempt is left is for `relayd.policy.pausing` and the stores. The words of scopes
reach the disk; their spelling is stable for ever.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple

from relayd.mail.address import compared_domain

if TYPE_CHECKING:  # questions need none of it
    from relayd.mail.envelope import QueuedMessage, QueuedRecipient


class Scope(StrEnum):
    """What a rule names."""

    ALL = "all"
    SENDER = "sender"  # the reverse-path
    TAG = "tag"
    USER = "user"  # that the client logged in as
    DOMAIN = "domain"  # of a recipient
    DESTINATION = "destination"  # the route key


class Side(StrEnum):
    """What a rule stops."""

    INTAKE = "intake"
    DELIVERY = "delivery"


class Named(NamedTuple):
    """Whose mail is meant: a scope, and the name in it; empty for ALL and the null reverse-path."""

    scope: Scope
    value: str = ""

    def is_same(self, other: "Named") -> bool:
        """Tell whether both mean the same mail.

        Case does not count, but in the names of users; nor whether a domain has U-labels or A-labels.
        """
        if self.scope is not other.scope:
            return False
        if self.scope is Scope.USER or self.value == other.value:
            return self.value == other.value
        return _compared(self) == _compared(other)

    def __str__(self) -> str:
        if self.scope is Scope.ALL:
            return "all mail"
        return f"{self.scope} {self.value or '<>'}"


def _compared(named: Named) -> str:
    value = named.value
    if value.isascii():
        return value.lower()
    if named.scope is Scope.SENDER:
        local, at, domain = value.rpartition("@")
        return f"{local.lower()}{at}{compared_domain(domain)}"
    if named.scope is Scope.DESTINATION:  # a route key, such as mx:DOMAIN
        return ":".join(map(compared_domain, value.split(":")))
    return compared_domain(value) if named.scope is Scope.DOMAIN else value.lower()


@dataclass(frozen=True, slots=True, kw_only=True)
class PauseRule:
    """An operator's word that some mail is to wait."""

    named: Named
    sides: frozenset[Side]
    since: datetime
    until: datetime | None  # None: until somebody ends it
    by: str
    reason: str
    number: int = 0  # given by the store, from 1

    def is_one_of(self, wanted: Collection[int | Named] | None) -> bool:
        """Tell whether it is among rules given by number or name; None: all of them."""
        return (
            wanted is None
            or self.number in wanted
            or any(isinstance(each, Named) and self.named.is_same(each) for each in wanted)
        )

    def is_over(self, at: datetime) -> bool:
        return self.until is not None and at >= self.until


class Traits(NamedTuple):
    """What a rule looks at; None where that is not known yet, which fits no rule that names it."""

    sender: str | None = None
    tag: str | None = None
    user: str | None = None
    domain: str | None = None
    destination: str | None = None


def traits_of(message: "QueuedMessage", recipient: "QueuedRecipient", destination: str) -> Traits:
    """Return what rules look at in a recipient that is about to be tried."""
    return Traits(
        sender=message.reverse_path,
        tag=message.tag,
        user=message.user,
        domain=recipient.address.rpartition("@")[2],
        destination=destination,
    )


def rule_for(traits: Traits, rules: Iterable[PauseRule], at: datetime | None) -> PauseRule | None:
    """Return the first of some rules that stops such mail at that instant; None: whatever their ends.

    Values are compared as in `Named.is_same`.
    """
    for rule in rules:
        if not (at and rule.is_over(at)) and _fits(rule.named, traits):
            return rule
    return None


def _fits(named: Named, traits: Traits) -> bool:
    if named.scope is Scope.ALL:
        return True
    value: str | None = getattr(traits, named.scope)
    return value is not None and named.is_same(Named(named.scope, value))
