"""The tally as every engine keeps it: what an event counts as, adding events up, and which steps a question reads."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from relayd.mail.tally import COUNTED, DAY, MOST_VALUES, TEN_MINUTES, Dimension, Piece, pieces
from relayd.ports.tally import TallyQuery

DIMENSIONS = ("everything", *Dimension)
"""By their numbers."""
REST = "\n"
"""As a value: what was rare."""
FOLDED = 500
"""So many values are put together in one transaction."""
KINDS = ", ".join(f"'{name}'" for name in (*COUNTED[:4], "bounced", *COUNTED[7:]))
"""Of events that count, for SQL."""
SUMS = ", ".join(f"sum({name})" for name in COUNTED)
GROWN = ", ".join(f"{name} = t.{name} + excluded.{name}" for name in COUNTED)
"""What an insertion into `tally AS t` does where the row is there."""
GROWN_DELAYS = "recipients = t.recipients + excluded.recipients"
STEP = f"e.at / {TEN_MINUTES} * {TEN_MINUTES}"
"""Of an event `e`: when its finest step begins."""

_MS = timedelta(milliseconds=1)
_TROUBLE = "hard + block + soft + late_bounced + complained + dropped"


def counts_as(detail: str) -> str:
    """Return SQL for what an event `e` counts as, its place in `COUNTED`. `detail`: that of `e`, as JSON."""
    others = "".join(
        f" WHEN '{name}' THEN {COUNTED.index(name)}" for name in COUNTED[:4] + COUNTED[7:]
    )
    return (
        f"CASE e.kind WHEN 'bounced' THEN CASE {detail}->>'bounce_class' WHEN 'hard' THEN 4 WHEN 'soft' THEN 6 ELSE 5 END"
        f"{others} END"
    )


def values_of(*, detail: str, domain: str) -> Mapping[Dimension, str]:
    """Return SQL for what an event `e` of a recipient `r` of a message `m` is counted by."""
    return {
        Dimension.SENDER: "m.reverse_path",
        Dimension.TAG: "coalesce(m.tag, '')",
        Dimension.USER: "coalesce(m.auth_user, '')",
        Dimension.DOMAIN: domain,
        Dimension.DESTINATION: "r.destination",
        Dimension.CATEGORY: "CASE WHEN e.kind NOT IN ('received', 'sent', 'relayed', 'complained', 'dropped')"
        f" THEN {detail}->>'category' END",
        Dimension.CLIENT: "m.client_ip",
    }


def rare(where: str) -> str:
    """Return SQL for the values of a step that are put together: neither much mail nor much trouble is of them."""
    return (
        "SELECT value FROM (SELECT value, row_number() OVER (ORDER BY received + sent + relayed + deferred DESC) AS size,"  # noqa: S608
        f" row_number() OVER (ORDER BY {_TROUBLE} DESC) AS trouble, {_TROUBLE} AS troubles"
        f" FROM tally WHERE {where}) ranked"
        f" WHERE size > {MOST_VALUES} AND (troubles = 0 OR trouble > {MOST_VALUES}) LIMIT {FOLDED}"
    )


@dataclass(frozen=True, slots=True)
class Tidying:
    """One step, and what is to be done with it."""

    span: int
    at: int
    keep_from: int | None = None  # all of it is too old: steps before this go
    dimension: int = 0
    rare: tuple[str, ...] = ()  # values to be put together; none: it is in order


@dataclass(frozen=True, slots=True)
class Sums:
    """What some events came to, in the finest steps."""

    counts: dict[tuple[int, int, str], list[int]]  # of a dimension, a step and a value
    delays: dict[tuple[int, str, int, int], int]  # of a dimension, a value, a step and a class

    def rows(self, span: int, low: int) -> Iterator[tuple[Any, ...]]:
        """Yield rows of the tally for steps of that span, of what is not before `low`."""
        for (number, at, value), row in sorted(self.counts.items()):
            if at >= low:
                yield span, number, at - at % span, value, *row

    def delay_rows(self, span: int, low: int) -> Iterator[tuple[Any, ...]]:
        """Yield rows of delays for steps of that span, of what is not before `low`."""
        for (number, value, at, each), recipients in sorted(self.delays.items()):
            if at >= low:
                yield span, number, value, at - at % span, each, recipients


def sums_of(rows: Sequence[tuple[Any, ...]]) -> Sums:
    """Add up events: each its step, what it counts as, the class of its delay or None, and values by `DIMENSIONS`."""
    sums = Sums({}, {})
    for (number, value, at, what, delay), events in _alike(rows).items():
        key = number, at, value
        if key not in sums.counts:
            sums.counts[key] = [0] * len(COUNTED)
        sums.counts[key][what] += events
        if delay is not None:
            each = number, value, at, delay
            sums.delays[each] = sums.delays.get(each, 0) + events
    return sums


def _alike(rows: Sequence[tuple[Any, ...]]) -> dict[tuple[Any, ...], int]:
    """Return how many events have the same dimension and value, step, meaning and class of delay."""
    if not rows:
        return {}
    at, what, delay, *columns = zip(*rows, strict=True)
    return {
        (number, *key): events
        for number, column in enumerate(columns)
        for key, events in Counter(zip(column, at, what, delay, strict=True)).items()
        if key[0] is not None
    }


def pieces_of(kept: Mapping[int, int], query: TallyQuery, since: int, until: int) -> list[Piece]:
    """Return the steps that a question reads; `kept` says from when on those of each span are complete."""
    if since >= until:
        return []
    if query.step is None:
        return pieces(since, until, kept)
    step = query.step // _MS
    span = step if kept[step] <= since - since % step else DAY
    return [Piece(span, since - since % span, until + -until % span)]


def folded(key: Any) -> Any:
    """Return what two spellings of a value have in common, as the engines compare them."""
    return key.encode().lower().decode() if isinstance(key, str) else key
