"""How long recipients took: of each the delays of its last attempt, and percentiles of all."""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from relayd.mail.ids import MessageId
from relayd.mail.words import EventKind
from relayd.ports.view import HistoryEntry, QueueView, RecipientRow

DELAYS = ("delay", "delay_queue", "delay_connect", "delay_transaction")
"""From the reception to the acceptance; and of the last attempt, as the status log has them. Seconds."""

PERCENTILES = {"p50": 0.5, "p95": 0.95, "p99": 0.99}
_ACCEPTED = (EventKind.SENT.value, EventKind.RELAYED.value)


@dataclass(frozen=True, slots=True)
class Delayed:
    """A recipient and its delays; what is not known, such as those of one that was never tried, is left out."""

    row: RecipientRow
    delays: Mapping[str, float]


def delays_of(view: QueueView, rows: Iterable[RecipientRow]) -> Iterator[Delayed]:
    """Yield the delays of recipients. The history of a message is read once for those side by side."""
    known: tuple[MessageId, Sequence[HistoryEntry]] | None = None
    for row in rows:
        if known is None or known[0] != row.message_id:
            known = row.message_id, view.history(row.message_id)
        own = [entry for entry in known[1] if entry.recipient == row.recipient]
        yield Delayed(row, _delays(row, own))


def _delays(row: RecipientRow, own: Sequence[HistoryEntry]) -> dict[str, float]:
    last = next((one for one in reversed(own) if "delay_queue" in one.detail), None)
    found: dict[str, float] = {}
    if last is None:
        return found
    if last.kind in _ACCEPTED:
        found["delay"] = round((last.at - row.received_at).total_seconds(), 3)
    for name in DELAYS[1:]:
        if isinstance(number := last.detail.get(name), int | float):
            found[name] = float(number)
    return found


def percentiles(all_of: Sequence[Delayed]) -> dict[str, dict[str, float]]:
    """Return for each percentile its delays: so many of those that are known were no longer. Exact."""
    known = {
        name: sorted(one.delays[name] for one in all_of if name in one.delays) for name in DELAYS
    }
    return {
        title: {
            name: numbers[math.ceil(len(numbers) * part) - 1]
            for name, numbers in known.items()
            if numbers
        }
        for title, part in PERCENTILES.items()
    }
