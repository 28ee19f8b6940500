"""Outcomes over time as bars: where each part of each bar is, for a picture without a script."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from relayd.answers.tally import bounced
from relayd.ports.tally import TallyAnswer

WIDTH, HEIGHT = 1000, 160
SERIES = ("relayed", "sent", "deferred", "bounced")
_LABELS = 6
_LABELLED = 0.92  # no label begins further to the right: it would be cut off
_ROUND = (1, 2, 3, 4, 5, 6, 8, 10)


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One rectangle."""

    series: str
    x: float
    y: float
    width: float
    height: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """The numbers of one bar."""

    at: datetime
    counts: dict[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Chart:
    """Bars, and the same numbers for a table."""

    steps: Sequence[Step]
    parts: Sequence[Part]
    labels: Sequence[tuple[float, datetime]]  # place, instant
    top: int  # of the scale


def chart_of(answer: TallyAnswer, step: timedelta, *, since: datetime, until: datetime) -> Chart:
    """Return the bars of each step between two instants, also of those without any mail."""
    found = {row.at: {**row.counts, "bounced": bounced(row)} for row in answer.rows if row.at}
    seconds = step.total_seconds()
    first = since.timestamp() // seconds * seconds
    count = int((until.timestamp() - first) // seconds) + 1
    steps = []
    for number in range(count):
        at = datetime.fromtimestamp(first + number * seconds, since.tzinfo)
        counts = found.get(at, {})
        steps.append(Step(at=at, counts={name: counts.get(name, 0) for name in SERIES}))
    top = _round(max((sum(each.counts.values()) for each in steps), default=0))
    every = max(count // _LABELS, 1)
    width = WIDTH / count
    return Chart(
        steps=steps,
        parts=[
            part for number, each in enumerate(steps) for part in _bar(each, number, width, top)
        ],
        labels=[
            (round(number * width, 1), steps[number].at)
            for number in range(0, count, every)
            if number < _LABELLED * count
        ],
        top=top,
    )


def _round(top: int) -> int:
    """Return the end of a scale that is easy to read, so that the highest bar fits."""
    power = 10 ** (len(str(top)) - 1)
    return next(each * power for each in _ROUND if each * power >= top) if top else 0


def _bar(step: Step, number: int, width: float, top: int) -> Sequence[Part]:
    parts, base = [], float(HEIGHT)
    for name, count in step.counts.items():
        if count:
            height = max(count / top * HEIGHT, 1.0)
            base -= height
            parts.append(
                Part(
                    series=name,
                    x=round(number * width, 2),
                    y=round(base, 2),
                    width=round(width * 0.86, 2),
                    height=round(height, 2),
                )
            )
    return parts
