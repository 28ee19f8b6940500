"""How to reach a smarthost: its hosts, its TLS, and who we are there."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from relayd.policy.accounts.limits import NO_LIMITS, AccountLimits
from relayd.policy.delivery.plan import AT_ONCE
from relayd.policy.delivery.route import HostPort
from relayd.policy.oauth2.grants import OAuth2Settings
from relayd.policy.rewriting.rules import Rewrite
from relayd.policy.tls.ladder import TlsMode


class AuthMechanism(StrEnum):
    """How to log in at the smarthost; AUTO takes PLAIN or LOGIN, whichever it offers."""

    AUTO = "auto"
    PLAIN = "plain"
    LOGIN = "login"
    XOAUTH2 = "xoauth2"
    OAUTHBEARER = "oauthbearer"
    OAUTH2 = "oauth2"  # relayd gets the token itself, and takes either of the two


@dataclass(frozen=True, slots=True, kw_only=True)
class CertificateSettings:
    """Paths of PEM files: the certificate with its chain, and its key."""

    certificate: str
    key: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Login:
    username: str
    secret: str  # password or OAuth2 access token, as it was when the settings were read
    mechanism: AuthMechanism
    file: str = ""  # where it is read again at each login; empty: it is not
    oauth2: OAuth2Settings | None = None  # how the token is come by, where relayd does that itself

    @property
    def files(self) -> tuple[str, ...]:
        """Return the files with which a refused login may be right again."""
        if self.oauth2 is None:
            return (self.file,)
        return (self.oauth2.secret_file, self.oauth2.sign_in_file)

    def __repr__(self) -> str:
        return f"Login({self.username!r}, secret=***)"


@dataclass(frozen=True, slots=True, kw_only=True)
class SmarthostSettings:
    """How to send by hosts that the settings name."""

    hosts: tuple[HostPort, ...]  # tried in this order
    tls: TlsMode
    login: Login | None
    connections: int  # open at once, all workers together
    limits: AccountLimits = NO_LIMITS  # messages that it takes from us, all workers together
    per_connection: int = 0  # messages on one connection; 0: any number
    recipients: int = AT_ONCE  # of one transaction
    assume_8bit: bool = False  # send 8-bit mail also where 8BITMIME or SMTPUTF8 is not offered
    certificate: CertificateSettings | None = None  # of ours, shown to it in TLS
    ehlo: str = ""  # our name there; empty: `Settings.fqdn`
    source_address: str = ""  # of ours, that it sees; empty: the system chooses
    rewrite: Rewrite | None = None  # what it is given instead of what a client wrote


def settings_of(host: HostPort, route_hosts: Sequence[SmarthostSettings]) -> SmarthostSettings:
    """Return how a host that `[routes]` names is used.

    A queue for one that is named no longer is opened to be closed: nothing is sent there.
    """
    gone = SmarthostSettings(hosts=(host,), tls=TlsMode.OPPORTUNISTIC, login=None, connections=1)
    return next((each for each in route_hosts if each.hosts == (host,)), gone)
