"""URLs of a PostgreSQL server: which hosts, which database, who asks, and how well the server has to prove itself.

Source: libpq's connection URIs (PostgreSQL manual, 34.1.1.2), of which a few parts are taken. What is not among them is
refused: no part is passed over in silence. A password is never one of them.
"""

from dataclasses import dataclass
from ipaddress import ip_address
from typing import NamedTuple
from urllib.parse import parse_qsl, quote, unquote

SCHEMES = ("postgresql:", "postgres:")
_PORT = 5432
_SOCKETS = "/run/postgresql"  # where Debian's server has its unix sockets
_PROVEN, _PLAIN = "verify-full", "disable"
_PASSWORD_FILE = "password_file"  # noqa: S105 -- our own parameter, which says where one is
_EXAMPLE = '"postgresql://relayd@db1.example.org,db2.example.org/relayd"'


@dataclass(frozen=True, slots=True, kw_only=True)
class PostgresUrl:
    """What a URL says."""

    hosts: tuple[tuple[str, int], ...]  # name, address, or folder of the unix socket; and port
    user: str  # empty: the name of the process's user
    database: str
    has_tls: bool  # always with a certificate that is proven, and of the name that is asked for
    root_certificate: str  # file of those that may vouch for it; empty: those of the system
    password_file: str  # file with the password on one line; empty: the server asks for none

    @property
    def shown(self) -> str:
        """The URL for people, without what they need not see."""
        who = f"{self.user}@" if self.user else ""
        where = ",".join(
            host if port == _PORT else f"{host}:{port}" for host, port in map(_shown, self.hosts)
        )
        return f"postgresql://{who}{where}/{self.database}"


def read_url(url: str) -> PostgresUrl:
    """Read a URL. Raises ValueError with what was expected; never with a part of the URL, which may have a password."""
    try:
        parts = _split(url)
        given = parse_qsl(parts.query, keep_blank_values=True, strict_parsing=bool(parts.query))
        user, hosts = _authority(parts.netloc)
    except ValueError:
        raise ValueError(f"expected {_EXAMPLE}") from None
    parameters = dict(given)
    if ":" in user or "password" in parameters:
        raise ValueError(
            "has a password in it, and settings are no place for one: write it into a file of its own,"
            " and name that in store.password_file"
        )
    others = parameters.keys() - {"host", "port", "sslmode", "sslrootcert", _PASSWORD_FILE}
    if others or len(parameters) < len(given):
        raise ValueError(
            "expected no parameters but host, port, sslmode and sslrootcert, each once"
        )
    if "host" in parameters:
        hosts = _hosts(parameters["host"], parameters.get("port", ""))
    database = unquote(parts.path)
    has_hosts = url.startswith(tuple(f"{each}//" for each in SCHEMES))
    if not has_hosts or "#" in url or not database or "/" in database:
        raise ValueError(f"expected {_EXAMPLE}")
    return PostgresUrl(
        hosts=hosts,
        user=unquote(user),
        database=database,
        has_tls=_has_tls(hosts, parameters),
        root_certificate=parameters.get("sslrootcert", ""),
        password_file=parameters.get(_PASSWORD_FILE, ""),
    )


def with_password_file(url: str, path: str) -> str:
    """Return the URL as the store is given it: it says where the password is, not what it is."""
    mark = "&" if "?" in url else "?"
    return f"{url}{mark}{_PASSWORD_FILE}={quote(path)}"


class _Parts(NamedTuple):
    netloc: str
    path: str
    query: str


def _split(url: str) -> _Parts:
    """Split a URL. Python's `urlsplit` refuses several hosts in some versions, if one is in brackets.

    Raises ValueError.
    """
    if not url.isprintable():
        raise ValueError
    rest, _, query = url.partition("?")
    netloc, _, path = rest.partition("//")[2].partition("/")
    return _Parts(netloc, path, query)


def _authority(netloc: str) -> tuple[str, tuple[tuple[str, int], ...]]:
    """Return user and hosts. Raises ValueError."""
    user, _, hosts = netloc.rpartition("@")
    found = [_host(each) for each in hosts.split(",")] if hosts else [(_SOCKETS, _PORT)]
    return user, tuple(found)


def _host(written: str) -> tuple[str, int]:
    bare = written.rpartition("]")[2]  # an IPv6 address has colons of its own
    name, _, port = written.rpartition(":") if ":" in bare else (written, "", "")
    if name.startswith("["):
        if not name.endswith("]"):
            raise ValueError
        name = name[1:-1]
    elif set(name) & set("[]:"):
        raise ValueError
    return _whole(unquote(name), port)


def _hosts(written: str, ports: str) -> tuple[tuple[str, int], ...]:
    names, numbers = written.split(","), ports.split(",")
    if len(numbers) == 1:
        numbers *= len(names)
    if len(names) != len(numbers):
        raise ValueError("expected as many ports as hosts, or one")
    try:
        return tuple(map(_whole, names, numbers))
    except ValueError:
        raise ValueError(f"expected {_EXAMPLE}") from None


def _whole(name: str, port: str) -> tuple[str, int]:
    if not name or (port and not (port.isascii() and port.isdecimal() and 0 < int(port) < 65536)):
        raise ValueError
    return name, int(port) if port else _PORT


def _has_tls(hosts: tuple[tuple[str, int], ...], parameters: dict[str, str]) -> bool:
    """Tell whether there is TLS: always, but where nobody can listen in between. Raises ValueError."""
    is_here = all(_is_here(host) for host, _ in hosts)
    mode = parameters.get("sslmode", _PLAIN if is_here else _PROVEN)
    if mode == _PLAIN and is_here:
        if "sslrootcert" in parameters:
            raise ValueError("has sslrootcert, which is of no use without sslmode=verify-full")
        return False
    if mode != _PROVEN:
        or_none = " or sslmode=disable" if is_here else ": with less, another server may pose as it"
        raise ValueError(f"expected sslmode=verify-full{or_none}")
    return True


def _is_here(host: str) -> bool:
    """Tell whether what is said there stays in this machine."""
    try:
        return host.startswith("/") or host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


def _shown(host: tuple[str, int]) -> tuple[str, int]:
    name, port = host
    return (f"[{name}]" if ":" in name else name), port
