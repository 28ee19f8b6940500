"""What one attempt saw: facts without judgement.

The deliverer fills these in from a transaction; `relayd.policy.delivery.verdict` judges them. A `Refusal`
is a reply that ended something; a `Breakdown` is everything that is not a reply.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from relayd.mail.reply import Reply, Stage
from relayd.mail.tls_result import TlsResult
from relayd.mail.words import Category, Fault


class RouteKind(StrEnum):
    SMARTHOST = "smarthost"
    DIRECT = "direct"


@dataclass(frozen=True, slots=True, kw_only=True)
class TlsFacts:
    """The TLS session of a connection."""

    version: str  # TLSv1.3
    cipher: str
    verified: bool  # by an authority and the name, or by a TLSA record
    problem: str = ""  # why it did not verify, where that was allowed


@dataclass(frozen=True, slots=True, kw_only=True)
class Peer:
    """The connection an attempt used, or the host that none came up with: our end is empty then."""

    route: RouteKind
    host: str
    ip: str
    port: int
    local_ip: str = ""
    helo: str = ""
    tls: TlsFacts | None = None
    dsn: bool = False  # it offers to take the parameters of RFC 3461 over
    tls_result: TlsResult | None = (
        None  # by whose policy, and what came of it; None: nobody has looked
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Breakdown:
    """The session ended without a reply that would say why."""

    category: Category  # connection_failure, tls_failure, dns_failure or protocol_error
    fault: Fault
    reason: str  # one cleaned line: "connection refused", "no answer to MAIL within 300 s"
    status: str = ""  # enhanced status code, when this proves that no mail can be delivered there
    needs_second_look: bool = False  # it does when an attempt an hour later ends the same
    by_stop: bool = False  # relayd stopped and hung up: never the attempt that gives mail up


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptFacts:
    """One try of one transaction with one host, as it concerns one recipient.

    Exactly one of `reply` and `breakdown` is set. `reply` is the reply that decided about the
    recipient at `stage`: 2yz to the final dot is success, any other reply that is not the
    expected one ended it there.
    """

    peer: Peer | None  # None when no host could be asked at all
    stage: Stage
    reply: Reply | None
    breakdown: Breakdown | None
    dot_sent: bool  # the final dot may have reached the server
    started_at: datetime
    connect_for: timedelta  # zero on a reused connection
    transaction_for: timedelta
    own_refusal: str = ""  # `reply` is ours: what the host lacks, and what to do; a line for people

    @property
    def to_blame(self) -> Peer | None:
        """The peer to name beside what ended the attempt: none where that was a fault of this machine."""
        is_ours = self.breakdown is not None and self.breakdown.fault is Fault.LOCAL
        return None if is_ours else self.peer
