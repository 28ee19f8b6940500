"""From a `Query` to the recipients that match, newest message first, a bounded part of the history at a time.

A search takes one window of messages after the other: in each it goes by the index that has fewest entries
there (`paths`), and compares the rest. A window ends where that index has led to `_LOOKED_AT` entries, so
that no step takes long, however rarely two common values meet. A search back goes the same way from its
other end, by the same indexes.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import apsw

from relayd.mail.ids import MessageId
from relayd.ports.view import Query
from relayd.store.sqlite.paths import Path, ages, filters, span, trouble, ways
from relayd.store.sqlite.values import fetch

Key = tuple[MessageId, int]

_LOOKED_AT = 2000  # entries of an index in one window, but for those of its last message


class _Course(NamedTuple):
    """Which way a search goes, as SQL compares and orders what lies ahead of it."""

    step: int  # from an id to the next one
    ids: str
    numbers: str
    id_ahead: str
    number_ahead: str
    none_known: int  # the number in the message at the edge when nothing of that message is known


_ON = _Course(-1, "DESC", "ASC", "<", ">", -1)
_BACK = _Course(1, "ASC", "DESC", ">", "<", 2**31)


class Search:
    """One question, answered step by step. Each step sees what is there at its time.

    A step that is not in the transaction of the one before, or of the beginning, comes after `look_again`.
    """

    def __init__(
        self,
        db: apsw.Connection,
        query: Query,
        *,
        before: Key | None = None,
        back_from: Key | None = None,
        client: Path | None = None,
    ) -> None:
        """`before` is the last recipient of those that are known already.

        With `back_from` the search goes back, towards newer mail, from the recipient there. `client`: what is compared
        instead of the clients of the query.
        """
        self._db = db
        self._course = _ON if back_from is None else _BACK
        low, high = span(query)
        # The message where it is, and the last number that is known in it.
        self._edge, self._known = before or (high, -1)
        if back_from is not None:
            self._edge, self._known = back_from[0], back_from[1] + 1
        self._ages = list(ages(query, low, high, list(filters(db, query, client))))[
            :: -self._course.step
        ]
        self._begin()

    def _begin(self) -> None:
        """Go on with mail of the next age that there is any of."""
        self._end = self._edge - self._course.step
        while self.is_done and self._ages:
            low, high, self._asked = self._ages.pop(0)
            first, self._end = (low, high) if self._course is _BACK else (high, low)
            if self._is_ahead(first, self._edge):
                self._go_to(first)
            self._choose(self._asked)

    def look_again(self) -> bool:
        """Choose anew what leads on, as by now mail may be in a state that none was in; tell whether there may be more."""
        if not any(path.is_wide for path in self._asked):  # to gather those again takes long
            self._choose(self._asked)
            if self.is_done:
                self._begin()
        return not self.is_done

    def _choose(self, asked: Sequence[Path]) -> None:
        """Choose the indexes that lead to mail of this age; leave it out if it has nothing that matches."""
        if self.is_done:
            return
        self._filters = [path if path.is_wide else self._narrowed(path) for path in asked]
        self._paths: Sequence[Path] = ()
        if self._matches_something():
            kinds = trouble(self._filters)
            self._filters = [
                self._gathered(path, kinds) if path.is_wide else path for path in self._filters
            ]
            self._paths = [self._narrowed(path) for path in ways(self._filters)]
        if not self._matches_something():
            self._go_to(self._end + self._course.step)

    def _matches_something(self) -> bool:
        """Tell whether there may be anything: each filter has a value that some mail has."""
        return all(path.choices for path in (*self._filters, *self._paths))

    def _is_ahead(self, message_id: int, of: int) -> bool:
        return (message_id - of) * self._course.step > 0

    def _go_to(self, message_id: int) -> None:
        self._edge, self._known = MessageId(message_id), self._course.none_known

    @property
    def is_done(self) -> bool:
        return self._is_ahead(self._edge, self._end)

    @property
    def place(self) -> Key:
        """Where it is: another search before that, or back from there, goes on as this one."""
        return MessageId(self._edge), self._known - (self._course is _BACK)

    @property
    def leading(self) -> Path:
        """The first index of what is searched now."""
        return self._paths[0]

    def reach(self, entries: int) -> int | None:
        """Return the message down to which no value of the first index has more entries; None: it has not."""
        return None if self.is_done else self._reach(self.leading, entries)

    def step(self, limit: int) -> list[Key]:
        """Return the next that match, in the order in which it goes, at most `limit`; perhaps none, though more may follow."""
        path, last = self._window()
        found = self._read(path, last, limit)
        if len(found) == limit:
            self._edge, self._known = found[-1]
        else:
            self._go_to(last + self._course.step)
        if self.is_done:
            self._begin()
        elif not found:
            self._skip()
        return found

    def _skip(self) -> None:
        """Leave out the next messages that have none of very many values, where nothing else leads."""
        if self._paths[0].has_values or self._paths[0].covers:
            return
        for path in self._filters:
            if path.is_gathered:
                from relayd.store.sqlite import wide  # noqa: PLC0415 -- as above

                is_back = self._course is _BACK
                nearest = wide.nearest(self._db, path, self._edge, is_back=is_back)
                if nearest is None:
                    self._go_to(self._end + self._course.step)
                elif nearest != self._edge:
                    self._go_to(nearest)

    def _gathered(self, path: Path, kinds: Path | None) -> Path:
        from relayd.store.sqlite import wide  # noqa: PLC0415 -- few questions need it

        return wide.gathered(self._db, path, kinds, *self._between(self._end))

    def _between(self, last: int) -> tuple[int, int]:
        """Return the ids from where it is to `last`, the lower first."""
        return min(self._edge, last), max(self._edge, last)

    def _narrowed(self, path: Path) -> Path:
        """Leave out choices that nothing has."""
        if len(path.choices) <= 1 or not path.leads:
            return path
        sql = f"SELECT 1 FROM {path.table('r')} WHERE {path.matches('r')} LIMIT 1"  # noqa: S608 -- constants
        return replace(path, choices=[each for each in path.choices if fetch(self._db, sql, each)])

    def _window(self) -> tuple[Path, int]:
        """Choose the index that reaches farthest; return it, and the last message to look at."""
        if len(self._filters) == len(self._paths[0].covers):
            return self._paths[0], self._end  # nothing is left to compare
        best, last = self._paths[0], self._edge
        for path in self._paths:
            reached = self._reach(path, _LOOKED_AT // len(path.choices))
            if reached is None:
                return path, self._end
            if self._is_ahead(reached, last):
                best, last = path, reached
        return best, last

    def _reach(self, path: Path, share: int) -> int | None:
        """Return the message at which a value of an index has led to a number of entries; None if none does."""
        sql = (
            f"SELECT {path.id} FROM {path.table('r')} WHERE {path.matches('r')}"  # noqa: S608 -- constants
            f" AND {path.id} BETWEEN ? AND ? ORDER BY {path.id} {self._course.ids} LIMIT 1 OFFSET ?"
        )
        reached = [
            message_id
            for choice in path.choices
            for (message_id,) in fetch(self._db, sql, (*choice, *self._between(self._end), share))
        ]
        return min(reached, key=lambda each: abs(each - self._edge), default=None)

    def _read(self, path: Path, last: int, limit: int) -> list[Key]:
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
        message_id, course = f"first.{path.id}", self._course
        sql = (
            f"SELECT {message_id}, {number} FROM {' CROSS JOIN '.join(tables)}"  # noqa: S608 -- constants
            f" WHERE {' AND '.join(where)} AND {message_id} BETWEEN ? AND ?"
            f" AND ({message_id} {course.id_ahead} ? OR {number} {course.number_ahead} ?)"
            f" ORDER BY {message_id} {course.ids}, {number} {course.numbers} LIMIT ?"
        )
        values += [*self._between(last), self._edge, self._known, limit]
        found = [
            (MessageId(message_id), number)
            for choice in path.choices
            for message_id, number in fetch(self._db, sql, (*choice, *values))
        ]
        return sorted(found, key=lambda key: (key[0] * course.step, -key[1] * course.step))[:limit]
