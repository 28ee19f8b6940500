"""Questions about counted outcomes: steps of the tally, and what is not counted yet.

All is read in one transaction of the caller, so that an event is in the tally or in the rest, never in both.
"""

from collections.abc import Sequence
from typing import Any

import apsw

from relayd.mail.tally import BOUNCES, COUNTED, DAY, END, Dimension, Piece
from relayd.ports.tally import TallyAnswer, TallyQuery, TallyRow
from relayd.ports.upkeep import TALLIED_AT_ONCE
from relayd.store.sqlite.tallying import FACTS, kept_from, read_meta, uncounted
from relayd.store.sqlite.values import fetch, from_ms, to_ms
from relayd.store.tallies import DIMENSIONS, REST, folded, pieces_of

_NONE = dict.fromkeys(COUNTED, 0)
_LIVE = 2 * TALLIED_AT_ONCE  # events that a question counts for itself

_WITH = (
    "WITH piece (span, low, high) AS MATERIALIZED"
    " (SELECT value->>0, value->>1, value->>2 FROM json_each(:pieces))"
)
_ANY_BOUNCE = " + ".join(BOUNCES)
_IN_TIME = "happened >= :since AND happened < :until"
_MOST_FIRST = (
    "sum(received) DESC, sum(hard + block + soft + late_bounced) DESC, sum(deferred) DESC,"
    " sum(sent + relayed) DESC, 1"
)


def answer(db: apsw.Connection, query: TallyQuery) -> TallyAnswer:
    """Answer a question, inside one transaction."""
    rest, counted_until = uncounted(db, _LIVE), None
    begins = read_meta(db, "tally_begins") if rest is None else rest.begins
    if rest is not None and rest.upto < db.execute("SELECT max(id) FROM event").get:
        [(at,)] = fetch(db, "SELECT at FROM event WHERE id > ? ORDER BY id LIMIT 1", (rest.seen,))
        rest, counted_until = None, from_ms(at)
    kept = kept_from(db)
    if begins is not None:
        begins = max(begins, kept[DAY])
    since = max(0 if query.since is None else to_ms(query.since), begins or 0)
    until = END if query.until is None else to_ms(query.until)
    found = pieces_of(kept, query, since, until)
    db.execute("DROP TABLE IF EXISTS temp.fact")
    ids = {"after": 0, "upto": 0} if rest is None else rest.ids
    db.execute(f"CREATE TEMP TABLE fact AS {FACTS}", ids)  # each of them is read once
    asked = _Question(db, found)
    return TallyAnswer(
        total=next(iter(asked.rows("''", "''", 0)), TallyRow()),
        rows=asked.by_value(query.by, query) if query.by else asked.by_time(),
        since=from_ms(max(found[0].low, begins or 0)) if found else query.since,
        until=from_ms(found[-1].high) if found and query.until else query.until,
        begins=None if begins is None else from_ms(begins),
        counted_until=counted_until,
    )


class _Question:
    """Reads from some steps, and from the events that are not counted yet."""

    def __init__(self, db: apsw.Connection, found: Sequence[Piece]) -> None:
        self._db = db
        self._bindings: dict[str, Any] = {
            "pieces": str([[each.span, each.low, each.high] for each in found]),
            "since": found[0].low if found else END,
            "until": found[-1].high if found else 0,
            "span": found[0].span if found else DAY,
        }

    def by_value(self, by: Dimension, query: TallyQuery) -> list[TallyRow]:
        number = 1 + list(Dimension).index(by)
        names = BOUNCES if query.only_bounces else COUNTED
        return self.rows("value COLLATE NOCASE", by.value, number, names=names, limit=query.limit)

    def by_time(self) -> list[TallyRow]:
        return self.rows("at", "at / :span * :span", 0, order="1")

    def rows(
        self,
        key: str,
        live_key: str,
        dimension: int,
        *,
        names: Sequence[str] = COUNTED,
        order: str = _MOST_FIRST,
        limit: int = 0,
    ) -> list[TallyRow]:
        """Return the sums by a key, which has another form for what is not counted yet."""
        name = DIMENSIONS[dimension]
        live = [COUNTED.index(each) for each in names]
        where = ""
        if names is BOUNCES:
            where, order = f" AND {_ANY_BOUNCE} > 0", f"sum({_ANY_BOUNCE}) DESC, 1"
        bindings = self._bindings | {"dimension": dimension, "limit": limit or -1}
        sql = (
            f"{_WITH} SELECT key, {_listed('sum({0})', names)} FROM ("  # noqa: S608 -- constants
            f"SELECT {key} AS key, {_listed('{0}', names)} FROM piece CROSS JOIN tally t"
            " ON t.span = piece.span AND t.dimension = :dimension AND t.at >= low AND t.at < high"
            f"{where} UNION ALL SELECT {live_key}, {_listed('sum(what = {0})', live)} FROM fact"
            f" WHERE {name} IS NOT NULL AND {_IN_TIME} AND what IN ({_listed('{0}', live)}) GROUP BY 1)"
            f" GROUP BY key COLLATE NOCASE ORDER BY {order} LIMIT :limit"
        )
        found = fetch(self._db, sql, bindings)
        delays = {}
        if names is COUNTED:
            delays = self._delays(key, live_key, [row[0] for row in found], bindings)
        return [
            TallyRow(
                value=row[0] if dimension and row[0] != REST else "",
                at=from_ms(row[0]) if isinstance(row[0], int) else None,
                is_rest=row[0] == REST,
                counts=_NONE | dict(zip(names, row[1:], strict=True)),
                delays=delays.get(folded(row[0]), {}),
            )
            for row in found
        ]

    def _delays(
        self, key: str, live_key: str, wanted: list[Any], bindings: dict[str, Any]
    ) -> dict[Any, dict[int, int]]:
        import orjson  # noqa: PLC0415 -- other questions need none of it

        name = DIMENSIONS[bindings["dimension"]]
        values = wanted if bindings["dimension"] else [""]
        sql = (
            f"{_WITH}, wanted AS MATERIALIZED (SELECT value FROM json_each(:values))"  # noqa: S608 -- constants
            " SELECT key, class, sum(recipients) FROM ("
            f"SELECT {key.replace('value', 'd.value')} AS key, class, recipients FROM wanted CROSS JOIN piece"
            " CROSS JOIN tally_delay d ON d.span = piece.span AND d.dimension = :dimension"
            " AND d.value = wanted.value AND d.at >= low AND d.at < high"
            f" UNION ALL SELECT {live_key}, class, count(*) FROM fact WHERE class IS NOT NULL AND {_IN_TIME}"
            f" AND {name} COLLATE NOCASE IN (SELECT value FROM wanted) GROUP BY 1, 2"
            ") GROUP BY key COLLATE NOCASE, class"
        )
        given = bindings | {"values": orjson.dumps(values).decode()}
        delays: dict[Any, dict[int, int]] = {}
        for found, each, recipients in fetch(self._db, sql, given):
            delays.setdefault(folded(found), {})[each] = recipients
        return delays


def _listed(what: str, each: Sequence[object]) -> str:
    return ", ".join(what.format(one) for one in each)
