"""Read single values as people write them in the settings file.

Owns the spelling of durations, sizes, names and addresses. Every function takes whatever TOML
gave and returns a value that cannot be wrong, or raises ValueError with one sentence that says
what was expected. The sentence never repeats the value, which may be a misplaced secret.

Source: RFC 1123 §2.1 (host names), RFC 5890 §2.3.2.1 (A-labels are plain ASCII).
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import TypeVar

from relayd.mail.words import format_duration
from relayd.policy.console.webhook_url import UrlRules, read_url
from relayd.settings import FixUps, HostPort, Network

Word = TypeVar("Word", bound=StrEnum)

SIZE_UNITS = {"B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "KiB": 2**10, "MiB": 2**20}
LONGEST = timedelta(weeks=520)  # of any duration: keeps every sum of two inside datetime's range
UNIX_PATH_LIMIT = 107  # octets in sockaddr_un.sun_path, less the closing NUL (unix(7))
_NAME_LIMIT = 253  # octets without the root label, RFC 1035 §2.3.4

_DURATION = re.compile(
    r"(?:(?P<weeks>[0-9]{1,6})w)?(?:(?P<days>[0-9]{1,6})d)?(?:(?P<hours>[0-9]{1,6})h)?"
    r"(?:(?P<minutes>[0-9]{1,6})m)?(?:(?P<seconds>[0-9]{1,6})s)?"
)
_SIZE = re.compile(rf"([0-9]{{1,12}})({'|'.join(SIZE_UNITS)})")
_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_FQDN = re.compile(rf"(?:{_LABEL}\.)+(?![0-9]+$){_LABEL}")
# A host to connect to may have one label, and an underscore, as container networks name them.
_HOST_LABEL = r"[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?"
_HOST = re.compile(rf"(?:{_HOST_LABEL}\.)*{_HOST_LABEL}")
_UNIT_NAME = re.compile(r"[A-Za-z0-9_.@-]{1,255}")
_PORT = re.compile(r"[0-9]{1,5}")
_HEADER = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]{0,63}")
_SCOPE = re.compile(r"[\x21\x23-\x5b\x5d-\x7e]{1,100}")
_TAKEN_HEADERS = frozenset(
    {"authorization", "content-length", "content-type", "cookie", "host", "origin", "referer"}
    | {"transfer-encoding", "user-agent", "x-forwarded-for"}
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ListenAddress:
    """Where to listen: exactly one of the three is set. Equal if the address is the same one."""

    endpoint: HostPort | None = None
    unix_path: str | None = None
    systemd_name: str | None = None

    def __str__(self) -> str:
        if self.unix_path is not None:
            return f"unix:{self.unix_path}"
        return str(self.endpoint) if self.endpoint else f"systemd:{self.systemd_name}"


def text(value: object) -> str:
    """Text without control characters: it may end in a header, a log line or a path."""
    if not isinstance(value, str):
        raise ValueError("expected text in quotes")  # noqa: TRY004 - the one error of this module
    if not value.isprintable():
        raise ValueError("expected text without control characters")
    return value


def duration(value: object) -> timedelta:
    """`1h30m`, with the units w, d, h, m, s, each at most once, the largest first."""
    expected = 'expected a duration such as "90s", "15m", "1h30m", "5d" or "2w"'
    found = _DURATION.fullmatch(value) if isinstance(value, str) else None
    if found is None or not any(found.groups()):
        raise ValueError(expected)
    total = timedelta(**{unit: int(count) for unit, count in found.groupdict("0").items()})
    if not timedelta(seconds=1) <= total <= LONGEST:
        raise ValueError(f"{expected}, from 1s to 520w")
    return total


def stop_within(value: object) -> timedelta:
    """How long somebody who stops a service may have to wait."""
    wait = duration(value)
    if wait > timedelta(minutes=10):
        raise ValueError("expected a duration from 1s to 10m")
    return wait


def duration_or_off(value: object) -> timedelta:
    """As `duration`; `off` is no time at all."""
    return timedelta() if value == "off" else duration(value)


def cut_through(value: object) -> timedelta:
    """How long a client may wait for the next hop: some give up after a minute."""
    try:
        wait = duration_or_off(value)
    except ValueError:
        wait = LONGEST
    if wait > timedelta(minutes=1):
        raise ValueError('expected a duration from 1s to 60s, or "off"')
    return wait


def format_duration_or_off(length: timedelta) -> str:
    return format_duration(length) if length else "off"


def format_size(octets: int) -> str:
    """Write a size with the unit that makes the shortest whole number."""
    counts = {unit: octets // worth for unit, worth in SIZE_UNITS.items() if octets % worth == 0}
    unit = min(counts, key=lambda each: counts[each])
    return f"{counts[unit]}{unit}"


def size(least: int, most: int) -> Callable[[object], int]:
    """Return a reader of sizes such as `35MB`, in octets."""
    units = ", ".join(SIZE_UNITS)

    def read(value: object) -> int:
        found = _SIZE.fullmatch(value) if isinstance(value, str) else None
        if found is None:
            raise ValueError(f'expected a size such as "35MB": a whole number and one of {units}')
        octets = int(found[1]) * SIZE_UNITS[found[2]]
        if not least <= octets <= most:
            raise ValueError(f"expected a size from {least:,} to {most:,} octets")
        return octets

    return read


def whole(least: int, most: int) -> Callable[[object], int]:
    """Return a reader of whole numbers in a range."""

    def read(value: object) -> int:
        # To Python, true is the number 1; to the reader of a settings file it is not.
        if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
            raise ValueError(f"expected a whole number from {least} to {most}")
        return value

    return read


_LIMIT = 100_000_000


def limit_or_off(value: object) -> int:
    """A whole number from 1; `off` is 0: no limit."""
    if value == "off":
        return 0
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= _LIMIT:
        raise ValueError(f'expected a whole number from 1 to {_LIMIT}, or "off" for no limit')
    return value


def format_limit_or_off(limit: int) -> int | str:
    return limit or "off"


def word(words: type[Word]) -> Callable[[object], Word]:
    """Return a reader of one of the words of an enumeration."""
    expected = "expected one of " + ", ".join(f'"{each}"' for each in words)

    def read(value: object) -> Word:
        for each in words:
            if value == each.value:
                return each
        raise ValueError(expected)

    return read


def fix_ups(value: object) -> FixUps:
    """Read one of the words, or what stood in their place before there were three of them."""
    if isinstance(value, bool):
        return FixUps.ALWAYS if value else FixUps.NEVER
    return word(FixUps)(value)


def fqdn(value: object) -> str:
    """A fully qualified domain name in ASCII, without the root's dot."""
    name = text(value)
    if name.endswith("."):
        raise ValueError("expected a domain name without a dot at its end")
    if not name.isascii():
        raise ValueError('expected a domain name in ASCII: write A-labels ("xn--…")')
    if len(name) > _NAME_LIMIT or not _FQDN.fullmatch(name):
        raise ValueError(
            'expected a fully qualified domain name such as "relay.example.org": labels of'
            " letters, digits and inner hyphens, at least one dot, no address"
        )
    return name


def network(value: object) -> Network:
    """An address range in CIDR notation; one address is a network of its own."""
    written = text(value)
    try:
        return ip_network(written)
    except ValueError:
        pass
    try:
        loose, host = ip_network(written, strict=False), ip_address(written.partition("/")[0])
    except ValueError:
        raise ValueError('expected a network such as "10.0.0.0/8" or "2001:db8::/32"') from None
    raise ValueError(
        f'the address has bits set behind the prefix: write "{loose}" for the whole network'
        f' or "{host}/{host.max_prefixlen}" for that one host'
    )


def host_port(value: object, *, least_port: int = 1) -> HostPort:
    """HOST:PORT or [IPv6]:PORT; the host is a name in lower case or a canonical address."""
    expected = 'expected "HOST:PORT", or "[IPv6]:PORT" for an IPv6 address'
    host, _, port = text(value).rpartition(":")
    if not host or not _PORT.fullmatch(port):
        raise ValueError(expected)
    if not least_port <= int(port) <= 65535:
        raise ValueError(f"{expected}, with a port from {least_port} to 65535")
    return HostPort(host=_host(host, expected), port=int(port))


def _host(host: str, expected: str) -> str:
    try:
        if host.startswith("[") and host.endswith("]"):
            return str(IPv6Address(host[1:-1]))
        if host.rpartition(".")[2].isdigit():  # nothing else ends in a number, RFC 1123 §2.1
            return str(IPv4Address(host))
    except ValueError:
        raise ValueError(expected) from None
    if len(host) > _NAME_LIMIT or not _HOST.fullmatch(host):
        raise ValueError(expected)
    return host.lower()


def next_hop(value: object) -> HostPort:
    """A server to connect to."""
    hop = host_port(value)
    if is_wildcard(hop.host):
        raise ValueError(
            "expected a server to connect to; this address only means something to listeners"
        )
    return hop


def http_server(value: object) -> HostPort:
    """The URL of an HTTP server, without a path."""
    scheme, behind, server = text(value).partition("://")
    try:
        if scheme.lower() != "http" or not behind:
            raise ValueError  # noqa: TRY301 - one text for all that is wrong with it
        return next_hop(server.removesuffix("/"))
    except ValueError:
        raise ValueError('expected "http://HOST:PORT"') from None


def header(value: object) -> str:
    """Read the name of a field of HTTP (RFC 9110 §5.1). Case does not count; it is kept as it was written."""
    name = text(value)
    if not _HEADER.fullmatch(name):
        raise ValueError("expected the name of an HTTP header, such as Remote-User")
    if name.lower() in _TAKEN_HEADERS:
        raise ValueError("expected a header that has no other use, such as Remote-User")
    return name


def header_or_none(value: object) -> str:
    """Read as `header`; empty is none."""
    return "" if value == "" else header(value)


def https_url_or_none(value: object) -> str:
    """Read the URL of an issuer: of HTTPS, without query and fragment; empty is none."""
    url = text(value)
    if url:
        try:
            read_url(url, UrlRules(ports=range(1, 65536)))
        except ValueError as wrong:
            raise ValueError(
                f"expected a URL such as https://auth.example.org: it {wrong}"
            ) from None
        if "?" in url:
            raise ValueError("expected a URL such as https://auth.example.org, without a query")
    return url


def scope(value: object) -> str:
    """Read a scope of OAuth (RFC 6749 §3.3)."""
    name = text(value)
    if not _SCOPE.fullmatch(name):
        raise ValueError("expected one scope, such as profile")
    return name


def claim(value: object) -> str:
    """Read the name of a claim."""
    name = text(value)
    if not name:
        raise ValueError("expected the name of a claim, such as groups")
    return name


def listen_address(value: object) -> ListenAddress:
    """HOST:PORT, unix:PATH or systemd:NAME. Port 0 lets the system choose one."""
    written = text(value)
    kind, _, rest = written.partition(":")
    if kind == "unix":
        return ListenAddress(unix_path=socket_path(rest))
    if kind == "systemd":
        if not _UNIT_NAME.fullmatch(rest):
            raise ValueError('expected "systemd:NAME", the FileDescriptorName= of a socket unit')
        return ListenAddress(systemd_name=rest)
    try:
        return ListenAddress(endpoint=host_port(written, least_port=0))
    except ValueError:
        raise ValueError(
            'expected "HOST:PORT", "[IPv6]:PORT", "unix:PATH" or "systemd:NAME"'
        ) from None


def absolute_path(value: object) -> str:
    """A path of a file from the root."""
    path = text(value)
    if not path.startswith("/") or path.endswith("/"):
        raise ValueError("expected the absolute path of a file")
    return path


def socket_path(value: object) -> str:
    """An absolute path that fits into a socket's address."""
    path = absolute_path(value)
    if len(path.encode()) > UNIX_PATH_LIMIT:
        raise ValueError(f"expected a path of at most {UNIX_PATH_LIMIT} octets: it names a socket")
    return path


def is_wildcard(host: str) -> bool:
    """The host means every address of this machine."""
    return host in {"0.0.0.0", "::"}  # noqa: S104 - compared, not bound


def is_loopback(host: str) -> bool:
    """The host is this machine and reached without a network; a name is so only as `localhost`."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
