"""XCLIENT: a trusted proxy says who its client is, in SMTP, once in a session.

Without an address the client is a stranger: what the proxy does not say of it is not the proxy's own.

Source: the XCLIENT protocol as Postfix defines it (XCLIENT_README, "XCLIENT Command syntax").
"""

from dataclasses import dataclass
from ipaddress import ip_address

from relayd.mail.reply import Reply, SyntaxRefused
from relayd.policy.dsn.lines import xtext_octets
from relayd.receiver.commands import parse_hello

OFFERED = b"XCLIENT NAME ADDR PORT PROTO HELO LOGIN"
_NAMES = frozenset({"NAME", "ADDR", "PORT", "PROTO", "HELO", "LOGIN", "DESTADDR", "DESTPORT"})
_UNKNOWN = frozenset({"[UNAVAILABLE]", "[TEMPUNAVAIL]"})
_BAD = Reply(501, "5.5.4", ("5.5.4 Bad XCLIENT attribute",))


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientClaim:
    """What the proxy says; None is what it does not say."""

    address: str | None = None
    helo: str | None = None
    login: str | None = None


def parse_xclient(argument: bytes) -> ClientClaim:
    """Read what is after `XCLIENT `. Raises SyntaxRefused."""
    given: dict[str, str] = {}
    for word in argument.split():
        name, equals, value = word.partition(b"=")
        if not equals or name.upper().decode("ascii", "replace") not in _NAMES:
            raise SyntaxRefused(_BAD)
        given[name.upper().decode()] = _decode(value)
    if not given:
        raise SyntaxRefused(_BAD)
    return ClientClaim(
        address=_address(given.get("ADDR", "[UNAVAILABLE]")),
        helo=_said(given.get("HELO", "[UNAVAILABLE]")),
        login=_said(given.get("LOGIN", "[UNAVAILABLE]")),
    )


def _decode(value: bytes) -> str:
    try:
        octets = xtext_octets(value.decode("ascii"))
    except UnicodeDecodeError:
        raise SyntaxRefused(_BAD) from None
    # A name may be any printable text, and no other value is anything else.
    text = parse_hello(octets) if octets.strip(b" ") else ""
    if text is None:
        raise SyntaxRefused(_BAD)
    return text


def _said(value: str) -> str | None:
    return None if value.upper() in _UNKNOWN or not value else value


def _address(value: str) -> str | None:
    said = _said(value)
    if said is None:
        return None
    if "%" in said:  # the library would take any text behind it for a zone
        raise SyntaxRefused(_BAD)
    try:
        return str(ip_address(said[5:] if said[:5].upper() == "IPV6:" else said))
    except ValueError:
        raise SyntaxRefused(_BAD) from None
