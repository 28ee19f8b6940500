"""What every store must do: mail that came back after acceptance, and the secret behind that."""

from datetime import timedelta

import pytest

from relayd.mail.envelope import NewMessage
from relayd.mail.event import Event
from relayd.mail.ids import WorkerNumber
from relayd.mail.outcome import Bounced, Outcome, Relayed, Sent
from relayd.mail.words import BounceClass, Category, EventKind
from relayd.ports.queue import Action, LateNotice
from relayd.ports.view import Query, Status
from tests.support.builders import (
    a_bounce,
    a_deferral,
    a_message,
    a_settlement,
    settlements_of,
)
from tests.support.stores import Box

LATE = a_bounce(reason="550 5.1.1 no such user")
OTHERS = [EventKind.COMPLAINED, EventKind.DELIVERED_DSN]


def a_notice(
    box: Box,
    message: NewMessage,
    recipient: int = 0,
    kind: EventKind = EventKind.LATE_BOUNCED,
    outcome: Bounced | None = LATE,
) -> LateNotice:
    event = Event(
        kind=kind,
        at=box.clock.now(),
        message_id=message.id,
        recipient=recipient,
        detail={"reason": kind.value},
    )
    return LateNotice(event=event, outcome=outcome if kind is EventKind.LATE_BOUNCED else None)


def a_copy(box: Box) -> NewMessage:
    return a_message("app@app.test", at=box.clock.now(), reverse_path="", content=b"Returned.\r\n")


async def accepted(
    box: Box, worker: WorkerNumber, *addresses: str, outcome: Outcome | None = None
) -> NewMessage:
    """A message, handed on a minute before now."""
    message = a_message(*(addresses or ("a@example.com",)), at=box.clock.now())
    [work] = await box.put(message, worker=worker, leased=True)
    await box.store.settle(work.lease, settlements_of(work, outcome))
    box.advance(60)
    return message


def kinds(box: Box, message: NewMessage) -> list[str]:
    return [entry.kind for entry in box.later_history(message)]


@pytest.mark.parametrize("outcome", [Relayed(), Sent()])
async def test_a_late_bounce_ends_what_was_accepted(
    box: Box, worker: WorkerNumber, outcome: Outcome
) -> None:
    message = await accepted(box, worker, outcome=outcome)
    notice = a_notice(box, message)
    assert await box.store.note_late(notice, a_copy(box)) == notice
    row = box.row(message)
    assert (row.status, row.updated_at) == (Status.BOUNCED, box.clock.now())
    assert (row.bounce_class, row.category, row.suppress, row.enhanced, row.reason) == (
        BounceClass.HARD,
        Category.BAD_MAILBOX,
        True,
        "5.1.1",
        "550 5.1.1 no such user",
    )
    assert (row.code, row.reply) == (None, None), "250 was the answer to another question"
    assert row.attempts == 1
    assert box.view.is_suppressed("a@example.com")
    [address] = box.view.addresses(Query(recipient="a@example.com"), limit=1)
    assert (address.hard_bounces, address.last_status, address.last_reply) == (
        1,
        Status.BOUNCED,
        "550 5.1.1 no such user",
    )
    *_, last = box.later_history(message)
    assert (last.kind, last.at, last.recipient, dict(last.detail)) == (
        "late_bounced",
        box.clock.now(),
        0,
        {"reason": "late_bounced"},
    )


async def test_only_its_recipient_is_concerned(box: Box, worker: WorkerNumber) -> None:
    message = await accepted(box, worker, "a@example.com", "b@example.com", "c@example.com")
    await box.store.note_late(a_notice(box, message, 1), a_copy(box))
    assert [box.row(message, number).status for number in range(3)] == [
        Status.RELAYED,
        Status.BOUNCED,
        Status.RELAYED,
    ]


async def test_the_first_late_bounce_counts(box: Box, worker: WorkerNumber) -> None:
    """The second one changes nothing and adds nothing; its copy is for the sender all the same."""
    message = await accepted(box, worker)
    await box.store.note_late(a_notice(box, message), a_copy(box))
    before, history = box.row(message), box.later_history(message)
    box.advance(60)
    second, copy = a_bounce(BounceClass.SOFT, category=Category.MAILBOX_FULL), a_copy(box)
    assert await box.store.note_late(a_notice(box, message, outcome=second), copy) is None
    assert box.row(message) == before
    assert box.later_history(message) == history
    assert box.row(copy).status is Status.QUEUED


UNSETTLED: dict[str, Outcome | Action | None] = {
    "an attempt runs": None,
    "deferred": a_deferral(),
    "bounced": a_bounce(),
    "held": Action.HOLD,
    "dropped": Action.DROP,
}


@pytest.mark.parametrize("state", UNSETTLED.values(), ids=UNSETTLED)
async def test_what_was_not_accepted_cannot_come_back(
    box: Box, worker: WorkerNumber, state: Outcome | Action | None
) -> None:
    message = a_message(at=box.clock.now())
    [work] = await box.put(message, worker=worker, leased=True)
    if isinstance(state, Action):
        await box.store.act(Query(message_id=message.id), state, by="ann", reason="")
    elif state is not None:
        await box.store.settle(work.lease, settlements_of(work, state))
    before, history = box.row(message), box.later_history(message)
    box.advance(60)
    copy = a_copy(box)
    assert await box.store.note_late(a_notice(box, message), copy) is None
    assert (box.row(message), box.later_history(message)) == (before, history)
    assert box.row(copy).status is Status.QUEUED


@pytest.mark.parametrize("kind", OTHERS)
@pytest.mark.parametrize("bounced", [False, True])
async def test_other_news_only_adds_to_the_history(
    box: Box, worker: WorkerNumber, kind: EventKind, *, bounced: bool
) -> None:
    """Whatever the status is, and each time."""
    message = await accepted(box, worker, outcome=a_bounce() if bounced else None)
    before, history = box.row(message), kinds(box, message)
    for _ in range(2):
        notice = a_notice(box, message, kind=kind)
        assert await box.store.note_late(notice, a_copy(box)) == notice
    assert box.row(message) == before
    assert kinds(box, message) == [*history, kind, kind]


async def test_mail_without_news_is_only_handed_on(box: Box, worker: WorkerNumber) -> None:
    message = await accepted(box, worker)
    history, copy = kinds(box, message), a_copy(box)
    assert await box.store.note_late(None, copy) is None
    assert kinds(box, message) == history
    assert box.row(copy).status is Status.QUEUED


@pytest.mark.parametrize("kind", [EventKind.LATE_BOUNCED, *OTHERS])
async def test_news_of_a_forgotten_message_is_not_recorded(
    box: Box, worker: WorkerNumber, kind: EventKind
) -> None:
    """It may be purged between RCPT and the final dot."""
    message = await accepted(box, worker)
    box.advance(60)
    assert await box.store.purge(box.clock.now()) == 1
    copy = a_copy(box)
    assert await box.store.note_late(a_notice(box, message, kind=kind), copy) is None
    assert box.view.history(message.id) == []
    assert box.row(copy).status is Status.QUEUED


async def test_the_copy_waits_for_whoever_has_room(box: Box, worker: WorkerNumber) -> None:
    """It is like any message, but is not born leased."""
    message = await accepted(box, worker)
    copy = a_copy(box)
    await box.store.note_late(a_notice(box, message), copy)
    row = box.row(copy)
    assert (row.status, row.leased, row.attempts) == (Status.QUEUED, False, 0)
    assert (row.reverse_path, row.address) == ("", "app@app.test")
    assert await box.store.next_due() == copy.received_at
    [work] = await box.claim(worker)
    assert (work.message.id, work.message.reverse_path) == (copy.id, "")
    assert (work.content or await box.store.content(copy.id)) == copy.content
    await box.store.settle(work.lease, [a_settlement(copy.id)])
    assert await box.store.content(copy.id) is None


async def test_a_late_bounce_can_be_forgiven(box: Box, worker: WorkerNumber) -> None:
    message = await accepted(box, worker)
    await box.store.note_late(a_notice(box, message), a_copy(box))
    assert await box.store.unsuppress("a@example.com", by="ann")
    assert not box.view.is_suppressed("a@example.com")


async def test_history_ends_after_the_late_bounce(box: Box, worker: WorkerNumber) -> None:
    """Its age counts from the change of its status."""
    message = await accepted(box, worker)
    middle = box.clock.now()
    await box.store.note_late(a_notice(box, message), a_message(at=middle, reverse_path=""))
    assert await box.store.purge(middle) == 0
    assert await box.store.purge(middle + timedelta(seconds=1)) == 1


async def test_the_secret_stays_the_same(box: Box) -> None:
    first = await box.store.secret()
    assert isinstance(first, bytes)
    assert len(first) == 32
    assert await box.store.secret() == first
