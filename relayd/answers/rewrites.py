"""What rewriting rules would do with a mail that nobody has seen yet, in words."""

from collections.abc import Iterable, Iterator

from relayd.mail.address import parse_address
from relayd.policy.rewriting.apply import mapped
from relayd.policy.rewriting.rules import DomainMap, Rewrite


def in_words(tables: Iterable[tuple[str, Rewrite]], sender: str) -> Iterator[str]:
    """Say what the rules of some tables, that of the sender first, make of mail of a sender."""
    rules = [*tables]
    mail_from = ((table, _mail_from(rule, sender)) for table, rule in rules)
    if first := next(((table, text) for table, text in mail_from if text), None):
        yield f"MAIL FROM: {first[1]}, by {first[0]}"
    for table, rule in rules:
        author = _author(rule)
        if author:
            yield f"From: {author}, by {table}"
        if rule.header_from is not None:
            break
    for table, rule in rules:
        for change in _fields(rule):
            yield f"{change}, by {table}"


def _mail_from(rule: Rewrite, sender: str) -> str:
    if rule.envelope_from is not None:
        return str(rule.envelope_from)
    if rule.srs_domain:
        return f"an SRS address at {rule.srs_domain}"
    other = mapped(parse_address(sender), rule.envelope_domains)
    return "" if other is None else str(other)


def _author(rule: Rewrite) -> str:
    return _domains(rule.header_domains) if rule.header_from is None else str(rule.header_from)


def _domains(domains: DomainMap) -> str:
    return ", ".join(f"{other} instead of {pattern}" for pattern, other in domains.entries)


def _fields(rule: Rewrite) -> Iterator[str]:
    if rule.header_sender is not None:
        yield f"Sender: {rule.header_sender}"
    yield from (f"{name}: {value}" for name, value in rule.set_headers.items())
    yield from (f"{name}: {value}, added" for name, value in rule.add_headers.items())
    yield from (f"{name} removed" for name in rule.remove_headers)
