"""Who shares the limits where machines share a store: never more than the limit together."""

from relayd.ports.membership import Others
from relayd.worker.membership import SharedMembership


def test_the_number_follows_who_is_alive() -> None:
    told: list[int] = []
    shared = SharedMembership(4)
    shared.watch(told.append)
    shared.tell(Others(8, know_us=True))
    shared.tell(Others(8, know_us=True))
    shared.tell(Others(4, know_us=True))
    assert told == [4, 12, 8]


def test_who_joins_uses_next_to_nothing_until_the_others_know() -> None:
    told: list[int] = []
    shared = SharedMembership(4)
    shared.tell(Others(8, know_us=False))
    shared.watch(told.append)
    shared.tell(Others(8, know_us=True))
    assert told == [1000, 12]
