"""What every store must do: mail that came back after acceptance, and the secret behind that."""

import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest

from relayd.errors import ReturnPathSpent
from relayd.mail.envelope import NewMessage
from relayd.mail.event import Event
from relayd.mail.ids import WorkerNumber
from relayd.mail.operator import Action
from relayd.mail.outcome import Bounced, Outcome, Relayed, Sent
from relayd.mail.suppression import INACTIVE_BOUNCES
from relayd.mail.words import BounceClass, Category, EventKind
from relayd.policy.intake.admit import RETURNED_A_DAY, RETURNED_IN_ALL
from relayd.policy.verp import VerpToken
from relayd.ports.queue import LateNotice
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


def to(message: NewMessage, recipient: int = 0) -> VerpToken:
    """The return path that stands for a recipient."""
    return VerpToken(message_id=message.id, recipient=recipient)


def a_copy(box: Box) -> NewMessage:
    return a_message("app@app.test", at=box.clock.now(), reverse_path="", content=b"Returned.\r\n")


async def accepted(
    box: Box,
    worker: WorkerNumber,
    *addresses: str,
    outcome: Outcome | None = None,
    sender: str = "app@app.test",
) -> NewMessage:
    """A message, handed on a minute before now."""
    message = a_message(*(addresses or ("a@example.com",)), at=box.clock.now(), reverse_path=sender)
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
    assert await box.store.note_late(to(message), notice, a_copy(box)) == notice
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
    assert await box.is_suppressed("a@example.com", sender="app@app.test")
    [address] = box.view.addresses(Query(recipient=("a@example.com",)), limit=1)
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
    await box.store.note_late(to(message, 1), a_notice(box, message, 1), a_copy(box))
    assert [box.row(message, number).status for number in range(3)] == [
        Status.RELAYED,
        Status.BOUNCED,
        Status.RELAYED,
    ]


@pytest.mark.parametrize("category", [Category.BAD_MAILBOX, Category.INACTIVE_MAILBOX])
async def test_a_late_bounce_of_a_redirect_says_nothing_about_the_recipient(
    box: Box, worker: WorkerNumber, category: Category
) -> None:
    """Nothing was ever sent to its address."""
    late = replace(LATE, category=category, suppress=category is Category.BAD_MAILBOX)
    for _ in range(INACTIVE_BOUNCES):
        message = a_message("a@x.test", "b@x.test", at=box.clock.now())
        [work] = await box.put(message, worker=worker, leased=True)
        taken = settlements_of(work, Relayed())
        await box.store.settle(work.lease, [replace(taken[0], redirected_to="qa@x.test"), taken[1]])
        for number in (0, 1):
            notice = a_notice(box, message, number, outcome=late)
            await box.store.note_late(to(message, number), notice, a_copy(box))
        assert [box.row(message, number).status for number in (0, 1)] == [Status.BOUNCED] * 2
    about = {each.address for each in box.view.suppressions(limit=10, after="")}
    assert about == {"b@x.test"}


async def test_the_first_late_bounce_counts(box: Box, worker: WorkerNumber) -> None:
    """The second one changes nothing and adds nothing; its copy is for the sender all the same."""
    message = await accepted(box, worker)
    await box.store.note_late(to(message), a_notice(box, message), a_copy(box))
    before, history = box.row(message), box.later_history(message)
    box.advance(60)
    second, copy = a_bounce(BounceClass.SOFT, category=Category.MAILBOX_FULL), a_copy(box)
    assert (
        await box.store.note_late(to(message), a_notice(box, message, outcome=second), copy) is None
    )
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
    assert await box.store.note_late(to(message), a_notice(box, message), copy) is None
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
        assert await box.store.note_late(to(message), notice, a_copy(box)) == notice
    assert box.row(message) == before
    assert kinds(box, message) == [*history, kind, kind]


async def test_mail_without_news_is_only_handed_on(box: Box, worker: WorkerNumber) -> None:
    message = await accepted(box, worker)
    history, copy = kinds(box, message), a_copy(box)
    assert await box.store.note_late(to(message), None, copy) is None
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
    assert await box.store.note_late(to(message), a_notice(box, message, kind=kind), copy) is None
    assert box.view.history(message.id) == []
    assert box.row(copy).status is Status.QUEUED


async def test_the_copy_waits_for_whoever_has_room(box: Box, worker: WorkerNumber) -> None:
    """It is like any message, but is not born leased."""
    message = await accepted(box, worker)
    copy = a_copy(box)
    await box.store.note_late(to(message), a_notice(box, message), copy)
    row = box.row(copy)
    assert (row.status, row.leased, row.attempts) == (Status.QUEUED, False, 0)
    assert (row.reverse_path, row.address) == ("", "app@app.test")
    assert row.next_attempt_at == copy.received_at
    [work] = await box.claim(worker)
    assert (work.message.id, work.message.reverse_path) == (copy.id, "")
    assert (work.content or await box.store.content(copy.id)) == copy.content
    await box.store.settle(work.lease, [a_settlement(copy.id)])
    assert await box.store.content(copy.id) is None


async def test_a_late_bounce_can_be_forgiven(box: Box, worker: WorkerNumber) -> None:
    message = await accepted(box, worker)
    await box.store.note_late(to(message), a_notice(box, message), a_copy(box))
    assert await box.store.unsuppress("a@example.com")
    assert not await box.is_suppressed("a@example.com", sender="app@app.test")


INACTIVE = a_bounce(BounceClass.BLOCK, category=Category.INACTIVE_MAILBOX)


async def returned_late(
    box: Box, worker: WorkerNumber, sender: str, outcome: Bounced = LATE
) -> None:
    message = await accepted(box, worker, sender=sender)
    assert await box.store.note_late(
        to(message), a_notice(box, message, outcome=outcome), a_copy(box)
    )


async def suppressed_for(box: Box, *senders: str) -> list[str]:
    return [one for one in senders if await box.is_suppressed("a@example.com", sender=one)]


async def test_a_late_bounce_speaks_to_its_sender_only(box: Box, worker: WorkerNumber) -> None:
    """Who has the mail can make it up: then it is one sender's loss, and no other's."""
    await returned_late(box, worker, "App@App.test")
    senders = ("app@app.test", "APP@app.TEST", "shop@app.test", "app@other.test", "")
    assert await suppressed_for(box, *senders) == ["app@app.test", "APP@app.TEST"]
    [row] = box.view.addresses(Query(recipient=("a@example.com",)), limit=1)
    assert (row.suppress, row.suppress_for) == (True, ("app@app.test",))
    await returned_late(box, worker, "shop@app.test")
    [row] = box.view.addresses(Query(recipient=("a@example.com",)), limit=1)
    assert (row.suppress, row.suppress_for) == (True, ("app@app.test", "shop@app.test"))
    assert await box.store.unsuppress("A@example.com")
    assert await suppressed_for(box, *senders) == []
    [row] = box.view.addresses(Query(recipient=("a@example.com",)), limit=1)
    assert (row.suppress, row.suppress_for) == (False, ())
    assert not await box.store.unsuppress("a@example.com")
    await returned_late(box, worker, "app@app.test")
    assert await suppressed_for(box, *senders) == ["app@app.test", "APP@app.TEST"]


async def test_what_we_heard_ourselves_speaks_to_everybody(box: Box, worker: WorkerNumber) -> None:
    await returned_late(box, worker, "app@app.test")
    await accepted(box, worker, outcome=LATE, sender="shop@app.test")
    assert await suppressed_for(box, "app@app.test", "new@app.test", "") == [
        "app@app.test",
        "new@app.test",
        "",
    ]
    [row] = box.view.addresses(Query(), limit=1)
    assert (row.suppress, row.suppress_for) == (True, ())


async def test_an_inactive_mailbox_is_counted_for_each_sender(
    box: Box, worker: WorkerNumber
) -> None:
    """Two messages: both returned late to one sender, or one of them refused while we heard it."""
    await returned_late(box, worker, "app@app.test", INACTIVE)
    await returned_late(box, worker, "shop@app.test", INACTIVE)
    assert await suppressed_for(box, "app@app.test", "shop@app.test", "") == []
    await returned_late(box, worker, "shop@app.test", INACTIVE)
    assert await suppressed_for(box, "app@app.test", "shop@app.test", "") == ["shop@app.test"]
    await accepted(box, worker, outcome=INACTIVE, sender="other@app.test")
    assert await suppressed_for(box, "app@app.test", "shop@app.test", "") == [
        "app@app.test",
        "shop@app.test",
    ]


async def test_twenty_senders_are_named(box: Box, worker: WorkerNumber) -> None:
    for number in range(25):  # who comes first, and is not suppressed
        await returned_late(box, worker, f"a{number:02}@app.test", INACTIVE)
    senders = [f"app{number:02}@app.test" for number in range(25)]
    for sender in senders:
        await returned_late(box, worker, sender)
    [row] = box.view.addresses(Query(recipient=("a@example.com",)), limit=1)
    assert row.suppress_for == tuple(senders[:20])
    assert await suppressed_for(box, *senders) == senders
    assert await box.store.unsuppress("a@example.com")
    assert await suppressed_for(box, *senders) == []


async def test_a_complaint_may_suppress_for_its_sender(box: Box, worker: WorkerNumber) -> None:
    """In the transaction that records it, and only where the settings say so."""
    message = await accepted(box, worker)
    told = a_notice(box, message, kind=EventKind.COMPLAINED)
    await box.store.note_late(to(message), told, a_copy(box))
    assert await suppressed_for(box, "app@app.test") == []
    await box.store.note_late(to(message), replace(told, complaint="abuse"), a_copy(box))
    assert await suppressed_for(box, "app@app.test", "shop@app.test", "") == ["app@app.test"]
    [row] = box.view.addresses(Query(recipient=("a@example.com",)), limit=1)
    assert [each.reason for each in row.suppressions] == ["complained: abuse"]


async def brought(box: Box, message: NewMessage, times: int) -> int:
    """Bring mail to a return path; how many were taken."""
    every = [
        box.store.note_late(to(message), a_notice(box, message, kind=EventKind.COMPLAINED), copy)
        for copy in [a_copy(box) for _ in range(times)]
    ]
    results = await asyncio.gather(*every, return_exceptions=True)
    refused = [one for one in results if isinstance(one, BaseException)]
    assert all(isinstance(one, ReturnPathSpent) for one in refused), refused
    return times - len(refused)


async def test_a_return_path_takes_a_few_mails(box: Box, worker: WorkerNumber) -> None:
    """All at once too: only the store sees what other workers took. What is refused leaves nothing."""
    message = await accepted(box, worker, "a@example.com", "b@example.com")
    assert await brought(box, message, 50) == RETURNED_A_DAY
    assert len(box.rows()) == 2 + RETURNED_A_DAY
    assert len(box.view.came_back(message.id, 0)) == RETURNED_A_DAY
    assert kinds(box, message).count("complained") == RETURNED_A_DAY
    assert box.view.came_back(message.id, 1) == []
    assert await box.store.note_late(to(message, 1), None, a_copy(box)) is None, "another's"
    taken = RETURNED_A_DAY
    for _ in range(RETURNED_IN_ALL):
        box.advance(24 * 3600)
        taken += await brought(box, message, 4)
    assert taken == RETURNED_IN_ALL
    box.advance(3600)
    await box.store.purge(box.clock.now())
    assert box.view.came_back(message.id, 0) == []


async def test_history_ends_after_the_late_bounce(box: Box, worker: WorkerNumber) -> None:
    """Its age counts from the change of its status."""
    message = await accepted(box, worker)
    middle = box.clock.now()
    await box.store.note_late(
        to(message), a_notice(box, message), a_message(at=middle, reverse_path="")
    )
    assert await box.store.purge(middle) == 0
    assert await box.store.purge(middle + timedelta(seconds=1)) == 1


async def test_the_secret_stays_the_same(box: Box) -> None:
    first = await box.store.secret()
    assert isinstance(first, bytes)
    assert len(first) == 32
    assert await box.store.secret() == first
