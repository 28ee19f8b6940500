"""How facts are spelt, on disk, in JSON and for people: closed lists of words, instants, durations.

The spelling on disk and in JSON is stable for ever. Cheap to import, for commands that only ask.
"""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta, tzinfo
from enum import StrEnum

LOGIN_REFUSED = "login refused"  # how it begins why a destination is left alone, when that is why
JsonValue = str | int | float | bool | None
Detail = Mapping[str, JsonValue]


class BounceClass(StrEnum):
    HARD = "hard"  # the address is invalid: do not use it again
    BLOCK = "block"  # refused for good, but not because of the address
    SOFT = "soft"  # a temporary failure that outlived its retries


class About(StrEnum):
    """What of us a server holds against the mail: what may be done is another thing for each."""

    ADDRESS = "address"  # our IP address: another one may be welcome
    DOMAIN = "domain"  # of the sender, or in the message: no other address of ours changes that
    VOLUME = "volume"  # how much comes, by whichever address
    RECIPIENT = "recipient"  # how much one recipient gets, from all the world


class Category(StrEnum):
    """Why a reply was negative. Docs: `docs/bounces.md`."""

    BAD_MAILBOX = "bad_mailbox"
    BAD_DOMAIN = "bad_domain"
    INACTIVE_MAILBOX = "inactive_mailbox"
    MAILBOX_FULL = "mailbox_full"
    MESSAGE_TOO_LARGE = "message_too_large"
    SPAM_CONTENT = "spam_content"
    VIRUS = "virus"
    REPUTATION = "reputation"
    POLICY = "policy"
    AUTH_FAILURE = "auth_failure"
    SENDER_CONFIG = "sender_config"
    RATE_LIMIT = "rate_limit"
    GREYLIST = "greylist"
    RELAY_DENIED = "relay_denied"
    TLS_FAILURE = "tls_failure"
    PROTOCOL_ERROR = "protocol_error"
    CONTENT_ERROR = "content_error"
    DNS_FAILURE = "dns_failure"
    CONNECTION_FAILURE = "connection_failure"
    REMOTE_SYSTEM = "remote_system"
    ROUTING_LOOP = "routing_loop"
    EXPIRED = "expired"
    UNKNOWN = "unknown"


class Fault(StrEnum):
    """Whom to call."""

    PEER = "peer"
    DNS = "dns"
    LOCAL = "local"
    POLICY = "policy"


class EventKind(StrEnum):
    RECEIVED = "received"
    REFUSED = "refused"
    SCORED = "scored"
    UNCHECKED = "unchecked"
    ATTEMPTED = "attempted"
    SENT = "sent"
    RELAYED = "relayed"
    DEFERRED = "deferred"
    BOUNCED = "bounced"
    LATE_BOUNCED = "late_bounced"
    LATE_BOUNCE_DOUBTED = "late_bounce_doubted"
    DELIVERED_DSN = "delivered_dsn"
    COMPLAINED = "complained"
    HELD = "held"
    RELEASED = "released"
    EXPEDITED = "expedited"
    DROPPED = "dropped"
    REQUEUED = "requeued"
    READ = "read"


def format_instant(at: datetime) -> str:
    """RFC 3339 in UTC with milliseconds."""
    return at.isoformat(timespec="milliseconds")[:-6] + "Z"  # it ends in +00:00


def instant_or_none(at: datetime | None) -> str | None:
    """Write an instant, where there is one, as `format_instant` does."""
    return None if at is None else format_instant(at)


def instant(at: datetime | None, zone: tzinfo | None = UTC) -> str:
    """Return an instant for people, to the second, as clocks in `zone` show it, None being those of this machine.

    It ends in the offset of the zone, which is `Z` for UTC, so that it means one instant. Empty if unknown.
    """
    if at is None:
        return ""
    written = at.astimezone(zone).isoformat(" ", "seconds")
    return f"{written[:-6]}Z" if written.endswith("+00:00") else written


def format_duration(length: timedelta) -> str:
    """Write whole days as `5d`, anything else as `36h`, `1h30m` or `20s`."""
    seconds = int(length.total_seconds())
    if seconds % 86400 == 0:
        return f"{seconds // 86400}d"
    parts = (("h", seconds // 3600), ("m", seconds // 60 % 60), ("s", seconds % 60))
    return "".join(f"{count}{unit}" for unit, count in parts if count)


def status_of(state: str, *, has_failed: bool) -> str:
    """Return what people call the state; `has_failed`: its last attempt did not end in an acceptance."""
    return "deferred" if state == "queued" and has_failed else str(state)
