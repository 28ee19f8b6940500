"""Counted outcomes of the store in memory: every event that counts, with all that it is counted by."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TypeVar

from relayd.mail.event import Event
from relayd.mail.tally import BOUNCES, COUNTED, DAY, END, Dimension, delay_class, pieces
from relayd.mail.words import EventKind
from relayd.ports.tally import TallyAnswer, TallyQuery, TallyRow
from relayd.store.memory.tables import Message, Tables

K = TypeVar("K")
_EPOCH, _MS = datetime(1970, 1, 1, tzinfo=UTC), timedelta(milliseconds=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Fact:
    """An event as it is counted."""

    at: int  # milliseconds
    what: str  # one of `COUNTED`
    values: Mapping[Dimension, str]
    delay: int | None  # from reception to acceptance, its class


def _fact_of(message: Message, event: Event) -> _Fact | None:
    """Return what an event counts as; None if it does not."""
    what = event.kind.value
    if event.kind is EventKind.BOUNCED:
        what = str(event.detail.get("bounce_class", "block"))
    if what not in COUNTED:
        return None
    new, recipient = message.new, message.recipients[event.recipient]
    is_accepted = event.kind in (EventKind.SENT, EventKind.RELAYED)
    category = event.detail.get("category")
    values = {
        Dimension.SENDER: str(new.reverse_path or ""),
        Dimension.TAG: new.facts.tag or "",
        Dimension.USER: new.client.auth_user or "",
        Dimension.DOMAIN: recipient.new.address.domain.lower(),
        Dimension.DESTINATION: recipient.destination,
        Dimension.CLIENT: new.client.ip,
    }
    if category is not None:
        values[Dimension.CATEGORY] = str(category)
    return _Fact(
        at=_ms(event.at),
        what=what,
        values=values,
        delay=delay_class((event.at - new.received_at) // _MS) if is_accepted else None,
    )


def answer(tables: Tables, query: TallyQuery) -> TallyAnswer:
    """Answer as `QueueView.tally` says."""
    facts = [fact for each in tables.noted if (fact := _fact_of(*each)) is not None]
    kept_from = 0 if tables.kept_from is None else _ms(tables.kept_from)
    begins = max(facts[0].at, kept_from) if facts else None
    since = max(0 if query.since is None else _ms(query.since), begins or 0)
    until = END if query.until is None else _ms(query.until)
    if query.step is not None:
        span = query.step // _MS
        low, high = since - since % span, until + -until % span
    else:
        found = pieces(since, until, {}) if since < until else []
        low, high = (found[0].low, found[-1].high) if found else (0, 0)
    meant = [fact for fact in facts if low <= fact.at < high] if since < until else []
    return TallyAnswer(
        total=_row(meant, value=""),
        rows=_rows(meant, query),
        since=query.since if since >= until else _instant(max(low, begins or 0)),
        until=query.until and (query.until if since >= until else _instant(high)),
        begins=None if begins is None else _instant(begins),
    )


def forget(tables: Tables, older_than: datetime) -> None:
    """The history before that instant is purged: the days before go."""
    day = older_than - (older_than - _EPOCH) % (DAY * _MS)
    tables.kept_from = day if tables.kept_from is None else max(day, tables.kept_from)


def _rows(facts: Sequence[_Fact], query: TallyQuery) -> list[TallyRow]:
    if query.by is not None:
        by = query.by
        if query.only_bounces:
            facts = [one for one in facts if one.what in BOUNCES]
        groups = _grouped(
            [one for one in facts if by in one.values], lambda one: one.values[by].lower()
        )
        rows = [_row(group, value=group[0].values[by]) for group in groups.values()]
        order = _most_bounces_first if query.only_bounces else _most_first
        return sorted(rows, key=order)[: query.limit or None]
    span = DAY if query.step is None else query.step // _MS
    steps = _grouped(facts, lambda one: one.at - one.at % span)
    return [_row(steps[at], at=_instant(at)) for at in sorted(steps)]


def _grouped(facts: Sequence[_Fact], key: Callable[[_Fact], K]) -> dict[K, list[_Fact]]:
    groups: dict[K, list[_Fact]] = {}
    for fact in facts:
        groups.setdefault(key(fact), []).append(fact)
    return groups


def _row(facts: Sequence[_Fact], *, value: str = "", at: datetime | None = None) -> TallyRow:
    counts = Counter(fact.what for fact in facts)
    delays = Counter(fact.delay for fact in facts if fact.delay is not None)
    return TallyRow(
        value=value, at=at, counts={name: counts[name] for name in COUNTED}, delays=delays
    )


def _most_first(row: TallyRow) -> tuple[int | str, ...]:
    counts: Mapping[str, int] = row.counts
    bounced = sum(counts[name] for name in ("hard", "block", "soft", "late_bounced"))
    accepted = counts["sent"] + counts["relayed"]
    return -counts["received"], -bounced, -counts["deferred"], -accepted, row.value.lower()


def _most_bounces_first(row: TallyRow) -> tuple[int | str, ...]:
    return -sum(row.counts[name] for name in BOUNCES), row.value.lower()


def _ms(at: datetime) -> int:
    return (at - _EPOCH) // _MS


def _instant(at: int) -> datetime:
    return _EPOCH + at * _MS
