"""What columns hold: instants, parameters, and the keys of addresses."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from typing import Any

import apsw
import orjson

NO_PARAMETERS: Mapping[str, str] = MappingProxyType({})
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MS = timedelta(milliseconds=1)


def fetch(db: apsw.Connection, sql: str, bindings: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
    """Run a query to its end; the rows as the SQL has them."""
    return db.execute(sql, bindings).fetchall()


def to_ms(at: datetime) -> int:
    return (at - _EPOCH) // _MS


def from_ms(ms: int) -> datetime:
    return _EPOCH + timedelta(milliseconds=ms)


def dump(parameters: Mapping[str, str]) -> str | None:
    return orjson.dumps(dict(parameters)).decode() if parameters else None


def load(text: str | None) -> Mapping[str, str]:
    return orjson.loads(text) if text else NO_PARAMETERS


def address_key(local: str, domain: str) -> str:
    """Domain first, so that one index finds an address and all addresses of a domain."""
    return f"{domain.lower()}@{local.lower()}"


def query_key(address: str) -> str:
    """The key of an address as somebody typed it."""
    local, _, domain = address.rpartition("@")
    return address_key(local, domain)
