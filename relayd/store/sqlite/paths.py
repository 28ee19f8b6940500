"""The ways to what a `Query` asks for: of each filter the comparison, and the index that leads to it.

Every filter has an index in which the entries of one value lie in the order of messages; so has each
filter together with a rare status, category or bounce class. Every value is bound; the SQL is put together of constants.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import lru_cache
from itertools import product
from typing import Any

import apsw

from relayd.mail.ids import first_id_at
from relayd.mail.words import BounceClass, Category
from relayd.ports.view import UNFINISHED, Query, Status
from relayd.store.sqlite.values import query_key, to_ms

Kind = tuple[str, Category | None, BounceClass | None]  # a state, and why

_MANY = 1000  # values of a filter: more are not gone through one by one
_SOON = timedelta(minutes=5)  # after its reception, what becomes of mail is not late
_NEWEST = 2**63 - 1

_KIND = "{0}.state = ? AND {0}.category IS ? AND {0}.bounce_class IS ?"
# As the index of what changed late has it: more than 5 minutes after the instant in the id (`mail/ids.py`).
_CHANGED_LATE = "{0}.updated_at > ({0}.message_id >> 21) + 1577837100000 AND {0}.updated_at >= ?"
# What has an index in the table of trouble, together with its kind, and how it is compared there.
_WITH_TROUBLE: Mapping[str, str] = {
    "sender": "{0}.sender COLLATE NOCASE = ?",
    "tag": "{0}.tag COLLATE NOCASE = ?",
    "domain": "{0}.domain = ?",
    "address": "{0}.address_key = ?",
    "user": "{0}.auth_user COLLATE NOCASE = ?",
    "client": "{0}.client_ip = ?",
    "destination": "{0}.destination = ?",
}


@dataclass(frozen=True, slots=True)
class Path:
    """What is asked for by a filter, or by two, and the index that leads to it."""

    index: str
    sql: str  # the comparison with one choice, by the name of the table
    choices: Sequence[tuple[Any, ...]]  # each is a range of the index
    covers: frozenset[str]  # names of filters
    leads: bool = True  # worth going by; else only compared with, in the row itself

    @property
    def is_of_message(self) -> bool:
        return self.index.startswith(("message", "found"))

    @property
    def is_wide(self) -> bool:
        """Whether it is to be gathered (`wide`) before it is used."""
        return self.is_of_message and self._is_one_value and len(self.choices) > _MANY

    @property
    def is_gathered(self) -> bool:
        return self.sql.endswith(f" IN temp.wanted_{self.index}")

    @property
    def _is_table(self) -> bool:
        return self.index == "recipient_by_domain" or self.index.startswith("found")

    @property
    def id(self) -> str:
        return "id" if self.is_of_message else "message_id"

    def table(self, name: str) -> str:
        if self._is_table:
            return f"{self.index} AS {name}"
        table, *is_index = self.index.split("_")
        return f"{table} AS {name} " + (f"INDEXED BY {self.index}" if is_index else "NOT INDEXED")

    def matches(self, name: str) -> str:
        return self.sql.format(name)

    def row(self, name: str) -> str:
        """The table, in which one of several choices is found by the key of the row."""
        if self._is_table or (self.leads and len(self.choices) == 1):
            return self.table(name)
        return f"{'message' if self.is_of_message else 'recipient'} AS {name} NOT INDEXED"

    @property
    def has_values(self) -> bool:
        return self.choices != [()]

    def value_of(self, name: str) -> str:
        """What is compared with one value."""
        return self.matches(name).removesuffix(" = ?")

    @property
    def _is_one_value(self) -> bool:
        return self.sql.endswith(" = ?") and self.sql.count("?") == 1

    def bound(self) -> Sequence[Any]:
        """What `is_any` compares with."""
        values = [value for choice in self.choices for value in choice]
        return [json.dumps(values)] if self._is_one_value and len(values) > 1 else values

    def is_any(self, name: str) -> str:
        """The comparison with all choices."""
        one = self.matches(name)
        if len(self.choices) == 1:
            return one
        if self._is_one_value:
            return f"{self.value_of(name)} IN (SELECT value FROM json_each(?) AS wanted)"  # noqa: S608 -- constants
        return f"({' OR '.join([one] * len(self.choices))})"


_ALL = Path("recipient", "1", [()], frozenset())
_DUPLICATES = Path("recipient_duplicate", "{0}.possible_duplicate", [()], frozenset({"duplicate"}))


def span(query: Query) -> tuple[int, int]:
    """Return the lowest and the highest id that may match."""
    low = 0 if query.since is None else int(first_id_at(query.since))
    high = _NEWEST if query.until is None else int(first_id_at(query.until)) - 1
    if query.message_id is not None:
        low, high = max(low, query.message_id), min(high, query.message_id)
    return low, high


def ages(
    query: Query, low: int, high: int, filters: list[Path]
) -> Iterator[tuple[int, int, list[Path]]]:
    """Yield the lowest id, the highest and the filters, for mail of each age that is searched in a way of its own.

    What changed since an instant is mostly what came since. Of older mail, it is in the index of what
    changed late, which is little.
    """
    if query.changed_since is None:
        yield low, high, filters
        return
    turn = max(low, int(first_id_at(query.changed_since - _SOON)))
    since, changed = (to_ms(query.changed_since),), frozenset({"changed"})
    newer = Path("recipient", "{0}.updated_at >= ?", [since], changed, leads=False)
    yield turn, high, [*filters, newer]
    older = Path("recipient_changed_late", _CHANGED_LATE, [since], changed)
    yield low, min(high, turn - 1), [older, *filters]


def filters(db: apsw.Connection, query: Query, client: Path | None) -> Iterator[Path]:
    """What is asked for but for the time, the usually rarest first; `client` as in `Search`."""
    kinds = _kinds_of(query.status, query.category, query.bounce_class, query.unfinished)
    headers = [f"<{each.strip().strip('<>')}>" for each in query.message_id_header]
    clients: Iterable[str] = ()
    keys: Iterable[str] = ()
    if query.client or query.destination:
        from relayd.store.sqlite import distinct  # noqa: PLC0415 -- brings what decides; few ask for it

        clients = distinct.clients(db, query.client) if query.client and client is None else ()
        keys = distinct.destinations(db, query.destination) if query.destination else ()
    asked: Sequence[tuple[object, Path]] = (
        (headers, _text("header", "message_id_header", headers)),
        (query.possible_duplicate, _DUPLICATES),
        (
            query.recipient,
            _value("recipient", "address", "address_key", map(query_key, query.recipient)),
        ),
        (query.tag, _text("tag", "tag", query.tag)),
        (len(kinds) < len(_KINDS), Path("recipient_by_kind", _KIND, kinds, frozenset({"kind"}))),
        (query.user, _text("user", "auth_user", query.user)),
        (query.client, client or _value("message", "client", "client_ip", clients)),
        (query.destination, _value("recipient", "destination", "destination", keys)),
        (query.domain, _value("recipient", "domain", "domain", map(str.lower, query.domain))),
        (query.sender, _text("sender", "reverse_path", query.sender)),
    )
    for is_asked, path in asked:
        if is_asked:
            yield path


def _value(table: str, name: str, column: str, values: Iterable[str], *, how: str = "") -> Path:
    """A filter by the whole value of a column; one that is named twice is one range of its index."""
    choices = [(value,) for value in dict.fromkeys(values)]
    return Path(f"{table}_by_{name}", f"{{0}}.{column}{how} = ?", choices, frozenset({name}))


def _text(name: str, column: str, values: Iterable[str]) -> Path:
    """The same of a message's text, whose case does not count."""
    return _value("message", name, column, map(_folded, values), how=" COLLATE NOCASE")


def _folded(text: str) -> str:
    """Return what NOCASE takes for the same: two spellings of a value are one range of an index."""
    return text.encode().lower().decode()  # ASCII letters only


def ways(filters: Sequence[Path]) -> Sequence[Path]:
    """Return what leads to the answer: each filter, or better, each together with the kind of trouble."""
    leading = [each for each in filters if each.leads] or [_ALL]
    kinds = trouble(filters)
    if kinds is None:
        return leading
    together = [
        replace(
            both,
            sql=f"{both.sql} AND {_KIND}",
            choices=[(*value, *kind) for value, kind in product(each.choices, kinds.choices)],
            covers=each.covers | kinds.covers,
        )
        for each in filters
        if each.leads and each.has_values and len(each.choices) * len(kinds.choices) <= _MANY
        if (both := with_trouble(each)) is not None
    ]
    covered = {name for each in together for name in each.covers}
    others = [each for each in leading if not each.covers & covered]
    return [*together, *others] if together else leading


def trouble(filters: Sequence[Path]) -> Path | None:
    """Return the filter by kind, if all that it asks for is in the table of trouble."""
    kinds = next((each for each in filters if "kind" in each.covers), None)
    return kinds if kinds is not None and all(map(_is_trouble, kinds.choices)) else None


def with_trouble(path: Path) -> Path | None:
    """Return the same filter where only trouble is; None for one that has no index there."""
    [name] = path.covers
    sql = _WITH_TROUBLE.get(name)
    return None if sql is None else replace(path, index=f"trouble_by_{name}", sql=sql)


def _all_kinds() -> Iterator[Kind]:
    """Every kind of recipient that the store may have."""
    for state in ("relayed", "sent"):
        yield state, None, None
    for category in (None, *Category):
        for state in ("queued", "held", "dropped"):
            yield state, category, None
        for bounce_class in (None, *BounceClass):
            yield "bounced", category, bounce_class


_KINDS = tuple(_all_kinds())


def _status_of(kind: Kind) -> Status:
    state, category, _ = kind
    return Status.DEFERRED if state == "queued" and category is not None else Status(state)


def _is_trouble(kind: Kind) -> bool:
    return _status_of(kind) not in (Status.QUEUED, Status.RELAYED, Status.SENT)


@lru_cache(maxsize=256)
def _kinds_of(
    statuses: tuple[Status, ...],
    categories: tuple[Category, ...],
    classes: tuple[BounceClass, ...],
    is_unfinished: bool,  # noqa: FBT001 -- positions are what is remembered
) -> Sequence[Kind]:
    """Return the kinds that match; they are the same each time, and hundreds are looked through."""
    return [
        kind
        for kind in _KINDS
        if not statuses or _status_of(kind) in statuses
        if not categories or kind[1] in categories
        if not classes or kind[2] in classes
        if not is_unfinished or _status_of(kind) in UNFINISHED
    ]
