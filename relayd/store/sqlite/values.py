"""What columns hold, and reading them."""

from collections.abc import Mapping, Sequence
from typing import Any

import apsw

from relayd.store.values import address_key, domain_of, from_ms, query_key, to_ms

__all__ = ["address_key", "domain_of", "fetch", "from_ms", "query_key", "to_ms"]


def fetch(
    db: apsw.Connection, sql: str, bindings: Sequence[Any] | Mapping[str, Any] = ()
) -> list[tuple[Any, ...]]:
    """Run a query to its end; the rows as the SQL has them."""
    return db.execute(sql, bindings).fetchall()
