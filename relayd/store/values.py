"""What columns hold, whatever the engine: instants, and the keys of addresses."""

from datetime import UTC, datetime, timedelta

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MS = timedelta(milliseconds=1)


def to_ms(at: datetime) -> int:
    return (at - _EPOCH) // _MS


def from_ms(ms: int) -> datetime:
    return _EPOCH + timedelta(milliseconds=ms)


def address_key(local: str, domain: str) -> str:
    """Domain first, so that one index finds an address and all addresses of a domain."""
    return f"{domain.lower()}@{local.lower()}"


def domain_of(key: str) -> str:
    """Return the domain of an address, from its key."""
    return key.partition("@")[0]


def query_key(address: str) -> str:
    """The key of an address as somebody typed it."""
    local, _, domain = address.rpartition("@")
    return address_key(local, domain)


def without_nul(text: str | None) -> str | None:
    """Return text as PostgreSQL can hold it: it has no character NUL, which peers and clients may send."""
    return text.replace("\0", "\ufffd") if text and "\0" in text else text
