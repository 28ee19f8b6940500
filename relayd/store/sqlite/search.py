"""From a `Query` to SQL conditions. Every value is bound; the SQL is put together of constants."""

from collections.abc import Iterator
from typing import Any

from relayd.mail.ids import first_id_at
from relayd.ports.view import Query, Status
from relayd.store.sqlite.values import query_key

UNFINISHED = "r.state IN ('queued', 'held')"
_NOTABLE = "r.state IN ('held', 'bounced', 'dropped')"  # word for word as its index has it

_STATUS = {
    Status.QUEUED: "r.state = 'queued' AND r.category IS NULL",
    Status.DEFERRED: "r.state = 'queued' AND r.category IS NOT NULL",
    Status.HELD: "r.state = 'held'",
    Status.RELAYED: "r.state = 'relayed'",
    Status.SENT: "r.state = 'sent'",
    Status.BOUNCED: "r.state = 'bounced'",
    Status.DROPPED: "r.state = 'dropped'",
}


def conditions(query: Query) -> tuple[str, list[Any]]:
    """Return a WHERE expression over `recipient r` and `message m`, and its bindings."""
    found: list[str] = ["1"]
    bound: list[Any] = []
    for condition, values in _parts(query):
        found.append(condition)
        bound.extend(values)
    if query.status is not None:
        found.append(_STATUS[query.status])
    if query.unfinished:
        found.append(UNFINISHED)
    if _is_about_few(query):
        found.append(_NOTABLE)
    return " AND ".join(found), bound


def _is_about_few(query: Query) -> bool:
    """Tell whether the index of notable states is the best one: most mail is in none of them.

    Who is asked for by name has an index that leaves fewer, and SQLite would not choose that.
    """
    names = (query.message_id, query.recipient, query.domain, query.message_id_header, query.tag)
    is_notable = query.status in {Status.HELD, Status.BOUNCED, Status.DROPPED}
    return (is_notable or query.bounce_class is not None) and all(each is None for each in names)


def _parts(query: Query) -> Iterator[tuple[str, tuple[Any, ...]]]:
    simple: tuple[tuple[str, Any], ...] = (
        ("r.message_id = ?", query.message_id),
        ("r.address_key = ?", None if query.recipient is None else query_key(query.recipient)),
        ("m.reverse_path = ? COLLATE NOCASE", query.sender),
        ("m.message_id_header = ? COLLATE NOCASE", _bracketed(query.message_id_header)),
        ("m.tag = ? COLLATE NOCASE", query.tag),
        ("r.state = 'bounced' AND r.bounce_class = ?", query.bounce_class),
        ("r.category = ?", query.category),
        ("r.message_id >= ?", query.since and first_id_at(query.since)),
        ("r.message_id < ?", query.until and first_id_at(query.until)),
    )
    for condition, value in simple:
        if value is not None:
            yield condition, (value,)
    if query.domain is not None:
        domain = query.domain.lower()
        yield (
            "r.address_key >= ? AND r.address_key < ?",
            (f"{domain}@", f"{domain}A"),
        )  # A follows @


def _bracketed(header: str | None) -> str | None:
    return None if header is None else f"<{header.strip().strip('<>')}>"
