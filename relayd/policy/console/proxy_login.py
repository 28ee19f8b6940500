"""Judge whether a proxy in front of the console says who somebody is.

A header proves nothing by itself: everybody who reaches the console can send it. It is believed from a peer on the
console's unix socket, whose mode says who may connect, or from a network that the settings name together with
a secret that only the proxy has. An address alone is no proof, loopback least of all: every user of this
machine has it.

What is not beyond doubt is as if it were not there. So nobody is let in by mistake, and who has a password
can still use it.
"""

import hmac
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from relayd.mail.dns import IpAddress
from relayd.policy.console.names import parse_name
from relayd.policy.delivery.address_filter import is_listed
from relayd.policy.intake.admit import Network


@dataclass(frozen=True, slots=True, kw_only=True)
class ProxyRules:
    """What the settings say of the proxy; names of headers are in lower case."""

    header: str  # with the name of the account
    networks: tuple[Network, ...] = ()
    secret_header: str = "x-relayd-secret"  # noqa: S105 -- its name


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """What a request says of who it is from, and where it came in."""

    names: Sequence[str]  # each value of the header
    secrets: Sequence[str]  # each value of that with the secret
    peer: IpAddress | None  # None: not on a TCP port
    is_unix: bool


class Doubt(StrEnum):
    """Why a name is not believed, for the log."""

    PEER = "the peer is not in console.proxy.networks"
    SECRET = "the shared secret is missing or wrong"  # noqa: S105 -- words
    TWICE = "the header came more than once"
    NAME = "no account can have that name"


def name_claimed(claim: Claim, rules: ProxyRules, secret: str | None) -> str | Doubt | None:
    """Return the account that the proxy names, why it is not believed, or None: nobody is named."""
    if not any(claim.names):
        return None
    if (doubt := _doubt_of_peer(claim, rules, secret)) is not None:
        return doubt
    if len(claim.names) != 1:
        return Doubt.TWICE
    try:
        return parse_name(claim.names[0])
    except ValueError:
        return Doubt.NAME


def _doubt_of_peer(claim: Claim, rules: ProxyRules, secret: str | None) -> Doubt | None:
    if claim.is_unix:
        return None
    if claim.peer is None or not is_listed(claim.peer, rules.networks):
        return Doubt.PEER
    if not secret or len(claim.secrets) != 1:
        return Doubt.SECRET
    shown = claim.secrets[0].encode("utf-8", "replace")
    return None if hmac.compare_digest(shown, secret.encode()) else Doubt.SECRET
