"""Whole machines of a cluster fail: nothing acknowledged is lost, and nothing comes twice without need (F-46, F-51).

`benchmarks/cluster-kills` is the same for as long as one likes, with more kinds of faults. Each broken promise turns the judgement red.
"""

import random  # noqa: TID251 -- seeded
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from relayd.ports.view import RecipientRow, Status
from tests.crash.test_judge import a_row
from tests.support.cluster import Fault, a_cluster
from tests.support.cluster_judge import Outcome, judge, outcome_of
from tests.support.cluster_watch import told
from tests.support.counting_hop import Copy, digest_of
from tests.support.daemon import eventually
from tests.support.ledger import Entry, Fate, Ledger
from tests.support.node_faults import kill
from tests.support.places import some_places
from tests.support.postgres import needs_postgres

RATE = 40  # messages a second to each node
SOME = 100  # messages


@needs_postgres
@pytest.mark.timeout(120)
def test_a_machine_is_killed(tmp_path: Path) -> None:
    """The other one goes on; the one that was killed has its mail again when it is back."""
    with (
        some_places(namespaces=False) as places,
        a_cluster(tmp_path, places, random.Random(1), slowest=0.03) as cluster,
    ):
        for node in cluster.nodes:
            node.up()
        cluster.begin(seed=1, rate=RATE)
        eventually(lambda: cluster.acked() >= SOME, "mail is taken")
        first = cluster.nodes[0]
        eventually(lambda: cluster.hop.open[first.fqdn], "a transaction is open")
        kill(cluster, first)
        wanted = cluster.acked() + SOME
        eventually(lambda: cluster.acked() >= wanted, "mail is taken again")
        cluster.end()
        cluster.drain(within=90)
        found = judge(outcome_of(cluster))
        assert found["acknowledged"] > 2 * SOME
        assert "warning: lease_lost" not in told(cluster.nodes)


CONTENT = b"X-Number: 1\r\n\r\nhello\r\n"


@dataclass(slots=True)
class Run:
    """A good one: the first message came twice, for the node `one` was stopped after its dot."""

    entries: list[Entry] = field(
        default_factory=lambda: [
            Entry("1", ("1@x.test",), CONTENT, Fate.ACKED),
            Entry("2", ("2@x.test",), CONTENT, Fate.ACKED),
            Entry("3", ("3@x.test",), CONTENT, Fate.REFUSED),
        ]
    )
    copies: list[Copy] = field(
        default_factory=lambda: [
            Copy("one.test", ("1@x.test",), digest_of(CONTENT), begun=9.8, came=9.9, answered=10.1),
            Copy("two.test", ("1@x.test",), digest_of(CONTENT), begun=70, came=71, answered=72),
            Copy("two.test", ("2@x.test",), digest_of(CONTENT), begun=5, came=6, answered=7),
        ]
    )
    faults: list[Fault] = field(default_factory=lambda: [Fault("one.test", 10.0, 100.0)])
    rows: list[RecipientRow] = field(
        default_factory=lambda: [
            replace(a_row("1@x.test"), possible_duplicate=True),
            a_row("2@x.test"),
        ]
    )

    def outcome(self) -> Outcome:
        return Outcome(Ledger(self.entries), self.copies, self.faults, self.rows)


def test_a_good_run_is_green() -> None:
    found = judge(Run().outcome())
    assert (found["came twice"], found["open at a fault"]) == (1, 1)


def test_a_result_takes_a_moment_to_be_stored() -> None:
    run = Run()
    run.copies[0].answered = 9.95
    assert judge(run.outcome())["answered just before a fault"] == 1


def lose_one(run: Run) -> None:
    del run.copies[2], run.rows[1]


def deliver_the_refused(run: Run) -> None:
    run.copies[2].rcpts = ("2@x.test", "3@x.test")
    run.rows.append(a_row("3@x.test"))


def change_an_octet(run: Run) -> None:
    run.copies[1].digest = digest_of(CONTENT + b"\r\n")


def invent_a_recipient(run: Run) -> None:
    run.copies[2].rcpts = ("2@x.test", "spy@x.test")


def leave_something(run: Run) -> None:
    run.rows[1] = replace(run.rows[1], status=Status.QUEUED)


def say_nothing_of_the_second_copy(run: Run) -> None:
    run.rows[0] = a_row("1@x.test")


def have_no_fault(run: Run) -> None:
    run.faults.clear()


def have_a_fault_of_the_other(run: Run) -> None:
    run.faults[0] = Fault("three.test", 10.0, 100.0)


def send_under_a_lost_lease(run: Run) -> None:
    """It was stopped with the message in memory, and sends it afterwards."""
    run.copies[0].begun, run.copies[0].came, run.copies[0].answered = 100.1, 100.2, 100.3


def send_a_third_time(run: Run) -> None:
    run.copies.append(replace(run.copies[1], begun=200, came=201, answered=202))


def wait_long_before_the_fault(run: Run) -> None:
    run.copies[0].begun, run.copies[0].answered = 7.0, 8.5


BROKEN: dict[Callable[[Run], None], str] = {
    lose_one: "acknowledged and lost",
    deliver_the_refused: "refused and delivered",
    change_an_octet: "other octets",
    invent_a_recipient: "nobody sent anything",
    leave_something: "all is over",
    say_nothing_of_the_second_copy: "nothing says so",
    have_no_fault: "no fault excuses it",
    have_a_fault_of_the_other: "no fault excuses it",
    send_under_a_lost_lease: "no fault excuses it",
    send_a_third_time: "no fault excuses it",
    wait_long_before_the_fault: "no fault excuses it",
}


@pytest.mark.parametrize("break_it", BROKEN, ids=lambda break_it: break_it.__name__)
def test_a_broken_promise_is_seen(break_it: Callable[[Run], None]) -> None:
    run = Run()
    break_it(run)
    with pytest.raises(AssertionError, match=BROKEN[break_it]):
        judge(run.outcome())
