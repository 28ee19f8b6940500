"""Complaints by domain: a few series, whatever domains there are in the world."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from relayd.mail.tally import Dimension
from relayd.metrics.complaints import HOLDS, TOP, Complaints, of_complaints
from relayd.ports.tally import TallyAnswer, TallyQuery, TallyRow
from relayd.store.memory.tables import Tables
from relayd.store.memory.view import MemoryView
from tests.support.clock import START


class View(MemoryView):
    """Has counted this."""

    def __init__(self, senders: Sequence[TallyRow], recipients: Sequence[TallyRow]) -> None:
        super().__init__(Tables())
        self.asked: list[datetime | None] = []  # since when
        self.rows = {Dimension.SENDER: senders, Dimension.DOMAIN: recipients}

    def tally(self, query: TallyQuery) -> TallyAnswer:
        self.asked.append(query.since)
        assert query.by is not None
        return TallyAnswer(
            total=TallyRow(), rows=self.rows[query.by], since=None, until=None, begins=None
        )


def a_row(value: str, complained: int, sent: int = 0, relayed: int = 0) -> TallyRow:
    counts = {"complained": complained, "sent": sent, "relayed": relayed}
    return TallyRow(value=value, counts=counts)


def values(view: View) -> dict[tuple[str, ...], float]:
    found = of_complaints(Complaints().latest(view, START))
    return {(each.family.name, *each.labels): each.value for each in found}


def test_by_domain_of_the_sender_and_of_the_recipient() -> None:
    senders = [
        a_row("a@x.test", 2, sent=10),
        a_row("b@X.test", 1, relayed=5),
        a_row("c@y.test", 0, sent=9),
        a_row("", 3, sent=1),  # the null reverse-path, or values that were rare in their step
    ]
    assert values(View(senders, [a_row("yahoo.test", 3, sent=8)])) == {
        ("relayd_complaints", "sender", "x.test"): 3,
        ("relayd_complaints", "sender", "y.test"): 0,
        ("relayd_complaints", "recipient", "yahoo.test"): 3,
        ("relayd_complaints_accepted", "sender", "x.test"): 15,
        ("relayd_complaints_accepted", "sender", "y.test"): 9,
        ("relayd_complaints_accepted", "recipient", "yahoo.test"): 8,
    }


def test_only_those_with_most_are_named() -> None:
    rows = [a_row(f"a@{number:03}.test", number // 295, sent=number) for number in range(300)]
    found = values(View(rows, []))
    named = [labels[-1] for labels in found if labels[0] == "relayd_complaints"]
    assert named == [f"{number:03}.test" for number in range(299, 299 - TOP, -1)]


def test_the_week_is_read_again_after_minutes() -> None:
    """And at once where the clock was set back."""
    view, complaints = View([a_row("a@x.test", 1)], []), Complaints()
    week = timedelta(days=7)
    for at in (START, START + HOLDS / 2, START + HOLDS, START):
        assert len(complaints.latest(view, at)) == 1
    assert view.asked[::2] == [START - week, START + HOLDS - week, START - week]
