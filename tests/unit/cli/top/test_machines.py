"""`relayd top --all`: a row for each machine, and what is said of those that are gone."""

from datetime import timedelta

from relayd.answers import machines
from relayd.answers.machines import Machine, machines_fields
from relayd.answers.overview import FLOWS, Overview
from relayd.cli.table import width_of
from relayd.cli.top import machines as shown
from relayd.ports.membership import Node
from relayd.ports.samples import AtWork, Work
from relayd.ports.view import Counts, Status
from tests.support.cli_world import World
from tests.support.clock import START
from tests.support.machines import a_machine, the_machines

OVERVIEW = Overview(
    at=START,
    trouble="",
    reading=None,
    counts=Counts(by_status={Status.QUEUED: 3}, by_destination={"smarthost": 3}),
    slowest=(),
    errors=(),
)


def at_work(*, received: float, before: float | None, workers: int = 1) -> AtWork:
    def note(number: float, ago: int) -> Work:
        numbers = {**dict.fromkeys(FLOWS, 0.0), "received": number, "clients": 7.0}
        return Work(START - timedelta(seconds=ago), numbers)

    return AtWork(
        node=Node("one", "1.0.0", "alike", START, workers),
        destinations=1,
        now=note(received, 5),
        before=None if before is None else note(before, 20),
    )


def test_a_rate_is_what_grew_between_two_notes() -> None:
    assert machines._rates(at_work(received=40, before=10))["received"] == 2.0


def test_a_rate_that_is_not_known_is_none() -> None:
    """One note; a daemon that was restarted in between; one that is gone, or silent for long."""
    assert machines._rates(at_work(received=40, before=None)) == {}
    assert machines._rates(at_work(received=3, before=10)) == {}
    assert machines._rates(at_work(received=40, before=10, workers=0)) == {}
    late = at_work(received=40, before=10)
    silent = AtWork(
        node=late.node._replace(seen_at=START + timedelta(minutes=2)),
        destinations=0,
        now=late.now,
        before=late.before,
    )
    assert machines._rates(silent) == {}


def test_all_machines_are_on_one_screen() -> None:
    seen = the_machines(
        OVERVIEW,
        a_machine(OVERVIEW, "one", destinations=1, rates={"received": 2.04}),
        a_machine(OVERVIEW, "two", workers=0, ago=timedelta(hours=2)),
        holders={"smarthost": ("one",)},
    )
    assert shown.headline(seen).endswith("machines 1, workers 2  counted 9s ago by one")
    machine, _, destination, _ = shown.sections(seen)
    assert machine.rows == [
        ("one", "1.0.0", "4s", "2", "2.0", "0.0", "0.0", "0.0", "0.0", "1", "-", "-"),
        ("two", "1.0.0", "2h 0m", "gone", "-", "-", "-", "-", "-", "0", "-", "-"),
    ]
    assert destination.rows == [("smarthost", "3", "", "", "one")]
    for width in (40, 80, 140):
        assert all(width_of(line) <= width for line in shown.screen(seen, width))


def test_when_all_are_gone_it_is_said() -> None:
    gone = a_machine(OVERVIEW, "one", workers=0, ago=timedelta(minutes=3))
    assert "NO MACHINE IS ALIVE" in shown.headline(the_machines(OVERVIEW, gone))


def test_json_has_each_machine_and_their_sum() -> None:
    one, two = (
        Machine(work=work, rates=machines._rates(work))
        for work in (at_work(received=40, before=10), at_work(received=25, before=10))
    )
    told = machines_fields(the_machines(OVERVIEW, one, two), settings="alike")
    assert told["rates"] == {**dict.fromkeys(FLOWS, 0.0), "received": 3.0}
    assert told["queue"] == {"queued": 3, "deferred": 0, "held": 0}
    assert told["counted_by"] == "one"
    nodes = told["nodes"]
    assert isinstance(nodes, list)
    first = nodes[0]
    assert (first["node"], first["leased"], first["clients"]) == ("one", 1, 7)
    assert first["same_settings"]
    assert first["totals"]["received"] == 40
    assert not {"running", "trouble"} & told.keys()


async def test_a_queue_that_is_a_file_has_one_machine(world: World) -> None:
    await world.open_store().close()
    ran = world.run("top", "--all")
    assert ran.status == 64
    assert "This queue is a file: relayd top shows all of it." in ran.err
