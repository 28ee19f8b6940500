"""`[[direct.source]]`: the addresses that direct mode sends from, and who may use them.

`direct.source_addresses` is the short form, for addresses alone.
"""

from contextlib import suppress
from ipaddress import ip_address
from typing import TYPE_CHECKING, Annotated

from pydantic import PlainValidator

from relayd.config import routes as where
from relayd.config.fields import Table
from relayd.config.logins import login_name
from relayd.config.senders import sender_pattern
from relayd.config.smarthosts import fqdn_or_none
from relayd.policy.delivery.source import SHORT_FORM, Source

if TYPE_CHECKING:
    from relayd.config.mistakes import Report
    from relayd.config.model import Direct

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
