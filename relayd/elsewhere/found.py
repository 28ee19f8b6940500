"""What the settings of another mail program say, in one form for all programs.

Owns the rule for logins: a password goes to a server that proves its name, or to this machine.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from ipaddress import ip_address

from relayd.policy.delivery.route import HostPort
from relayd.policy.tls.ladder import TlsMode

SUBMISSIONS = 465
_PROVING = (TlsMode.VERIFY, TlsMode.IMPLICIT)


@dataclass(frozen=True, slots=True, kw_only=True)
class Note:
    """What is not as it was. Has no secret."""

    place: str  # the file, and what in it
    told: str  # what became of it, and what to do


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """A server that mail is handed to."""

    hosts: tuple[HostPort, ...]
    tls: TlsMode
    username: str = ""
    password: str = field(default="", repr=False)  # or a token
    auth: str = ""  # empty: whichever is offered
    certificate: str = ""
    key_file: str = ""
    ehlo: str = ""
    source_address: str = ""
    connections: int = 0  # 0: not said
    recipients: int = 0


@dataclass(slots=True, kw_only=True)
class Rule:
    """What holds for mail of some senders; None, empty: what holds for all."""

    server: Server | None = None
    by_default: bool = False  # by the smarthost of all others, and not what a wider rule says
    address: str = ""  # in the place of reverse-path and From
    copies: list[str] = field(default_factory=list)


@dataclass(slots=True, kw_only=True)
class Listener:
    address: str
    networks: list[str] = field(default_factory=list)  # besides this machine


@dataclass(slots=True, kw_only=True)
class Found:
    """All of it. Patterns are those of relayd: `a@b.example`, `b.example`, `*.b.example`, `*`."""

    fqdn: str = ""  # empty: they do not say
    server: Server | None = None  # None: none was found
    is_direct: bool = False  # they say that mail goes to the recipients' own servers
    senders: dict[str, Rule] = field(default_factory=dict)
    routes: dict[str, "Server | str"] = field(default_factory=dict)  # or a word: direct, smarthost
    local_users: dict[str, Rule] = field(default_factory=dict)  # names without a domain
    local_domain: str = ""  # of senders who have none; empty: fqdn
    local_sender: str = ""  # in the place of all of them
    aliases: dict[str, list[str]] = field(default_factory=dict)
    listeners: list[Listener] = field(default_factory=list)  # empty: loopback alone
    domains: dict[str, str] = field(default_factory=dict)  # of senders, and in their place
    rewriting: dict[str, object] = field(default_factory=dict)  # keys of [smarthost]
    hide_client: bool = False
    tables: dict[str, dict[str, object]] = field(default_factory=dict)  # other keys
    notes: list[Note] = field(default_factory=list)
    refused: list[Note] = field(default_factory=list)  # without it mail would go elsewhere

    def rule(self, pattern: str) -> Rule:
        return self.senders.setdefault(pattern, Rule())

    def local_user(self, name: str) -> Rule:
        return self.local_users.setdefault(name, Rule())

    def set(self, table: str, key: str, value: object) -> None:
        self.tables.setdefault(table, {})[key] = value

    def note(self, place: str, told: str) -> None:
        note = Note(place=place, told=told)
        if note not in self.notes:
            self.notes.append(note)

    def refuse(self, place: str, told: str) -> None:
        """Say what nothing can be made of: settings without it would send mail another way."""
        self.refused.append(Note(place=place, told=told))

    def flaws(self) -> list[Note]:
        """Return why no settings are to be made; empty: they can be. Direct mode is never a guess."""
        if self.server is None and not self.is_direct and not self.refused:
            told = "they name no server for mail that relayd can use, and relayd does not guess where it goes"
            return [Note(place="where mail goes", told=told)]
        return self.refused


def alike(servers: Sequence[Server], place: str, found: Found) -> Server:
    """Return one server with the hosts that have the login and the TLS of the first: a password is for those it was written for."""
    first = servers[0]
    same = [each for each in servers if replace(each, hosts=first.hosts) == first]
    for each in servers:
        if each not in same:
            found.note(
                place,
                f"hosts of a smarthost share login and TLS, and {each.hosts[0]} has others: it is left out; see [smarthosts.NAME]",
            )
    return replace(first, hosts=tuple(host for each in same for host in each.hosts))


def is_here(host: str) -> bool:
    """Tell whether a host is this machine, reached without a network."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def implicit(hosts: Sequence[HostPort], place: str, found: Found, *, proves: bool) -> TlsMode:
    """Return TLS from the first octet on; noted where the other program wants no proof of the name."""
    if not proves and not all(is_here(each.host) for each in hosts):
        found.note(place, "made stricter: the certificate has to prove the name")
    return TlsMode.IMPLICIT


def secured(server: Server, place: str, found: Found) -> Server:
    """Return the server with TLS as relayd needs it: from the first octet on at 465, and proven under a login."""
    ports = {each.port for each in server.hosts}
    if SUBMISSIONS in ports and server.tls is not TlsMode.IMPLICIT:
        if ports != {SUBMISSIONS}:
            kept = tuple(each for each in server.hosts if each.port != SUBMISSIONS)
            found.note(
                place,
                "hosts at port 465 begin with TLS, the others do not; those at 465 are left out: name them in a [smarthosts.NAME] of their own",
            )
            server = replace(server, hosts=kept)
        else:
            server = replace(server, tls=TlsMode.IMPLICIT)
    is_open = server.tls not in _PROVING and not all(is_here(each.host) for each in server.hosts)
    if server.username and is_open:
        found.note(
            place,
            'made stricter: tls = "verify", for relayd gives a password only to a server whose certificate proves its name;'
            " `relayd doctor` says whether it does",
        )
        return replace(server, tls=TlsMode.VERIFY)
    return server
