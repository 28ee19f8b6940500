"""Accept balancing: a worker with more clients lets another go first, and waits for nobody who is gone."""

import pytest

from relayd.receiver.accept_balance import AcceptBalance, lone_share
from tests.support.forked import in_a_child


@pytest.mark.parametrize(
    ("mine", "others", "has_more"),
    [
        (0, [], False),
        (100, [], False),
        (2, [0], False),
        (3, [0], True),
        (3, [1], False),
        (12, [10, 30], False),
        (13, [30, 10], True),
    ],
)
def test_a_few_clients_more_are_nothing(mine: int, others: list[int], has_more: bool) -> None:  # noqa: FBT001
    balance = AcceptBalance()
    own = balance.share_of("1")
    own.tell(mine)
    for name, clients in enumerate(others, 2):
        balance.share_of(str(name)).tell(clients)
    assert own.has_more() is has_more


def test_nobody_waits_for_a_closed_door() -> None:
    balance = AcceptBalance()
    own, leaving, last = (balance.share_of(name) for name in "123")
    own.tell(9)
    leaving.tell(0)
    leaving.close()
    assert not own.has_more()
    last.tell(5)
    assert own.has_more(), "the one after a closed one counts"


def test_the_doors_of_the_dead_are_closed() -> None:
    balance = AcceptBalance()
    own, dead = balance.share_of("2"), balance.share_of("1")
    own.tell(9)
    dead.tell(0)
    assert own.has_more()
    balance.vacate(but={"2"})
    assert not own.has_more()
    dead.tell(9)
    own.tell(0)
    assert dead.has_more(), "a successor of that name opens it again, and the other's stayed open"


def test_processes_share_them() -> None:
    balance = AcceptBalance()
    own = balance.share_of("1")
    own.tell(9)
    in_a_child(lambda: balance.share_of("2").tell(0))
    assert own.has_more()


def test_a_worker_beyond_all_places_is_alone() -> None:
    balance = AcceptBalance()
    balance.share_of("1").tell(0)
    for share in (balance.share_of("1025"), lone_share()):
        share.tell(9)
        assert not share.has_more()
