"""Questions about counted outcomes: steps of the tally, and what is not counted yet.

All is read in one snapshot, so that an event is in the tally or in the rest, never in both.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from relayd.mail.tally import BOUNCES, COUNTED, DAY, END, Dimension, Piece
from relayd.ports.tally import TallyAnswer, TallyQuery, TallyRow
from relayd.ports.upkeep import TALLIED_AT_ONCE
from relayd.store.postgres import tallying
from relayd.store.postgres.events import SEEN
from relayd.store.postgres.line import Session
from relayd.store.postgres.session import ONE_SNAPSHOT
from relayd.store.tallies import REST, Sums, folded, pieces_of
from relayd.store.values import from_ms, to_ms

_LIVE = 2 * TALLIED_AT_ONCE  # events that a question counts for itself
_BEHIND = f"SELECT at FROM event WHERE number > $1 AND number < {SEEN} ORDER BY number LIMIT 1"  # noqa: S608 -- constants
_PIECES = "unnest($1::bigint[], $2::bigint[], $3::bigint[]) AS piece (span, low, high)"
_ANY_BOUNCE = " + ".join(BOUNCES)
_MOST_FIRST = (
    "sum(received) DESC, sum(hard + block + soft + late_bounced) DESC, sum(deferred) DESC,"
    " sum(sent + relayed) DESC, {folded}"
)
_BOUNCES_FIRST = f"sum({_ANY_BOUNCE}) DESC, {{folded}}"


async def answer(db: Session, query: TallyQuery) -> TallyAnswer:
    """Answer a question, at the beginning of a transaction."""
    await db.begin()
    await db.execute(ONE_SNAPSHOT)
    rest, counted_until = await tallying.uncounted(db, _LIVE), None
    begins, kept = await tallying.complete_from(db)
    if rest is not None:
        begins = rest.begins
    if rest is not None and await db.value(_BEHIND, rest.upto) is not None:
        counted_until = from_ms(await db.value(_BEHIND, rest.after))
        rest = None
    if begins is not None:
        begins = max(begins, kept[DAY])
    since = max(0 if query.since is None else to_ms(query.since), begins or 0)
    until = END if query.until is None else to_ms(query.until)
    found = pieces_of(kept, query, since, until)
    asked = _Question(db, found, Sums({}, {}) if rest is None else await tallying.sums(db, rest))
    return TallyAnswer(
        total=next(iter(await asked.rows(_ALL)), TallyRow()),
        rows=await (asked.by_value(query.by, query) if query.by else asked.rows(_BY_TIME)),
        since=from_ms(max(found[0].low, begins or 0)) if found else query.since,
        until=from_ms(found[-1].high) if found and query.until else query.until,
        begins=None if begins is None else from_ms(begins),
        counted_until=counted_until,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Key:
    """What rows are of."""

    sql: str  # a column of the tally
    type: str
    folded: str  # what two spellings of it have in common
    dimension: int = 0


_ALL = _Key(sql="''", type="text", folded="key")
_BY_TIME = _Key(sql="at", type="bigint", folded="key")


class _Question:
    """Reads from some steps, and from the events that are not counted yet."""

    def __init__(self, db: Session, found: Sequence[Piece], live: Sums) -> None:
        self._db = db
        self._pieces = (
            [each.span for each in found],
            [each.low for each in found],
            [each.high for each in found],
        )
        self._span = found[0].span if found else DAY
        low, high = (found[0].low, found[-1].high) if found else (END, 0)
        self._live = Sums(
            {key: row for key, row in live.counts.items() if low <= key[1] < high},
            {key: number for key, number in live.delays.items() if low <= key[2] < high},
        )

    async def by_value(self, by: Dimension, query: TallyQuery) -> list[TallyRow]:
        key = _Key(
            sql="value",
            type="text",
            folded='lower(key COLLATE "C")',
            dimension=1 + list(Dimension).index(by),
        )
        names = BOUNCES if query.only_bounces else COUNTED
        return await self.rows(key, names=names, limit=query.limit)

    async def rows(
        self, key: _Key, *, names: Sequence[str] = COUNTED, limit: int = 0
    ) -> list[TallyRow]:
        """Return the sums by a key."""
        where, order = "", "key"
        if key is not _BY_TIME:
            order = _MOST_FIRST.format(folded=key.folded)
        if names is BOUNCES:
            where, order = f" WHERE {_ANY_BOUNCE} > 0", _BOUNCES_FIRST.format(folded=key.folded)
        live = self._live_rows(key, names)
        columns = ", ".join(f"${7 + place}::bigint[]" for place in range(len(names)))
        listed = ", ".join(names)
        sql = (
            f"SELECT min(key), {', '.join(f'sum({name})::bigint' for name in names)} FROM ("  # noqa: S608 -- constants
            f"SELECT {key.sql} AS key, {listed} FROM {_PIECES} JOIN tally t"
            " ON t.span = piece.span AND t.dimension = $4 AND t.at >= low AND t.at < high"
            f" UNION ALL SELECT * FROM unnest($6::{key.type}[], {columns}) AS live (key, {listed})"
            f") every{where} GROUP BY {key.folded} ORDER BY {order} LIMIT $5"
        )
        found = await self._db.fetch(sql, *self._pieces, key.dimension, limit or None, *live)
        delays: Mapping[Any, Mapping[int, int]] = {}
        if names is COUNTED:
            delays = await self._delays(key, [row[0] for row in found])
        return [
            TallyRow(
                value=row[0] if key.dimension and row[0] != REST else "",
                at=from_ms(row[0]) if isinstance(row[0], int) else None,
                is_rest=row[0] == REST,
                counts=dict.fromkeys(COUNTED, 0) | dict(zip(names, row[1:], strict=True)),
                delays=delays.get(folded(row[0]), {}),
            )
            for row in found
        ]

    def _live_rows(self, key: _Key, names: Sequence[str]) -> list[list[Any]]:
        """Return the keys of what is not counted yet, then a list for each name."""
        places = [COUNTED.index(name) for name in names]
        rows = [
            (self._live_key(key, value, at), *(row[place] for place in places))
            for (number, at, value), row in self._live.counts.items()
            if number == key.dimension and any(row[place] for place in places)
        ]
        return list(map(list, zip(*rows, strict=True))) if rows else [[]] * (1 + len(names))

    def _live_key(self, key: _Key, value: str, at: int) -> Any:
        return at - at % self._span if key is _BY_TIME else value

    async def _delays(self, key: _Key, wanted: list[Any]) -> Mapping[Any, Mapping[int, int]]:
        values = list(map(folded, wanted)) if key.dimension else [""]
        sql = (
            f"SELECT {key.sql}, class, sum(recipients)::bigint FROM {_PIECES} JOIN tally_delay d"  # noqa: S608 -- constants
            " ON d.span = piece.span AND d.dimension = $4 AND lower(d.value) = ANY($5::text[])"
            " AND d.at >= low AND d.at < high GROUP BY 1, class"
        )
        found = await self._db.fetch(sql, *self._pieces, key.dimension, values)
        for (number, value, at, each), recipients in self._live.delays.items():
            if number == key.dimension:
                found.append((self._live_key(key, value, at), each, recipients))
        delays: dict[Any, dict[int, int]] = {}
        for one, each, recipients in found:
            of_key = delays.setdefault(folded(one), {})
            of_key[each] = of_key.get(each, 0) + recipients
        return delays
