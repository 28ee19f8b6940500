"""Which addresses clients may use, and how many messages they may hand over: keys of `[[listen]]`, `[logins.NAME]` and `[networks."NETWORK"]`."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Protocol

from pydantic import PlainValidator

from relayd.config import units
from relayd.config.fields import LimitOrOff, Table
from relayd.config.senders import sender_pattern
from relayd.policy.delivery.senders import NULL, SenderPatterns
from relayd.policy.intake.access import ANYTHING, AccessRules, Allowed, Networks
from relayd.policy.intake.quota import Quota, QuotaRules


def network_name(value: object) -> str:
    """Read a key of `[networks]`, as it is written."""
    units.network(value)
    return units.text(value)


def _sender(value: object) -> str:
    try:
        return sender_pattern(value)
    except ValueError:
        raise ValueError(
            'expected a sender: "a@b.example", "example.org", "*.example.org" for all below it,'
            ' or "<>" for the null reverse-path alone'
        ) from None


def _author(value: object) -> str:
    try:
        pattern = sender_pattern(value)
    except ValueError:
        pattern = NULL
    if pattern == NULL:
        raise ValueError(
            'expected an address of From: "a@b.example", "example.org", or "*.example.org" for all below it'
        )
    return pattern


SenderList = list[Annotated[str, PlainValidator(_sender)]]
AuthorList = list[Annotated[str, PlainValidator(_author)]]


class AccessKeys(Table):
    """An empty list allows all."""

    allowed_senders: SenderList = []
    allowed_from: AuthorList = []


class QuotaKeys(Table):
    """How many messages; 0 is no limit."""

    messages_per_minute: LimitOrOff = 0
    messages_per_hour: LimitOrOff = 0
    messages_per_day: LimitOrOff = 0


class NetworkTable(QuotaKeys, AccessKeys):
    """What holds for clients in a network; of several around a client the smallest counts."""


class _HasLists(Protocol):
    @property
    def allowed_senders(self) -> Sequence[str]: ...
    @property
    def allowed_from(self) -> Sequence[str]: ...


def allowed_by(table: _HasLists) -> Allowed:
    """Return what a table allows."""
    if not table.allowed_senders and not table.allowed_from:
        return ANYTHING
    return Allowed(
        senders=SenderPatterns(tuple(table.allowed_senders)),
        header_from=SenderPatterns(tuple(table.allowed_from)),
    )


def access_rules(
    logins: Mapping[str, AccessKeys], networks: Mapping[str, NetworkTable]
) -> AccessRules:
    """Return what decides which addresses the mail of a client may have."""
    return AccessRules(
        logins=dict(_lists_of(logins)),
        networks=_named(networks),
        in_network=dict(_lists_of(networks)),
    )


def _lists_of(tables: Mapping[str, AccessKeys]) -> Iterator[tuple[str, Allowed]]:
    for name, table in tables.items():
        if (allowed := allowed_by(table)) is not ANYTHING:
            yield name, allowed


def quota_rules(
    logins: Mapping[str, QuotaKeys], networks: Mapping[str, NetworkTable]
) -> QuotaRules:
    """Return how many messages a client may hand over."""
    return QuotaRules(
        logins=dict(_quotas_of(logins)),
        networks=_named(networks),
        in_network=dict(_quotas_of(networks)),
    )


def _quotas_of(tables: Mapping[str, QuotaKeys]) -> Iterator[tuple[str, Quota]]:
    for name, table in tables.items():
        quota = Quota(
            per_minute=table.messages_per_minute,
            per_hour=table.messages_per_hour,
            per_day=table.messages_per_day,
        )
        if any(quota.most):
            yield name, quota


def _named(networks: Mapping[str, NetworkTable]) -> Networks:
    return Networks(tuple((name, units.network(name)) for name in networks))


def same_networks(names: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Yield each name of a network that has an earlier one, and that."""
    seen: dict[object, str] = {}
    for name in names:
        first = seen.setdefault(units.network(name), name)
        if first != name:
            yield name, first
