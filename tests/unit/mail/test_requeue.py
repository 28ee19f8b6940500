"""What a new message has of the old one, whom it is for, and what both tell of it."""

from dataclasses import replace
from datetime import timedelta

import pytest

from relayd.mail.envelope import queued_message
from relayd.mail.ids import MessageId, format_id
from relayd.mail.requeue import (
    Candidate,
    Left,
    Original,
    RequeueCounts,
    counts_of,
    new_message_of,
    requeue_events,
    why_left,
    within,
)
from tests.support.builders import a_message, a_queued_recipient
from tests.support.clock import START

FINE = Candidate(
    message_id=MessageId(1),
    number=0,
    address="a@x.test",
    octets=10,
    is_requeued=False,
    is_suppressed=False,
)
DONE = replace(FINE, is_requeued=True)
GONE = replace(FINE, octets=None)
BAD = replace(FINE, is_suppressed=True)
CASES = {
    "fine": (FINE, False, True, None),
    "done": (DONE, False, False, Left.ALREADY),
    "done, and wanted again": (DONE, True, False, None),
    "done and gone": (replace(GONE, is_requeued=True), False, False, Left.ALREADY),
    "gone": (GONE, False, False, Left.GONE),
    "gone, and wanted again": (replace(GONE, is_requeued=True), True, False, Left.GONE),
    "suppressed": (BAD, False, False, None),
    "suppressed, where that is refused": (BAD, False, True, Left.SUPPRESSED),
}


@pytest.mark.parametrize(("candidate", "again", "spares", "left"), CASES.values(), ids=CASES)
def test_why_a_recipient_is_left(
    candidate: Candidate, *, again: bool, spares: bool, left: Left | None
) -> None:
    assert why_left(candidate, again=again, spares_suppressed=spares) is left


@pytest.mark.parametrize("spares", [True, False])
def test_each_is_counted_once(*, spares: bool) -> None:
    counts = counts_of([FINE, DONE, GONE, BAD, BAD], again=False, spares_suppressed=spares)
    suppressed, refused = (0, 2) if spares else (2, 0)
    assert counts == RequeueCounts(
        matched=5, changed=1 + suppressed, suppressed=suppressed, already=1, gone=1, refused=refused
    )
    assert counts.matched == counts.changed + counts.already + counts.gone + counts.refused
    twice = counts + counts
    assert (twice.matched, twice.changed) == (10, 2 * counts.changed)


def test_a_part_has_so_many_octets_and_one_message_at_least() -> None:
    """The recipients of a message share its content."""
    first = [FINE, replace(FINE, number=1)]
    second = replace(FINE, message_id=MessageId(2))
    assert within([*first, second], 20) == [*first, second]
    assert within([*first, second], 19) == first
    assert within([*first, second], 0) == [first[0], first[1]]
    assert within([GONE, second], 0) == [GONE]


def test_the_new_message_and_what_is_told() -> None:
    old = replace(
        queued_message(a_message(tag="news", message_id_header="<1@app.test>")), is_8bit=True
    )
    client = a_message(auth_user="shop").client
    at = START + timedelta(hours=1)
    original = Original(
        message=old,
        recipients=[a_queued_recipient("b@y.test", number=3)],
        client=client,
        content=b"octets",
        subject="Your order",
    )
    new = new_message_of(
        original,
        message_id=MessageId(77),
        at=at,
        way_of=lambda address: (str(address).upper(), "a rule"),
    )
    assert (new.id, new.received_at, new.content, new.client) == (77, at, b"octets", client)
    facts = new.facts
    assert (facts.tag, facts.message_id_header, facts.is_8bit, facts.subject) == (
        "news",
        "<1@app.test>",
        True,
        "Your order",
    )
    assert str(new.reverse_path) == old.reverse_path
    assert [(str(each.address), each.destination) for each in new.recipients] == [
        ("b@y.test", "B@Y.TEST")
    ]
    assert new.parameters == old.parameters
    nobody = new_message_of(
        replace(original, message=replace(old, reverse_path=""), recipients=[]),
        message_id=MessageId(78),
        at=at,
        way_of=lambda address: (str(address), ""),
    )
    assert nobody.reverse_path is None
    of_old, of_new = requeue_events(old.id, [3], new, by="ann", reason="mine")
    assert (of_old.message_id, of_old.recipient, of_old.detail) == (
        old.id,
        3,
        {"by": "ann", "reason": "mine", "requeued_as": format_id(new.id)},
    )
    assert (of_new.message_id, of_new.recipient, of_new.detail) == (
        new.id,
        0,
        {"by": "ann", "reason": "mine", "requeued_from": format_id(old.id)},
    )
    assert of_old.subject == of_new.subject
