"""Counting in one worker: events and refusals, and what its parts measure.

Called for every event, so it looks up and adds, and nothing else. The store's thread calls `commit`; the
event loop calls everything else.
"""

from bisect import bisect_left
from collections.abc import Mapping
from datetime import timedelta

from relayd.mail.signing import NOT_SIGNED
from relayd.mail.words import EventKind, JsonValue
from relayd.metrics.families import (
    ATTEMPTS,
    COMMIT,
    CONNECTIONS,
    DELAY,
    DISK_FULL,
    EVENTS,
    LATE,
    MESSAGES,
    NO_ROUTE,
    OUTCOMES,
    PAUSED,
    RECEIVED,
    REFUSED,
    SIGNED,
    STORE_FAILING,
    TLS_PROOF,
    TLS_RESULT,
    WEBHOOK_DELIVERIES,
    WORKERS,
    Family,
    cell_of,
)
from relayd.metrics.shared import Row, unshared_row
from relayd.policy.console.webhook import Result

_REFUSED = {4: cell_of(REFUSED, "4yz"), 5: cell_of(REFUSED, "5yz")}
_ROUTE: dict[JsonValue, int] = {labels[0]: cell_of(ATTEMPTS, *labels) for labels in ATTEMPTS.cells}
_OUTCOME: dict[tuple[JsonValue, ...], int] = {
    labels: cell_of(OUTCOMES, *labels) for labels in OUTCOMES.cells
}
_LATE: dict[tuple[JsonValue, ...], int] = {labels: cell_of(LATE, *labels) for labels in LATE.cells}
_RESULT = {each: cell_of(WEBHOOK_DELIVERIES, each.value) for each in Result}
_RECEIVED, _MESSAGES = cell_of(RECEIVED), cell_of(MESSAGES)
_SIGNED, _UNSIGNED = cell_of(SIGNED, "yes"), cell_of(SIGNED, "no")
_DEFERRED = _OUTCOME["deferred", "", "unknown"]  # from here on: for words that nobody should use
_BOUNCED, _BOUNCED_LATE = _OUTCOME["bounced", "block", "unknown"], _LATE["block", "unknown"]
_NONE = -1
# Event to the cells of its line, of the outcome that it always is, and of its delay: an enumeration
# is slow to look up, so this is done once for each line.
_CELLS = {
    kind: (
        cell_of(EVENTS, kind.value),
        _OUTCOME.get((kind.value, "", ""), _NONE),
        cell_of(DELAY, kind.value) if (kind.value,) in DELAY.cells else _NONE,
    )
    for kind in EventKind
}
_EVENT_RECEIVED, _EVENT_REFUSED = (
    _CELLS[kind][0] for kind in (EventKind.RECEIVED, EventKind.REFUSED)
)
_PROOF: dict[JsonValue, int] = {each[0]: cell_of(TLS_PROOF, *each) for each in TLS_PROOF.cells}
_TLS_RESULT: dict[JsonValue, int] = {
    each[0]: cell_of(TLS_RESULT, *each) for each in TLS_RESULT.cells
}
_NO_ROUTE = cell_of(ATTEMPTS, NO_ROUTE)
_COMMIT = cell_of(COMMIT)
_WORKER, _PAUSED = cell_of(WORKERS), cell_of(PAUSED)
_FULL, _FAILING = cell_of(DISK_FULL), cell_of(STORE_FAILING)
_IN, _OUT = cell_of(CONNECTIONS, "in"), cell_of(CONNECTIONS, "out")


class Counters:
    """What one worker counts, in its row of the shared counters; without one, for nobody."""

    def __init__(self, row: Row | None = None) -> None:
        row = row or unshared_row()
        self._numbers, self._seconds = row.numbers, row.seconds

    def received(self, recipients: int, *, dkim: str = "") -> None:
        """Count a message that is durable; `dkim` is whose signatures it has, empty without keys."""
        if dkim:
            self._numbers[_UNSIGNED if dkim == NOT_SIGNED else _SIGNED] += 1
        self._numbers[_MESSAGES] += 1
        self._numbers[_RECEIVED] += recipients
        self._numbers[_EVENT_RECEIVED] += recipients

    def refused(self, code: object) -> None:
        """Count a refusal, by its reply code."""
        self._numbers[_EVENT_REFUSED] += 1
        self._numbers[_REFUSED[4 if isinstance(code, int) and code < 500 else 5]] += 1

    def event(self, kind: EventKind, detail: Mapping[str, JsonValue], waited: timedelta) -> None:
        """Count an event of a recipient, `waited` after its reception."""
        numbers = self._numbers
        line, outcome, delay = _CELLS[kind]
        numbers[line] += 1
        if "attempt" in detail:
            numbers[_ROUTE.get(detail.get("route"), _NO_ROUTE)] += 1
            if (proof := _PROOF.get(detail.get("tls_proof"))) is not None:
                numbers[proof] += 1
            if (result := _TLS_RESULT.get(detail.get("tls_result"))) is not None:
                numbers[result] += 1
        if outcome != _NONE:
            numbers[outcome] += 1
        else:
            self._classify(kind, detail)
        if delay != _NONE:
            self._observe(DELAY, delay, waited.total_seconds())

    def _classify(self, kind: EventKind, detail: Mapping[str, JsonValue]) -> None:
        how, why = detail.get("bounce_class"), detail.get("category")
        match kind:
            case EventKind.DEFERRED:
                self._numbers[_OUTCOME.get(("deferred", "", why), _DEFERRED)] += 1
            case EventKind.BOUNCED:
                self._numbers[_OUTCOME.get(("bounced", how, why), _BOUNCED)] += 1
            case EventKind.LATE_BOUNCED:
                self._numbers[_LATE.get((how, why), _BOUNCED_LATE)] += 1
            case _:
                pass

    def told(self, result: Result) -> None:
        """Count a try to tell an application."""
        self._numbers[_RESULT[result]] += 1

    def commit(self, seconds: float) -> None:
        """Count a commit of the store, which took so many seconds."""
        self._observe(COMMIT, _COMMIT, seconds)

    def measured(
        self,
        *,
        clients: int,
        servers: int,
        is_paused: bool,
        is_full: bool = False,
        is_failing: bool = False,
    ) -> None:
        """Set the gauges; a worker that does is ready.

        `is_full` is the disk of the queue, `is_failing` the store.
        """
        self._numbers[_WORKER] = 1
        self._numbers[_IN] = clients
        self._numbers[_OUT] = servers
        self._numbers[_PAUSED] = is_paused
        self._numbers[_FULL] = is_full
        self._numbers[_FAILING] = is_failing

    def _observe(self, family: Family, cell: int, seconds: float) -> None:
        self._numbers[cell + bisect_left(family.bounds, seconds)] += 1
        self._seconds[cell + len(family.bounds) + 1] += max(seconds, 0.0)
