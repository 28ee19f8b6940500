"""Counted outcomes as fields: sums, shares and percentiles of delays."""

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta

from relayd.mail.tally import BOUNCES, COUNTED, DAY, HOUR, TEN_MINUTES, Dimension, percentile
from relayd.ports.tally import TallyAnswer, TallyRow

NAMES = {
    Dimension.SENDER: "from",
    Dimension.TAG: "tag",
    Dimension.USER: "auth_user",
    Dimension.DOMAIN: "domain",
    Dimension.DESTINATION: "destination",
    Dimension.CATEGORY: "category",
    Dimension.CLIENT: "client_ip",
}
"""What the status log calls a value."""

PERCENTILES = {"p50": 0.5, "p95": 0.95, "p99": 0.99}
_STEPS = ((timedelta(hours=6), TEN_MINUTES), (timedelta(days=4), HOUR))
_UNITS = ((86400, "d"), (3600, "h"), (60, "min"), (1, "s"))


def step_for(length: timedelta | None) -> timedelta:
    """Return the steps in which so long a time is shown: some dozens. None: all there is, in days."""
    found = DAY
    if length is not None:
        found = next((step for most, step in _STEPS if length <= most), DAY)
    return timedelta(milliseconds=found)


def bounced(row: TallyRow) -> int:
    """Return how many bounced, of each class."""
    return sum(row.counts[name] for name in BOUNCES)


def share(row: TallyRow, total: TallyRow, by: Dimension | None) -> float | None:
    """Return the part of all that is a row's: of what was received, and of what bounced by category."""
    if by is Dimension.CATEGORY:
        return _part(bounced(row), bounced(total))
    return _part(row.counts["received"], total.counts["received"])


def bounced_share(row: TallyRow) -> float | None:
    """Return the part that bounced, of what was accepted by another server or bounced."""
    return _part(bounced(row), bounced(row) + row.counts["sent"] + row.counts["relayed"])


def fields(answer: TallyAnswer, by: Dimension | None) -> Iterator[dict[str, object]]:
    """Yield each row and then the total as JSON fields, with the status log's names. Delays are seconds."""
    for row in answer.rows:
        named: dict[str, object] = {"by": "time", "ts": row.at}
        if by is not None:
            named = {"by": by.value, NAMES[by]: None if row.is_rest else row.value}
            if row.is_rest:
                named["rest"] = True
        yield {**named, **_numbers(row, answer, by)}
    yield {"by": "total", **_numbers(answer.total, answer, by)}


def _numbers(row: TallyRow, answer: TallyAnswer, by: Dimension | None) -> dict[str, object]:
    counts = {name: row.counts[name] for name in COUNTED}
    shares = {"share": share(row, answer.total, by), "bounced_share": bounced_share(row)}
    delays = {name: percentile(row.delays, part) for name, part in PERCENTILES.items()}
    return {
        "since": answer.since,
        "until": answer.until,
        "counted_until": answer.counted_until,
        **counts,
        "bounced": bounced(row),
        **{name: None if part is None else round(part, 4) for name, part in shares.items()},
        **{name: None if delay is None else _three_digits(delay) for name, delay in delays.items()},
    }


def delay_text(seconds: float | None) -> str:
    """Return a delay for people, such as `0.84 s`, `12.3 s` or `1.5 h`; empty if unknown."""
    if seconds is None:
        return ""
    told = _three_digits(seconds)
    size, unit = next((each for each in _UNITS if told >= each[0]), _UNITS[-1])
    return f"{_three_digits(told / size):.3g} {unit}"


def notices(
    answer: TallyAnswer, asked: datetime | None, shown: Callable[[datetime], str]
) -> Iterator[str]:
    """Say which time the numbers are of, and what is missing in them.

    `asked`: since when they were asked for; `shown` writes an instant for people.
    """
    if answer.begins is None:
        return
    if answer.since is not None:
        until = "now" if answer.until is None else shown(answer.until)
        yield f"Events from {shown(answer.since)} to {until}."
    if asked is not None and asked < answer.begins:
        yield f"There are no numbers from before {shown(answer.begins)}."
    if answer.counted_until is not None:
        yield (
            f"Numbers end at {shown(answer.counted_until)}: the history after that is not counted"
            " yet. The daemon does it by and by."
        )
    if any(row.is_rest for row in answer.rows):
        yield "(rest): values that had little mail in their hour or day are counted together."


def _part(some: int, of: int) -> float | None:
    return some / of if of else None


def _three_digits(number: float) -> float:
    return float(f"{number:.3g}")
