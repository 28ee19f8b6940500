"""The settings as plain values, one small dataclass per consumer.

`relayd.config` reads the TOML file, checks it, and hands these out; nobody else knows of TOML.
The parameters of a policy sit beside it (`policy.admit.LimitSettings`, `policy.retry.RetrySettings`).
Durations are `timedelta`, sizes octets, secrets already read from their files. A default stands
only in `config`. Documentation of every key: `docs/config.md`.
"""

from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum

from relayd.policy.admit import LimitSettings, Network
from relayd.policy.retry import RetrySettings

__all__ = [
    "AuthMechanism",
    "HostPort",
    "LimitSettings",
    "LineEndings",
    "ListenerSettings",
    "LogSettings",
    "Login",
    "Network",
    "RetrySettings",
    "Settings",
    "SmarthostSettings",
    "StoreSettings",
    "TlsMode",
]


class LineEndings(StrEnum):
    """What a listener does with a bare CR, bare LF or NUL in a message (semantics section 4)."""

    REJECT = "reject"
    NORMALIZE = "normalize"


class TlsMode(StrEnum):
    """TLS towards a next hop."""

    OFF = "off"
    OPPORTUNISTIC = "opportunistic"  # STARTTLS where offered, any certificate, else clear text
    REQUIRED = "required"  # STARTTLS or nothing, any certificate
    VERIFY = "verify"  # STARTTLS with a certificate that proves the name


class AuthMechanism(StrEnum):
    """How to log in at the smarthost; AUTO takes PLAIN or LOGIN, whichever it offers."""

    AUTO = "auto"
    PLAIN = "plain"
    LOGIN = "login"
    XOAUTH2 = "xoauth2"


@dataclass(frozen=True, slots=True, kw_only=True)
class HostPort:
    host: str  # a name, an IPv4 address, or an IPv6 address without brackets
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True, kw_only=True)
class ListenerSettings:
    """One address to accept mail on: exactly one of `endpoint`, `unix_path`, `systemd_name` is set."""

    address: str  # as written in the settings, for messages
    endpoint: HostPort | None = None
    unix_path: str | None = None
    systemd_name: str | None = None
    networks: tuple[Network, ...]  # who may relay; peers on a unix socket always may
    line_endings: LineEndings


@dataclass(frozen=True, slots=True, kw_only=True)
class Login:
    username: str
    secret: str  # password or OAuth2 access token
    mechanism: AuthMechanism

    def __repr__(self) -> str:
        return f"Login({self.username!r}, secret=***)"


@dataclass(frozen=True, slots=True, kw_only=True)
class SmarthostSettings:
    hosts: tuple[HostPort, ...]  # tried in this order
    tls: TlsMode
    login: Login | None
    connections: int  # open at once, all workers together


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreSettings:
    url: str  # sqlite:PATH
    history: timedelta  # how long finished messages stay queryable


@dataclass(frozen=True, slots=True, kw_only=True)
class LogSettings:
    status_log: str  # path, or "-" for standard output
    level: str  # debug | info | warning | error
    format: str  # json | console, "auto" already decided


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Everything, for the composition root; each part is given its slice."""

    file: str  # where the settings were read
    fqdn: str
    workers: int  # processes
    listeners: tuple[ListenerSettings, ...]
    limits: LimitSettings
    smarthost: SmarthostSettings
    retry: RetrySettings
    store: StoreSettings
    control_socket: str
    log: LogSettings
