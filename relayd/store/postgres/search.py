"""From a `Query` to the recipients that match, newest message first, a part of the history at a time.

A search takes one window of ids after the other, and makes the next one larger or smaller by the time that the
last one took: so a page comes soon also where two common values hardly meet, and a whole answer needs few steps.
"""

import time
from collections.abc import Sequence
from typing import NamedTuple

from relayd.mail.ids import MessageId
from relayd.ports.view import Query
from relayd.store.postgres import names
from relayd.store.postgres.conditions import Where, span, table, where
from relayd.store.postgres.line import Row, Session

Key = tuple[MessageId, int]

_FIRST = 24 * 3600 * 1000 << 21  # ids of the first window: a day
_LEAST = 60 * 1000 << 21
_QUICK, _SLOW = 0.05, 0.3  # seconds that a window takes
_BOUNDS = "SELECT coalesce(min(id), 0), coalesce(max(id), 0) FROM message"


class _Course(NamedTuple):
    """Which way a search goes, as SQL compares and orders what lies ahead of it."""

    step: int
    ids: str
    numbers: str
    id_ahead: str
    number_ahead: str
    none_known: int  # the number in the message at the edge when nothing of that message is known


_ON = _Course(-1, "DESC", "ASC", "<", ">", -1)
_BACK = _Course(1, "ASC", "DESC", ">", "<", 2**31 - 1)


class Search:
    """One question, answered window by window. Each window sees what is there at its time."""

    def __init__(
        self,
        query: Query,
        *,
        before: Key | None = None,
        back_from: Key | None = None,
        within: float | None = None,
    ) -> None:
        """`before` is the last recipient of those that are known already.

        With `back_from` the search goes back, towards newer mail, from the recipient there. After `within` seconds it
        goes on no more, whatever was found.
        """
        self._query = query
        self._until = None if within is None else time.monotonic() + within
        self._before = before
        self._back_from = back_from
        self._course = _ON if back_from is None else _BACK
        self._width = _FIRST

    async def begin(self, db: Session) -> None:
        """Learn how far the history goes, and what is asked for in its words."""
        low, high = span(self._query)
        [(oldest, newest)] = await db.fetch(_BOUNDS)
        self._low, self._high = max(low, int(oldest)), min(high, int(newest))
        self._edge, self._known = self._before or (MessageId(self._high), -1)
        if self._back_from is not None:
            self._edge, self._known = self._back_from[0], self._back_from[1] + 1
            if self._edge < self._low:
                self._go_to(self._low)
        elif self._edge > self._high:
            self._go_to(self._high)
        self._table = table(self._query)
        self._where = where(
            self._query,
            clients=await names.clients(db, self._query.client),
            destinations=await names.destinations(db, self._query.destination),
        )

    @property
    def is_done(self) -> bool:
        return not self._low <= self._edge <= self._high

    @property
    def goes_on(self) -> bool:
        """Whether there may be more, and time to look for it."""
        return not self.is_done and (self._until is None or time.monotonic() < self._until)

    @property
    def place(self) -> Key:
        """Where it is: another search before that, or back from there, goes on as this one."""
        return MessageId(self._edge), self._known - (self._course is _BACK)

    async def step(self, db: Session, columns: str, limit: int) -> Sequence[Row]:
        """Return the next that match, at most `limit`, in the order in which it goes; perhaps none, though more may follow.

        The first two of `columns` are the id of the message and the number of the recipient.
        """
        course, last = self._course, self._last_of_window()
        asked = self._where.copy()
        sql = self._sql(asked, columns, last, limit)
        began = time.monotonic()
        rows = await db.fetch(sql, *asked.args)
        took = time.monotonic() - began
        if len(rows) == limit:
            self._edge, self._known = rows[-1][0], rows[-1][1]
        else:
            self._go_to(last + course.step)
        if took < _QUICK:
            self._width *= 8
        elif took > _SLOW:
            self._width = max(self._width // 4, _LEAST)
        return rows

    def _last_of_window(self) -> int:
        if self._course is _ON:
            return max(self._low, self._edge - self._width)
        return min(self._high, self._edge + self._width)

    def _sql(self, asked: Where, columns: str, last: int, limit: int) -> str:
        course = self._course
        low, high = asked.bind(min(self._edge, last)), asked.bind(max(self._edge, last))
        edge, known, most = map(asked.bind, (self._edge, self._known, limit))
        return (
            f"SELECT {columns} FROM {self._table} r JOIN message m ON m.id = r.message_id"  # noqa: S608 -- constants
            f" LEFT JOIN destination d ON d.key = r.destination WHERE {asked.sql}"
            f" AND r.message_id BETWEEN {low} AND {high} AND m.id BETWEEN {low} AND {high}"
            f" AND (r.message_id {course.id_ahead} {edge} OR r.number {course.number_ahead} {known})"
            f" ORDER BY r.message_id {course.ids}, r.number {course.numbers} LIMIT {most}"
        )

    def _go_to(self, message_id: int) -> None:
        self._edge, self._known = MessageId(message_id), self._course.none_known
