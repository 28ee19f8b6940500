"""The counters: every worker its row, nothing lost with a worker, one sum for all."""

from collections.abc import Mapping
from datetime import timedelta

import pytest

from relayd.mail.words import BounceClass, Category, EventKind, JsonValue
from relayd.metrics.counters import Counters
from relayd.metrics.families import (
    CELLS,
    CONNECTIONS,
    FAMILIES,
    OUTCOMES,
    PAUSED,
    RECEIVED,
    WORKERS,
    Sample,
    cell_of,
)
from relayd.metrics.shared import SharedCounters

SECOND = timedelta(seconds=1)


def values(shared: SharedCounters) -> dict[tuple[str, ...], float]:
    """All that is not zero: name with its suffix, labels, bound."""
    return {
        (sample.family.name + sample.suffix, *sample.labels, *filter(None, [sample.bound])): (
            sample.value
        )
        for sample in shared.samples()
        if sample.value
    }


def counted(shared: SharedCounters, *names: str) -> dict[tuple[str, ...], float]:
    return {key: value for key, value in values(shared).items() if key[0] in names}


def test_cells_do_not_overlap() -> None:
    """Each number has its own, and together they fill a row."""
    used = [0]
    for family in FAMILIES:
        for labels in family.cells:
            width = len(family.bounds) + 2 if family.kind == "histogram" else 1
            used += range(cell_of(family, *labels), cell_of(family, *labels) + width)
    assert used == list(range(CELLS))


def test_an_empty_board_has_zeros() -> None:
    """A series is there before its first event, so that no rate misses it."""
    samples = list(SharedCounters().samples())
    assert {sample.value for sample in samples} == {0}
    assert {sample.family for sample in samples} == {one for one in FAMILIES if one.cells}


def test_workers_are_added_up() -> None:
    shared = SharedCounters()
    for name, number in (("1", 2), ("2", 3), ("3", 5)):
        Counters(shared.row(name)).received(number)
    assert counted(shared, "relayd_received_total", "relayd_received_messages_total") == {
        ("relayd_received_total",): 10,
        ("relayd_received_messages_total",): 3,
    }
    assert shared.total(RECEIVED) == 10


def test_signed_messages_are_counted_where_there_are_keys() -> None:
    shared = SharedCounters()
    counters = Counters(shared.row("1"))
    for dkim in ("", "none", "d=x.test s=a", "d=x.test s=a"):
        counters.received(1, dkim=dkim)
    assert counted(shared, "relayd_dkim_messages_total") == {
        ("relayd_dkim_messages_total", "yes"): 2,
        ("relayd_dkim_messages_total", "no"): 1,
    }


def test_a_successor_counts_on() -> None:
    """A sum never goes back when a worker ends (HW-02)."""
    shared = SharedCounters()
    for _ in range(2):
        Counters(shared.row("1")).received(4)
    assert shared.total(RECEIVED) == 8


def test_gauges_end_with_their_worker() -> None:
    shared = SharedCounters()
    for name in ("1", "2"):
        counters = Counters(shared.row(name))
        counters.received(1)
        counters.measured(clients=3, servers=2, is_paused=True)
    assert (shared.total(WORKERS), shared.total(PAUSED)) == (2, 2)
    shared.vacate(but={"2"})
    assert (shared.total(WORKERS), shared.total(PAUSED)) == (1, 1)
    assert (shared.total(CONNECTIONS, "in"), shared.total(CONNECTIONS, "out")) == (3, 2)
    assert shared.total(RECEIVED) == 2
    shared.vacate(but=set())
    assert (shared.total(WORKERS), shared.total(CONNECTIONS, "in")) == (0, 0)


def test_a_worker_beyond_all_places_counts_for_nobody() -> None:
    shared = SharedCounters()
    Counters(shared.row("1025")).received(1)
    assert not values(shared)


@pytest.mark.parametrize(
    ("kind", "detail", "series"),
    [
        (EventKind.RELAYED, {"attempt": 1, "route": "smarthost"}, ("relayed", "", "")),
        (EventKind.SENT, {"attempt": 1, "route": "direct"}, ("sent", "", "")),
        (
            EventKind.DEFERRED,
            {"attempt": 1, "route": "direct", "category": "greylist"},
            ("deferred", "", "greylist"),
        ),
        (
            EventKind.BOUNCED,
            {"attempt": 1, "bounce_class": "hard", "category": "bad_domain"},
            ("bounced", "hard", "bad_domain"),
        ),
        (
            EventKind.BOUNCED,  # by an operator: no attempt
            {"bounce_class": "block", "category": "policy", "by": "ann"},
            ("bounced", "block", "policy"),
        ),
    ],
)
def test_an_outcome_is_counted_by_its_words(
    kind: EventKind, detail: Mapping[str, JsonValue], series: tuple[str, ...]
) -> None:
    shared = SharedCounters()
    Counters(shared.row("1")).event(kind, detail, SECOND)
    expected: dict[tuple[str, ...], float] = {
        ("relayd_events_total", kind.value): 1,
        ("relayd_outcomes_total", *series): 1,
    }
    if "attempt" in detail:
        expected["relayd_attempts_total", str(detail.get("route", "none"))] = 1
    names = ("relayd_events_total", "relayd_outcomes_total", "relayd_attempts_total")
    assert counted(shared, *names) == expected


def test_an_attempt_that_another_host_follows_is_no_outcome() -> None:
    shared = SharedCounters()
    detail: dict[str, JsonValue] = {"attempt": 1, "route": "direct"}
    Counters(shared.row("1")).event(EventKind.ATTEMPTED, detail, SECOND)
    assert values(shared) == {
        ("relayd_events_total", "attempted"): 1,
        ("relayd_attempts_total", "direct"): 1,
    }


def test_what_mail_hosts_have_shown_is_counted() -> None:
    shared = SharedCounters()
    detail: dict[str, JsonValue] = {
        "attempt": 1,
        "route": "direct",
        "tls_proof": "encrypted",
        "tls_result": "certificate-expired",
    }
    Counters(shared.row("1")).event(EventKind.ATTEMPTED, detail, SECOND)
    assert values(shared) == {
        ("relayd_events_total", "attempted"): 1,
        ("relayd_attempts_total", "direct"): 1,
        ("relayd_tls_attempts_total", "encrypted"): 1,
        ("relayd_tls_failures_total", "certificate-expired"): 1,
    }


def test_a_late_bounce_is_counted_apart() -> None:
    """The recipient has had its outcome and its delay already."""
    shared = SharedCounters()
    detail = {"bounce_class": "hard", "category": "bad_mailbox"}
    Counters(shared.row("1")).event(EventKind.LATE_BOUNCED, detail, SECOND)
    assert values(shared) == {
        ("relayd_events_total", "late_bounced"): 1,
        ("relayd_late_bounces_total", "hard", "bad_mailbox"): 1,
    }


@pytest.mark.parametrize("kind", EventKind)
@pytest.mark.parametrize(
    "detail", [{}, {"attempt": 1, "route": "x", "bounce_class": None, "category": "new"}]
)
def test_no_event_can_stop_a_worker(kind: EventKind, detail: Mapping[str, JsonValue]) -> None:
    """Words that nobody knows are counted as unknown."""
    shared = SharedCounters()
    Counters(shared.row("1")).event(kind, detail, SECOND)
    assert values(shared)["relayd_events_total", kind.value] == 1


def test_every_pair_of_class_and_category_has_its_series() -> None:
    shared = SharedCounters()
    counters = Counters(shared.row("1"))
    for bounce_class in BounceClass:
        for category in Category:
            detail = {"bounce_class": bounce_class.value, "category": category.value}
            counters.event(EventKind.BOUNCED, detail, SECOND)
    found = counted(shared, OUTCOMES.name)
    assert set(found.values()) == {1}
    assert len(found) == len(BounceClass) * len(Category)


@pytest.mark.parametrize(
    ("code", "code_class"), [(450, "4yz"), (421, "4yz"), (550, "5yz"), (None, "5yz")]
)
def test_refusals_are_counted_by_class(code: int | None, code_class: str) -> None:
    shared = SharedCounters()
    Counters(shared.row("1")).refused(code)
    assert values(shared)["relayd_refused_total", code_class] == 1


@pytest.mark.parametrize(
    ("seconds", "first_bucket"),
    [(-1, "0.1"), (0, "0.1"), (0.1, "0.1"), (0.11, "0.5"), (432000, "432000"), (432001, "+Inf")],
)
def test_a_delay_is_observed_once_in_its_bucket(seconds: float, first_bucket: str) -> None:
    """Buckets add up, as Prometheus wants them; the clock may have been set back."""
    shared = SharedCounters()
    Counters(shared.row("1")).event(EventKind.SENT, {}, timedelta(seconds=seconds))
    mine: list[Sample] = [
        sample
        for sample in shared.samples()
        if sample.family.name == "relayd_delivery_delay_seconds" and sample.labels == ("sent",)
    ]
    buckets = {sample.bound: sample.value for sample in mine if sample.suffix == "_bucket"}
    assert list(buckets.values()) == sorted(buckets.values())
    assert next(bound for bound, value in buckets.items() if value) == first_bucket
    rest = {sample.suffix: sample.value for sample in mine if not sample.bound}
    assert rest == {"_sum": max(seconds, 0), "_count": 1}


def test_delays_of_all_workers_are_one_sum() -> None:
    shared = SharedCounters()
    for name in ("1", "2"):
        Counters(shared.row(name)).commit(0.25)
    assert values(shared)["relayd_store_commit_seconds_sum",] == 0.5
    assert values(shared)["relayd_store_commit_seconds_bucket", "0.25"] == 2
    assert ("relayd_store_commit_seconds_bucket", "0.1") not in values(shared)
