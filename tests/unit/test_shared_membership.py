"""Who shares the limits where machines share a store: never more than the limit together."""

from structlog.testing import capture_logs

from relayd.policy.delivery.shares import NOTHING, Part
from relayd.ports.membership import Others
from relayd.worker.membership import SharedMembership


def test_the_part_follows_who_is_alive() -> None:
    told: list[Part] = []
    shared = SharedMembership(4, 1)
    shared.watch(told.append)
    shared.tell(Others(0, 0, know_us=True))
    shared.tell(Others(8, 3, know_us=True))
    shared.tell(Others(8, 3, know_us=True))
    shared.tell(Others(4, 0, know_us=True))
    assert told == [NOTHING, Part(1, 4), Part(4, 12), Part(1, 8)]


def test_who_joins_has_nothing_until_the_others_know_and_had_time() -> None:
    """They end what they had open meanwhile: so it counts from the second time on."""
    told: list[Part] = []
    shared = SharedMembership(4)
    shared.tell(Others(8, 8, know_us=False))
    shared.watch(told.append)
    shared.tell(Others(8, 8, know_us=True))
    assert told == [NOTHING]
    shared.tell(Others(8, 8, know_us=True))
    assert told == [NOTHING, Part(8, 12)]


def test_who_was_silent_for_long_joins_anew() -> None:
    told: list[Part] = []
    shared = SharedMembership(1)
    shared.tell(Others(0, 0, know_us=True))
    shared.watch(told.append)
    for know_us in (False, True, True):
        shared.tell(Others(1, 0, know_us=know_us))
    assert told == [Part(0, 1), NOTHING, Part(0, 2)]


def test_who_is_known_at_its_start_has_its_part_at_once() -> None:
    """It takes the place of one that was killed."""
    told: list[Part] = []
    shared = SharedMembership(4)
    shared.tell(Others(8, 3, know_us=True))
    shared.watch(told.append)
    assert told == [Part(3, 12)]


def test_it_is_logged_who_comes_and_goes() -> None:
    """Once, and not with each renewal, nor at the start; an operator is warned of machines that are gone."""
    shared = SharedMembership(4)
    with capture_logs() as logged:
        for workers in (4, 4, 8, 8, 4, 4):
            shared.tell(Others(workers, 0, know_us=True))
    assert logged == [
        {"event": "others_joined", "log_level": "info", "workers": 8, "before": 4},
        {"event": "others_gone", "log_level": "warning", "workers": 4, "before": 8},
    ]
