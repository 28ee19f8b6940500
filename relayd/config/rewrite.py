"""What is rewritten: keys of `[senders."PATTERN"]`, `[smarthost]` and `[smarthosts.NAME]`."""

import re
from collections.abc import Iterator
from typing import Annotated

from pydantic import Field, PlainValidator

from relayd.config import routes as where
from relayd.config import units
from relayd.config.fields import Table
from relayd.mail.address import parse_address
from relayd.policy.rewriting.rules import DomainMap, Rewrite

_FIELD_NAME = re.compile(r"[!-9;-~]{1,70}")  # RFC 5322 §2.2: printable ASCII without the colon
_LONGEST = 900  # octets of a value: with its name on one line of 998, RFC 5322 §2.1.1
_TRACE = frozenset({"received", "return-path"})  # what loops are found by
_HAS_A_KEY = {"from": "header_from", "sender": "header_sender"}


def field_name(value: object) -> str:
    """Read the name of a header field that may be changed."""
    text = units.text(value)
    if not _FIELD_NAME.fullmatch(text):
        raise ValueError('expected the name of a header field, such as "X-Mailer"')
    if text.lower() in _TRACE:
        raise ValueError("trace fields stay: by them mail that goes in circles is found")
    return text


def _set_name(value: object) -> str:
    name = field_name(value)
    if key := _HAS_A_KEY.get(name.lower()):
        raise ValueError(f"{name} has a key of its own: {key}")
    return name


def _field_value(value: object) -> str:
    text = units.text(value)
    if not text.isascii() or not 0 < len(text) <= _LONGEST:
        raise ValueError(
            f"expected 1 to {_LONGEST} characters of ASCII; others as RFC 2047 has them"
        )
    return text


def _domain(value: object) -> str:
    domain = where.domain_or_none(value)
    if not domain:
        raise ValueError('expected a domain such as "example.org"')
    return domain


AddressOrNone = Annotated[str, PlainValidator(where.address_or_none)]
Domains = dict[
    Annotated[str, PlainValidator(where.pattern)], Annotated[str, PlainValidator(_domain)]
]
FieldValues = dict[
    Annotated[str, PlainValidator(_set_name)], Annotated[str, PlainValidator(_field_value)]
]


class RewriteKeys(Table):
    """The keys by which a table rewrites mail; without them it does not."""

    envelope_from: AddressOrNone = ""
    envelope_domains: Domains = Field(default_factory=dict)
    srs_domain: Annotated[str, PlainValidator(where.domain_or_none)] = ""
    header_from: AddressOrNone = ""
    header_domains: Domains = Field(default_factory=dict)
    header_sender: AddressOrNone = ""
    set_headers: FieldValues = Field(default_factory=dict)
    add_headers: FieldValues = Field(default_factory=dict)
    remove_headers: list[Annotated[str, PlainValidator(field_name)]] = []


VALUE_TABLES = frozenset(
    name for name, value in RewriteKeys().model_dump().items() if isinstance(value, dict)
)
"""The keys whose value is a table, all of it one value."""


def rewrite_of(table: RewriteKeys) -> Rewrite | None:
    """Return the rule that a table gives; None: it rewrites nothing."""
    rule = Rewrite(
        envelope_from=parse_address(table.envelope_from) if table.envelope_from else None,
        envelope_domains=DomainMap(entries=tuple(table.envelope_domains.items())),
        srs_domain=table.srs_domain,
        header_from=parse_address(table.header_from) if table.header_from else None,
        header_domains=DomainMap(entries=tuple(table.header_domains.items())),
        header_sender=parse_address(table.header_sender) if table.header_sender else None,
        set_headers=table.set_headers,
        add_headers=table.add_headers,
        remove_headers=tuple(table.remove_headers),
    )
    return None if rule == Rewrite() else rule


def rivals_in(table: RewriteKeys) -> Iterator[tuple[str, str]]:
    """Yield each key that says what another one says already, and that one."""
    groups = (
        ("envelope_from", "envelope_domains", "srs_domain"),
        ("header_from", "header_domains"),
    )
    for group in groups:
        given = [name for name in group if getattr(table, name)]
        for name in given[1:]:
            yield name, given[0]
    for name in table.add_headers.keys() & table.set_headers.keys():
        yield "add_headers", f'set_headers."{name}"'
