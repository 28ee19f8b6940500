"""Doors: a worker with more clients lets another go first, and waits for nobody who is gone."""

import os

import pytest

from relayd.receiver.doors import Doors, lone_door


@pytest.mark.parametrize(
    ("mine", "others", "is_ahead"),
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
def test_who_has_more_by_a_few_is_ahead(mine: int, others: list[int], is_ahead: bool) -> None:  # noqa: FBT001
    doors = Doors()
    own = doors.door("1")
    own.tell(mine)
    for name, clients in enumerate(others, 2):
        doors.door(str(name)).tell(clients)
    assert own.is_ahead() is is_ahead


def test_nobody_waits_for_a_closed_door() -> None:
    doors = Doors()
    own, leaving, last = (doors.door(name) for name in "123")
    own.tell(9)
    leaving.tell(0)
    leaving.close()
    assert not own.is_ahead()
    last.tell(5)
    assert own.is_ahead(), "the one behind a closed door counts"


def test_the_doors_of_the_dead_are_closed() -> None:
    doors = Doors()
    own, dead = doors.door("2"), doors.door("1")
    own.tell(9)
    dead.tell(0)
    assert own.is_ahead()
    doors.vacate(but={"2"})
    assert not own.is_ahead()
    dead.tell(9)
    own.tell(0)
    assert dead.is_ahead(), "a successor of that name opens it again, and the other's stayed open"


def test_processes_share_them() -> None:
    doors = Doors()
    own = doors.door("1")
    own.tell(9)
    pid = os.fork()
    if not pid:
        doors.door("2").tell(0)
        os._exit(0)
    os.waitpid(pid, 0)
    assert own.is_ahead()


def test_a_worker_beyond_all_places_is_alone() -> None:
    doors = Doors()
    doors.door("1").tell(0)
    for door in (doors.door("1025"), lone_door()):
        door.tell(9)
        assert not door.is_ahead()
