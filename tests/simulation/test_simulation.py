"""The short form of `python -m tests.simulation`: some schedules, that a seed repeats a run, and that planted faults are found."""

import pytest

from tests.simulation.logs import quiet
from tests.simulation.planted import PLANTED, planted
from tests.simulation.runs import run, runs, shrunk
from tests.simulation.schedule import schedule_of

pytestmark = pytest.mark.timeout(300)  # on a machine with other work

PARTS, EACH = 8, 250
MOST_FOR_A_FAULT = 600


@pytest.mark.parametrize("part", range(PARTS))
def test_every_promise_is_kept_in_any_order_of_events(part: int) -> None:
    with quiet():
        failed = [each for each in runs(range(part * EACH, (part + 1) * EACH)) if each.failure]
    assert not failed, "python -m tests.simulation --schedules 1 --seed N shows what happened"


def test_the_clock_is_not_set_under_a_request_of_a_worker_that_was_killed() -> None:
    """Its mail would wait for as much longer; two of 100,000 runs said so."""
    with quiet():
        failed = [each for each in runs([55_607, 96_198]) if each.failure]
    assert not failed


def test_a_seed_repeats_a_run() -> None:
    with quiet():
        for seed in range(40):
            first, again = run(schedule_of(seed)), run(schedule_of(seed))
            assert first.digest() == again.digest()
            assert first.trace
        assert run(schedule_of(1)).digest() != run(schedule_of(2)).digest()


@pytest.mark.parametrize("fault", PLANTED)
def test_a_fault_that_was_put_in_is_found(fault: str) -> None:
    with quiet(), planted(fault):
        assert any(each.failure for each in runs(range(MOST_FOR_A_FAULT)))


def test_a_schedule_that_fails_is_shown_with_its_fewest_steps() -> None:
    with quiet(), planted("a reply before the commit"):
        failed = next(each for each in runs(range(MOST_FOR_A_FAULT)) if each.failure)
        schedule = schedule_of(failed.seed)
        fewest = shrunk(schedule)
        assert run(fewest).failure
        assert len(fewest.steps) <= len(schedule.steps)
        for left_out in fewest.steps:
            rest = [each for each in fewest.steps if each is not left_out]
            assert not run(fewest.of(rest)).failure
