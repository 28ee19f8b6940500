"""From a `Query` to the recipients that match, newest message first, a bounded part of the history at a time.

Every filter has an index in which the entries of one value lie in the order of messages; so has each
filter together with a rare status, category or bounce class. A search takes one window of messages
after the other: in each it goes by the index that has fewest entries there, and compares the rest. A
window ends where that index has led to `_LOOKED_AT` entries, so that no step takes long, however rarely
two common values meet. Every value is bound; the SQL is put together of constants.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from itertools import product
from typing import Any

import apsw

from relayd.mail.ids import MessageId, first_id_at
from relayd.mail.words import BounceClass, Category
from relayd.ports.view import UNFINISHED, Query, Status
from relayd.store.sqlite.values import fetch, query_key, to_ms

Key = tuple[MessageId, int]
Kind = tuple[str, Category | None, BounceClass | None]  # a state, and why

_MANY = 1000  # values of a filter: by more no index is gone through
_SOON = timedelta(minutes=5)  # after its reception, what becomes of mail is not late
_LOOKED_AT = 2000  # entries of an index in one window, but for those of its last message
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
}


@dataclass(frozen=True, slots=True)
class _Path:
    """What is asked for by a filter, or by two, and the index that leads to it."""

    index: str
    sql: str  # the comparison with one choice, by the name of the table
    choices: Sequence[tuple[Any, ...]]  # each is a range of the index
    covers: frozenset[str]  # names of filters
    leads: bool = True  # worth going by; else only compared with

    @property
    def is_of_message(self) -> bool:
        return self.index.startswith("message")

    @property
    def id(self) -> str:
        return "id" if self.is_of_message else "message_id"

    def table(self, name: str) -> str:
        if self.index == "recipient_by_domain":  # a table of its own
            return f"{self.index} AS {name}"
        table, *is_index = self.index.split("_")
        return f"{table} AS {name} " + (f"INDEXED BY {self.index}" if is_index else "NOT INDEXED")

    def matches(self, name: str) -> str:
        return self.sql.format(name)

    def row(self, name: str) -> str:
        """The table, in which one of several choices is found by the key of the row."""
        if len(self.choices) == 1 or self.index == "recipient_by_domain":
            return self.table(name)
        return f"{'message' if self.is_of_message else 'recipient'} AS {name} NOT INDEXED"

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
            return f"{one.removesuffix('= ?')} IN (SELECT value FROM json_each(?) AS wanted)"  # noqa: S608 -- constants
        return f"({' OR '.join([one] * len(self.choices))})"


_ALL = _Path("recipient", "1", [()], frozenset())
_DUPLICATES = _Path("recipient_duplicate", "{0}.possible_duplicate", [()], frozenset({"duplicate"}))


class Search:
    """One question, answered step by step. Each step sees what is there at its time."""

    def __init__(self, db: apsw.Connection, query: Query, *, before: Key | None = None) -> None:
        """`before` is the last recipient of those that are known already."""
        self._db = db
        low, self._high = _span(query)
        self._after = -1  # the number in the highest message that is known already
        if before is not None and before[0] <= self._high:
            self._high, self._after = before
        self._ages = list(_ages(query, low, list(_filters(db, query))))
        self._begin()

    def _begin(self) -> None:
        """Go on with mail of the next age that there is any of."""
        self._low = self._high + 1
        while self._low > self._high and self._ages:
            self._low, self._filters = self._ages.pop(0)
            self._paths = [self._narrowed(path) for path in _paths(self._filters)]
            if not all(path.choices for path in self._paths):
                self._high = self._low - 1

    @property
    def is_done(self) -> bool:
        return self._low > self._high

    def step(self, limit: int) -> list[Key]:
        """Return the next that match, in order, at most `limit`; perhaps none, though more may follow."""
        path, floor = self._window()
        found = self._read(path, floor, limit)
        if len(found) == limit:
            self._high, self._after = found[-1]
        else:
            self._high, self._after = floor - 1, -1
        if self._low > self._high:
            self._begin()
        return found

    def _narrowed(self, path: _Path) -> _Path:
        """Leave out choices that nothing has."""
        if len(path.choices) == 1:
            return path
        sql = f"SELECT 1 FROM {path.table('r')} WHERE {path.matches('r')} LIMIT 1"  # noqa: S608 -- constants
        return replace(path, choices=[each for each in path.choices if fetch(self._db, sql, each)])

    def _window(self) -> tuple[_Path, int]:
        """Choose the index that reaches farthest back; return it, and the oldest message to look at."""
        if len(self._filters) == len(self._paths[0].covers):
            return self._paths[0], self._low  # nothing is left to compare
        best, floor = self._paths[0], self._high
        for path in self._paths:
            reached = self._reach(path)
            if reached is None:
                return path, self._low
            if reached < floor:
                best, floor = path, reached
        return best, floor

    def _reach(self, path: _Path) -> int | None:
        """Return the message at which an index has led to enough entries; None if it never does."""
        sql = (
            f"SELECT {path.id} FROM {path.table('r')} WHERE {path.matches('r')}"  # noqa: S608 -- constants
            f" AND {path.id} BETWEEN ? AND ? ORDER BY {path.id} DESC LIMIT 1 OFFSET ?"
        )
        share = _LOOKED_AT // len(path.choices)
        reached = [
            message_id
            for choice in path.choices
            for (message_id,) in fetch(self._db, sql, (*choice, self._low, self._high, share))
        ]
        return max(reached, default=None)

    def _read(self, path: _Path, floor: int, limit: int) -> list[Key]:
        """Return what matches in a window: each entry of one index is looked up in the others."""
        rest = [each for each in self._filters if not each.covers <= path.covers]
        tables, where = [path.table("first")], [path.matches("first")]
        values: list[Any] = []
        number = None if path.is_of_message else "first.number"
        for each in sorted(rest, key=lambda each: not each.is_of_message):
            name, *_ = each.covers
            tables.append(each.row(name))
            where.append(each.is_any(name))
            values += each.bound()
            where.append(f"{name}.{each.id} = first.{path.id}")
            if number is None and not each.is_of_message:
                number = f"{name}.number"
            elif not each.is_of_message:
                where.append(f"{name}.number = {number}")
        if number is None:
            tables.append("recipient AS r")
            where.append(f"r.message_id = first.{path.id}")
            number = "r.number"
        message_id = f"first.{path.id}"
        sql = (
            f"SELECT {message_id}, {number} FROM {' CROSS JOIN '.join(tables)}"  # noqa: S608 -- constants
            f" WHERE {' AND '.join(where)} AND {message_id} BETWEEN ? AND ?"
            f" AND ({message_id} < ? OR {number} > ?) ORDER BY {message_id} DESC, {number} LIMIT ?"
        )
        values += [floor, self._high, self._high, self._after, limit]
        found = [
            (MessageId(message_id), number)
            for choice in path.choices
            for message_id, number in fetch(self._db, sql, (*choice, *values))
        ]
        return sorted(found, key=lambda key: (-key[0], key[1]))[:limit]


def _span(query: Query) -> tuple[int, int]:
    """Return the lowest and the highest id that may match."""
    low = 0 if query.since is None else int(first_id_at(query.since))
    high = _NEWEST if query.until is None else int(first_id_at(query.until)) - 1
    if query.message_id is not None:
        low, high = max(low, query.message_id), min(high, query.message_id)
    return low, high


def _ages(query: Query, low: int, filters: list[_Path]) -> Iterator[tuple[int, list[_Path]]]:
    """Yield the lowest id and the filters, for mail of each age that is searched in a way of its own.

    What changed since an instant is mostly what came since. Of older mail, it is in the index of what
    changed late, which is little.
    """
    if query.changed_since is None:
        yield low, filters
        return
    turn = max(low, int(first_id_at(query.changed_since - _SOON)))
    since, changed = (to_ms(query.changed_since),), frozenset({"changed"})
    yield turn, [*filters, _Path("recipient", "{0}.updated_at >= ?", [since], changed, leads=False)]
    yield low, [_Path("recipient_changed_late", _CHANGED_LATE, [since], changed), *filters]


def _filters(db: apsw.Connection, query: Query) -> Iterator[_Path]:
    """What is asked for but for the time, the usually rarest first."""
    kinds = [kind for kind in _KINDS if _is_of(kind, query)]
    headers = [f"<{each.strip().strip('<>')}>" for each in query.message_id_header]
    clients: Iterable[str] = ()
    keys: Iterable[str] = ()
    if query.client or query.destination:
        from relayd.store.sqlite import distinct  # noqa: PLC0415 -- brings what decides; few ask for it

        clients = distinct.clients(db, query.client) if query.client else ()
        keys = distinct.destinations(db, query.destination) if query.destination else ()
    client = _value("message", "client", "client_ip", clients)
    asked: Sequence[tuple[object, _Path]] = (
        (headers, _text("header", "message_id_header", headers)),
        (query.possible_duplicate, _DUPLICATES),
        (
            query.recipient,
            _value("recipient", "address", "address_key", map(query_key, query.recipient)),
        ),
        (query.tag, _text("tag", "tag", query.tag)),
        (len(kinds) < len(_KINDS), _Path("recipient_by_kind", _KIND, kinds, frozenset({"kind"}))),
        (query.user, _text("user", "auth_user", query.user)),
        (query.client, replace(client, leads=len(client.choices) <= _MANY)),
        (query.destination, _value("recipient", "destination", "destination", keys)),
        (query.domain, _value("recipient", "domain", "domain", map(str.lower, query.domain))),
        (query.sender, _text("sender", "reverse_path", query.sender)),
    )
    for is_asked, path in asked:
        if is_asked:
            yield path


def _value(table: str, name: str, column: str, values: Iterable[str], *, how: str = "") -> _Path:
    """A filter by the whole value of a column; one that is named twice is one range of its index."""
    choices = [(value,) for value in dict.fromkeys(values)]
    return _Path(f"{table}_by_{name}", f"{{0}}.{column}{how} = ?", choices, frozenset({name}))


def _text(name: str, column: str, values: Iterable[str]) -> _Path:
    """The same of a message's text, whose case does not count."""
    return _value("message", name, column, map(_folded, values), how=" COLLATE NOCASE")


def _folded(text: str) -> str:
    """Return what NOCASE takes for the same: two spellings of a value are one range of an index."""
    return text.encode().lower().decode()  # ASCII letters only


def _paths(filters: Sequence[_Path]) -> Sequence[_Path]:
    """Return what leads to the answer: each filter, or better, each together with the kind of trouble."""
    leading = [each for each in filters if each.leads] or [_ALL]
    kinds = next((each for each in filters if "kind" in each.covers), None)
    if kinds is None or not all(map(_is_trouble, kinds.choices)):
        return leading
    with_trouble = [
        _Path(
            f"trouble_by_{name}",
            f"{_WITH_TROUBLE[name]} AND {_KIND}",
            [(*value, *kind) for value, kind in product(each.choices, kinds.choices)],
            each.covers | kinds.covers,
        )
        for each in filters
        for name in each.covers & _WITH_TROUBLE.keys()
    ]
    covered = {"kind", *_WITH_TROUBLE}
    others = [each for each in leading if not each.covers & covered]
    return [*with_trouble, *others] if with_trouble else leading


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


def _is_of(kind: Kind, query: Query) -> bool:
    status = _status_of(kind)
    asked = ((query.status, status), (query.category, kind[1]), (query.bounce_class, kind[2]))
    is_wanted = not query.unfinished or status in UNFINISHED
    return is_wanted and all(not wanted or found in wanted for wanted, found in asked)
