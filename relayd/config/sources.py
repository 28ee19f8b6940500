"""`[[direct.source]]`: the addresses that direct mode sends from, and who may use them.

`direct.source_addresses` is the short form, for addresses alone.
"""

from contextlib import suppress
from datetime import date, datetime
from ipaddress import ip_address
from typing import TYPE_CHECKING, Annotated

from pydantic import PlainSerializer, PlainValidator

from relayd.config import routes as where
from relayd.config.fields import Table
from relayd.config.logins import login_name
from relayd.config.senders import sender_pattern
from relayd.config.smarthosts import fqdn_or_none
from relayd.policy.delivery.source import SHORT_FORM, Source

if TYPE_CHECKING:
    from relayd.config.mistakes import Report
    from relayd.config.model import Direct

_WARM_UP = ("direct", "warm_up")
_SOURCE = ("direct", "source")
_ADDRESSES = ("direct", "source_addresses")


def _sender_or_login(value: object) -> str:
    """Read one of those that a source is for."""
    for read in (sender_pattern, login_name):
        with suppress(ValueError):
            return read(value)
    raise ValueError(
        'expected a sender, "a@b.example", "example.org", "*.example.org" for all below it,'
        ' or "<>" for the null reverse-path; or the name of a login'
    )


def _day(value: object) -> date:
    """Read a day, as TOML or as text has it."""
    if isinstance(value, date) and not isinstance(value, datetime):
        return value
    with suppress(ValueError, TypeError):
        return date.fromisoformat(value)  # type: ignore[arg-type]
    raise ValueError("expected a day such as 2026-12-01, without quotes")


WarmUp = dict[
    Annotated[str, PlainValidator(where.ip)],
    Annotated[date, PlainValidator(_day), PlainSerializer(str, when_used="json")],
]


class DirectSource(Table):
    address: Annotated[str, PlainValidator(where.ip)]
    helo: Annotated[str, PlainValidator(fqdn_or_none)] = ""
    senders: list[Annotated[str, PlainValidator(_sender_or_login)]] = []


def sources_of(direct: "Direct") -> tuple[Source, ...]:
    """Return the sources of either form."""
    if direct.source:
        return tuple(
            Source(address=each.address, helo=each.helo, senders=tuple(each.senders))
            for each in direct.source
        )
    return tuple(Source(address=each) for each in direct.source_addresses)


def named_by(direct: "Direct") -> str:
    """Return the key that names the sources."""
    return ".".join(_SOURCE) if direct.source else SHORT_FORM


def check_sources(direct: "Direct", report: "Report") -> None:
    """Note a source that would have no effect, and mail that would have no source."""
    named = {each.address for each in sources_of(direct)}
    for address in direct.warm_up if report.is_sound(_SOURCE, _ADDRESSES) else ():
        if address not in named:
            report.add(_WARM_UP, f"{address} is no source: name it in direct.source_addresses")
    if direct.source and direct.source_addresses:
        report.add(_ADDRESSES, "is the short form of [[direct.source]]; keep one of them")
    if direct.source and all(each.senders for each in direct.source):
        report.add(_SOURCE, "needs one without senders, which all other mail is sent from")
    versions = {family.version for family in direct.families}
    are_sound = report.is_sound(("direct", "families"))
    seen: dict[str, int] = {}
    for index, source in enumerate(sources_of(direct)):
        key = (*_SOURCE, index, "address") if direct.source else (*_ADDRESSES, index)
        if not report.is_sound(key):
            continue
        version = ip_address(source.address).version
        if are_sound and version not in versions:
            report.add(key, f"an IPv{version} address, which direct.families leaves out")
        first = seen.setdefault(source.address, index)
        if first != index and direct.source:
            report.add(key, f"duplicate: direct.source[{first}] has this address already")
