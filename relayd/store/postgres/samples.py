"""Samples on PostgreSQL: values of `meta` that one machine writes and all read. Instants are the server's.

`sample` has the counts of the queue, `sample_due` when the next one is to be taken, and `work NAME` what a machine does.
"""

from collections.abc import Collection, Mapping, Sequence
from datetime import timedelta
from typing import Any

import orjson

from relayd.ports.samples import EVERY, AtWork, Sampled, Work
from relayd.ports.view import Counts, Metric, Status
from relayd.store.postgres import nodes, pause_rows
from relayd.store.postgres.line import Line, Session
from relayd.store.postgres.moment import SERVER_CLOCK
from relayd.store.postgres.questions import Questions
from relayd.store.values import from_ms, to_ms

_NAMED = 100  # destinations in a sample: screens show ten
_OVERDUE = 60_000  # milliseconds for which a sample holds beyond that: some turns may be missed
_FAR = 3_600_000  # milliseconds: no turn is so far off, the server's clock was set back

_WAITS = f"convert_from({{}}value, 'UTF8')::bigint BETWEEN {SERVER_CLOCK} + 1 AND {SERVER_CLOCK} + {_FAR}"
# Whose turn it is not, as mostly, locks nothing.
_TAKE = (
    f"INSERT INTO meta AS m SELECT 'sample_due', convert_to(({SERVER_CLOCK} + $1::bigint)::text, 'UTF8')"  # noqa: S608 -- constants
    f" WHERE NOT EXISTS (SELECT 1 FROM meta WHERE key = 'sample_due' AND {_WAITS.format('')})"
    f" ON CONFLICT (key) DO UPDATE SET value = excluded.value WHERE NOT ({_WAITS.format('m.')}) RETURNING 1"
)
# A role that only asks has no right to `meta`, which has a secret: it counts for itself, and knows no rates.
_MAY_READ = "SELECT has_table_privilege('meta', 'SELECT')"
# Of what is noted, the instants are put in front here, as the server has them: $1 is the rest of the object.
_NOTE = (
    f"WITH moment AS (SELECT {SERVER_CLOCK} AS at) INSERT INTO meta (key, value)"  # noqa: S608 -- constants
    f" SELECT 'sample', convert_to(format('{{\"at\":%s,\"holds_until\":%s,', at, at + $2::bigint + {_OVERDUE}) || $1, 'UTF8') FROM moment"
    " UNION ALL SELECT 'sample_due', convert_to((at + $2::bigint)::text, 'UTF8') FROM moment"
    " ON CONFLICT (key) DO UPDATE SET value = excluded.value"
)
# What was noted last becomes what was before, once it is old enough to tell rates by.
_NOW = "convert_from({}.value, 'UTF8')::json -> 'now'"
_NOTE_WORK = (
    "INSERT INTO meta AS m (key, value)"
    f' SELECT $1, convert_to(format(\'{{"now":{{"at":%s,"numbers":%s}},"before":null}}\', {SERVER_CLOCK}, $2::text), \'UTF8\')'
    ' ON CONFLICT (key) DO UPDATE SET value = convert_to(format(\'{"now":%s,"before":%s}\','
    f" {_NOW.format('excluded')}, {_NOW.format('m')}), 'UTF8')"
    f" WHERE ({_NOW.format('excluded')} ->> 'at')::bigint - ({_NOW.format('m')} ->> 'at')::bigint"
    f" NOT BETWEEN 0 AND {EVERY // timedelta(milliseconds=1) - 1}"
)
_LEASED = (
    "SELECT w.node, count(DISTINCT s.destination) FROM slot s JOIN worker w ON w.number = s.worker"  # noqa: S608 -- constants
    f" WHERE s.lease_ends_at > {SERVER_CLOCK} GROUP BY w.node"
)
_HOLDERS = (
    "SELECT s.destination, array_agg(DISTINCT w.node ORDER BY w.node) FROM slot s JOIN worker w ON w.number = s.worker"  # noqa: S608 -- constants
    f" WHERE s.destination = ANY($1::text[]) AND s.lease_ends_at > {SERVER_CLOCK} GROUP BY s.destination"
)
_WORK = "SELECT substr(key, 6), value FROM meta WHERE key >= 'work ' AND key < 'work!'"


class PostgresSamples:
    """`relayd.ports.samples.Samples` on PostgreSQL; `node` is this machine."""

    def __init__(self, line: Line) -> None:
        self._line = line
        self._node = ""

    def join(self, node: str) -> None:
        """Say which machine this is."""
        self._node = node

    async def take_turn(self, lease_for: timedelta) -> bool:
        taken = await self._line.submit(lambda db: db.value(_TAKE, _in_ms(lease_for)), is_one=True)
        return taken is not None

    async def note_queue(
        self, counts: Counts, metrics: Sequence[Metric], *, next_in: timedelta
    ) -> None:
        told = {
            "node": self._node,
            "counts": _counts_written(counts),
            "metrics": [(each.name, each.labels, each.value) for each in metrics],
        }

        rest = orjson.dumps(told).decode().removeprefix("{")
        written = _NOTE, rest, _in_ms(next_in)
        await self._line.submit(lambda db: db.execute(*written), is_one=True)

    async def note_work(self, numbers: Mapping[str, float]) -> None:
        noted = f"work {self._node}", orjson.dumps(numbers).decode()
        await self._line.submit(lambda db: db.execute(_NOTE_WORK, *noted), is_one=True)


class PostgresSamplesView:
    """`relayd.ports.samples.SamplesView` on PostgreSQL."""

    def __init__(self, questions: Questions) -> None:
        self._questions = questions

    def latest(self) -> Sampled | None:
        return self._questions.ask(_latest)

    def at_work(self) -> Sequence[AtWork]:
        return self._questions.ask(_at_work)

    def holders(self, destinations: Collection[str]) -> Mapping[str, Sequence[str]]:
        wanted = list(destinations)
        return dict(self._questions.ask(lambda db: db.fetch(_HOLDERS, wanted)))


async def _latest(db: Session) -> Sampled | None:
    if not await db.value(_MAY_READ):
        return None
    found = await db.fetch(f"SELECT value, {SERVER_CLOCK} FROM meta WHERE key = 'sample'")  # noqa: S608 -- constants
    if not found:
        return None
    told = orjson.loads(found[0][0])
    if not told["at"] <= found[0][1] < told["holds_until"]:
        return None
    counts = told["counts"]
    return Sampled(
        at=from_ms(told["at"]),
        node=told["node"],
        counts=Counts(
            by_status={Status(name): number for name, number in counts["by_status"].items()},
            paused=counts["paused"],
            pause_rules=await pause_rows.read(db),
            by_destination=counts["by_destination"],
            oldest={name: from_ms(at) for name, at in counts["oldest"].items()},
            paused_until={name: from_ms(at) for name, at in counts["paused_until"].items()},
            paused_for=counts["paused_for"],
        ),
        metrics=[
            Metric(name, tuple([(label, text) for label, text in labels]), value)
            for name, labels, value in told["metrics"]
        ],
    )


async def _at_work(db: Session) -> Sequence[AtWork]:
    leased: dict[str, int] = dict(await db.fetch(_LEASED))
    work = await db.fetch(_WORK) if await db.value(_MAY_READ) else ()
    noted = {name: orjson.loads(value) for name, value in work}
    return [
        AtWork(
            node=each,
            destinations=leased.get(each.name, 0),
            now=_work(noted.get(each.name, {}).get("now")),
            before=_work(noted.get(each.name, {}).get("before")),
        )
        for each in await nodes.all_of(db)
    ]


def _work(told: Mapping[str, Any] | None) -> Work | None:
    return None if told is None else Work(from_ms(told["at"]), told["numbers"])


def _counts_written(counts: Counts) -> Mapping[str, object]:
    named = {name for name, _ in counts.most_queued(_NAMED)}
    if counts.oldest:
        named.add(min(counts.oldest, key=lambda name: counts.oldest[name]))

    def few(values: Mapping[str, Any]) -> dict[str, Any]:
        return {name: value for name, value in values.items() if name in named}

    return {
        "by_status": {status.value: number for status, number in counts.by_status.items()},
        "paused": counts.paused,
        "by_destination": few(counts.by_destination),
        "oldest": {name: to_ms(at) for name, at in few(counts.oldest).items()},
        "paused_until": {name: to_ms(at) for name, at in few(counts.paused_until).items()},
        "paused_for": few(counts.paused_for),
    }


def _in_ms(duration: timedelta) -> int:
    return duration // timedelta(milliseconds=1)
