"""Carry out rewriting rules on one message: its reverse-path, and the header of its content.

Mail with the null reverse-path is never rewritten: it is about mail, and our own reports are such (RFC 5321 §4.5.5).
The first rule that says something of the reverse-path settles it, also by what it is already; the same of From.
Other fields are changed by each rule in turn.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from relayd.mail.address import Address, parse_address
from relayd.mail.content import Content, spliced
from relayd.mail.header import header_end
from relayd.policy.delivery.route import matches
from relayd.policy.rewriting import author, fields, srs
from relayd.policy.rewriting.rules import DomainMap, Rewrite, RewriteRefused

HEADER_LIMIT = 256 * 1024  # octets of a header that can be changed
_LONGEST = 254  # octets of an address, RFC 5321 §4.5.3.1.3 without the brackets


@dataclass(frozen=True, slots=True, kw_only=True)
class Rewritten:
    """What the next hop is given, and what of it is not what the client wrote."""

    reverse_path: str
    content: Content
    changes: tuple[str, ...] = ()  # in words, for the history
    fixes_author: bool = False  # all mail that the rule is for has this From


@dataclass(frozen=True, slots=True, kw_only=True)
class SrsKey:
    """By which reverse-paths of forwarded mail are made, and when."""

    key: bytes
    now: datetime

    def __repr__(self) -> str:
        return f"SrsKey(key=***, now={self.now!r})"


def rewritten(
    reverse_path: str, content: Content, rules: Sequence[Rewrite], srs_key: SrsKey
) -> Rewritten:
    """Return what goes out for a message. Raises RewriteRefused, and ContentLost by `content`."""
    if not reverse_path or not rules:
        return Rewritten(reverse_path=reverse_path, content=content)
    sender = _sender(parse_address(reverse_path), rules, srs_key)
    changes = [] if sender == reverse_path else [f"sender {reverse_path} to {sender}"]
    fixes_author = False
    if any(rule.touches_header for rule in rules):
        end = header_end(content[:HEADER_LIMIT])
        if end == HEADER_LIMIT < len(content):
            raise RewriteRefused(
                f"its header has more than {HEADER_LIMIT} octets, too many to rewrite"
            )
        header = content[:end]
        if by := next((rule for rule in rules if _names_author(rule, header)), None):
            header = _with_author(header, by, changes)
        for rule in rules:
            header = _with_fields(header, rule, changes)
        if header != content[:end]:
            content = spliced(header, content, end)
            fixes_author = by is not None and by.header_from is not None
    return Rewritten(
        reverse_path=sender,
        content=content,
        changes=tuple(changes),
        fixes_author=fixes_author,
    )


def _sender(address: Address, rules: Sequence[Rewrite], srs_key: SrsKey) -> str:
    for rule in rules:
        fresh = _other_sender(address, rule, srs_key)
        if fresh is not None:
            if len(str(fresh).encode()) > _LONGEST:
                raise RewriteRefused(f"its sender would be longer than {_LONGEST} octets: {fresh}")
            return str(fresh)
    return str(address)


def _other_sender(address: Address, rule: Rewrite, srs_key: SrsKey) -> Address | None:
    if rule.envelope_from is not None:
        return rule.envelope_from
    if rule.srs_domain:
        try:
            return srs.forward(address, domain=rule.srs_domain, key=srs_key.key, now=srs_key.now)
        except srs.NoSrs as none:
            raise RewriteRefused(str(none)) from None
    return mapped(address, rule.envelope_domains)


def mapped(address: Address, domains: DomainMap) -> Address | None:
    """Return an address with the domain that takes the place of its own; None: no pattern has its domain."""
    domain = address.domain.lower()
    for pattern, other in domains.entries:
        if matches(domain, pattern):
            return Address(address.local, other)
    return None


def _names_author(rule: Rewrite, header: bytes) -> bool:
    """Tell whether a rule says something of From, as it is here."""
    return rule.header_from is not None or any(
        mapped(address, rule.header_domains)
        for value in fields.values(header, "From")
        for address in author.addresses(value) or ()
    )


def _with_author(header: bytes, rule: Rewrite, changes: list[str]) -> bytes:
    """Change From, and keep what it was: as Reply-To, or where there is one as X-Original-From."""
    before = fields.values(header, "From")
    if not before:
        changes.append(f"From added: {rule.header_from}")
        return fields.with_added(header, [("From", str(rule.header_from).encode())])
    after = fields.with_each(header, "From", _change_of(rule))
    if after == header:
        return header
    changes.append(f"From {_shown(before[0])} to {_shown(fields.values(after, 'From')[0])}")
    keeper = "X-Original-From" if fields.values(header, "Reply-To") else "Reply-To"
    if keeper == "Reply-To" and not author.addresses(before[0]):
        keeper = "X-Original-From"  # nobody could answer to it
    return fields.with_added(after, [(keeper, before[0])])


def _change_of(rule: Rewrite) -> Callable[[bytes], bytes]:
    fixed = rule.header_from
    if fixed is not None:
        return lambda value: (
            value if author.addresses(value) == [fixed] else author.with_address(value, fixed)
        )
    return lambda value: author.with_domains(
        value, lambda address: mapped(address, rule.header_domains) or address
    )


def _with_fields(header: bytes, rule: Rewrite, changes: list[str]) -> bytes:
    names = [name for name in rule.remove_headers if fields.values(header, name)]
    replaced = dict(rule.set_headers)
    if rule.header_sender is not None:
        replaced["Sender"] = str(rule.header_sender)
    header = fields.without(header, [*names, *replaced])
    added = [*replaced.items(), *rule.add_headers.items()]
    changes += [f"{name} removed" for name in names]
    changes += [f"{name} set" for name in replaced]
    changes += [f"{name} added" for name in rule.add_headers]
    return fields.with_added(header, [(name, value.encode()) for name, value in added])


def _shown(value: bytes) -> str:
    found = author.addresses(value)
    return ", ".join(map(str, found)) if found else "what cannot be read"
