"""The tally once more, from what the history shows: by other means than the stores have."""

from collections import Counter
from collections.abc import Mapping
from datetime import datetime, timedelta

from relayd.mail.tally import COUNTED, Dimension, delay_class
from relayd.ports.tally import TallyAnswer, TallyRow
from relayd.ports.view import HistoryEntry, Query, QueueView, RecipientRow

Told = Mapping[str, tuple[Mapping[str, int], Mapping[int, int]]]


def told(answer: TallyAnswer) -> Told:
    """Return the rows of an answer by their values in lower case, without what is 0."""
    return {row.value.lower(): _numbers(row) for row in answer.rows}


def told_in_all(answer: TallyAnswer) -> Told:
    return {"": _numbers(answer.total)} if any(answer.total.counts.values()) else {}


def _numbers(row: TallyRow) -> tuple[Mapping[str, int], Mapping[int, int]]:
    return {name: number for name, number in row.counts.items() if number}, dict(row.delays)


def recounted(
    view: QueueView,
    by: Dimension | None,
    since: datetime | None = None,
    until: datetime | None = None,
) -> Told:
    """Count what the history of all recipients shows."""
    counts: dict[str, Counter[str]] = {}
    delays: dict[str, Counter[int]] = {}
    for row in view.find(Query(), limit=100_000):
        for entry in view.history(row.message_id):
            is_meant = (since is None or entry.at >= since) and (until is None or entry.at < until)
            value = _value(row, entry, by)
            if entry.recipient != row.recipient or not is_meant or value is None:
                continue
            what = entry.kind
            if what == "bounced":
                what = str(entry.detail["bounce_class"])
            if what not in COUNTED:
                continue
            counts.setdefault(value, Counter())[what] += 1
            each = delays.setdefault(value, Counter())
            if what in ("sent", "relayed"):
                each[delay_class((entry.at - row.received_at) // timedelta(milliseconds=1))] += 1
    return {value: (dict(counts[value]), dict(delays[value])) for value in counts}


def _value(row: RecipientRow, entry: HistoryEntry, by: Dimension | None) -> str | None:
    if by is Dimension.CATEGORY:
        found = entry.detail.get("category")
        return None if found is None else str(found)
    values = {
        None: "",
        Dimension.SENDER: row.reverse_path,
        Dimension.TAG: row.tag or "",
        Dimension.USER: row.auth_user or "",
        Dimension.DOMAIN: row.address.rpartition("@")[2],
        Dimension.DESTINATION: row.destination,
        Dimension.CLIENT: row.client_ip,
    }
    return values[by].lower()
