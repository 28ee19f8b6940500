"""From a `Query` to the recipients that match, newest message first, a bounded part of the history at a time.

A search takes one window of messages after the other: in each it goes by the index that has fewest entries
there (`paths`), and compares the rest. A window ends where that index has led to `_LOOKED_AT` entries, so
that no step takes long, however rarely two common values meet.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import apsw

from relayd.mail.ids import MessageId
from relayd.ports.view import Query
from relayd.store.sqlite.paths import Path, ages, filters, span, trouble, ways
from relayd.store.sqlite.values import fetch

Key = tuple[MessageId, int]

_LOOKED_AT = 2000  # entries of an index in one window, but for those of its last message


class Search:
    """One question, answered step by step. Each step sees what is there at its time."""

    def __init__(self, db: apsw.Connection, query: Query, *, before: Key | None = None) -> None:
        """`before` is the last recipient of those that are known already."""
        self._db = db
        low, self._high = span(query)
        self._after = -1  # the number in the highest message that is known already
        if before is not None and before[0] <= self._high:
            self._high, self._after = before
        self._ages = list(ages(query, low, list(filters(db, query))))
        self._begin()

    def _begin(self) -> None:
        """Go on with mail of the next age that there is any of."""
        self._low = self._high + 1
        while self._low > self._high and self._ages:
            self._low, asked = self._ages.pop(0)
            self._filters = [path if path.is_wide else self._narrowed(path) for path in asked]
            self._paths: Sequence[Path] = ()
            if self._matches_something():
                kinds = trouble(self._filters)
                self._filters = [
                    self._gathered(path, kinds) if path.is_wide else path for path in self._filters
                ]
                self._paths = [self._narrowed(path) for path in ways(self._filters)]
            if not self._matches_something():
                self._high = self._low - 1

    def _matches_something(self) -> bool:
        """Tell whether there may be anything: each filter has a value that some mail has."""
        return all(path.choices for path in (*self._filters, *self._paths))

    @property
    def is_done(self) -> bool:
        return self._low > self._high

    @property
    def place(self) -> Key:
        """Where it is: another search before that goes on as this one."""
        return MessageId(self._high), self._after

    @property
    def leading(self) -> Path:
        """The first index of what is searched now."""
        return self._paths[0]

    def reach(self, entries: int) -> int | None:
        """Return the message down to which no value of the first index has more entries; None: it has not."""
        return None if self.is_done else self._reach(self.leading, entries)

    def step(self, limit: int) -> list[Key]:
        """Return the next that match, in order, at most `limit`; perhaps none, though more may follow."""
        path, floor = self._window()
        found = self._read(path, floor, limit)
        if len(found) == limit:
            self._high, self._after = found[-1]
        else:
            self._high, self._after = floor - 1, -1
        if self.is_done:
            self._begin()
        elif not found:
            self._skip()
        return found

    def _skip(self) -> None:
        """Leave out the newest messages that have none of very many values, where nothing else leads."""
        if self._paths[0].has_values or self._paths[0].covers:
            return
        for path in self._filters:
            if path.is_gathered:
                from relayd.store.sqlite import wide  # noqa: PLC0415 -- as above

                newest = wide.newest(self._db, path, self._high)
                if newest < self._high:
                    self._high, self._after = newest, -1

    def _gathered(self, path: Path, kinds: Path | None) -> Path:
        from relayd.store.sqlite import wide  # noqa: PLC0415 -- few questions need it

        return wide.gathered(self._db, path, kinds, self._low, self._high)

    def _narrowed(self, path: Path) -> Path:
        """Leave out choices that nothing has."""
        if len(path.choices) <= 1 or not path.leads:
            return path
        sql = f"SELECT 1 FROM {path.table('r')} WHERE {path.matches('r')} LIMIT 1"  # noqa: S608 -- constants
        return replace(path, choices=[each for each in path.choices if fetch(self._db, sql, each)])

    def _window(self) -> tuple[Path, int]:
        """Choose the index that reaches farthest back; return it, and the oldest message to look at."""
        if len(self._filters) == len(self._paths[0].covers):
            return self._paths[0], self._low  # nothing is left to compare
        best, floor = self._paths[0], self._high
        for path in self._paths:
            reached = self._reach(path, _LOOKED_AT // len(path.choices))
            if reached is None:
                return path, self._low
            if reached < floor:
                best, floor = path, reached
        return best, floor

    def _reach(self, path: Path, share: int) -> int | None:
        """Return the message at which a value of an index has led to a number of entries; None if none does."""
        sql = (
            f"SELECT {path.id} FROM {path.table('r')} WHERE {path.matches('r')}"  # noqa: S608 -- constants
            f" AND {path.id} BETWEEN ? AND ? ORDER BY {path.id} DESC LIMIT 1 OFFSET ?"
        )
        reached = [
            message_id
            for choice in path.choices
            for (message_id,) in fetch(self._db, sql, (*choice, self._low, self._high, share))
        ]
        return max(reached, default=None)

    def _read(self, path: Path, floor: int, limit: int) -> list[Key]:
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
