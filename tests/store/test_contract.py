"""What every store must do: the workers' verbs. Questions: test_contract_view.py."""

import math
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import timedelta

import pytest

from relayd.errors import LeaseLost
from relayd.mail.ids import WorkerNumber
from relayd.mail.outcome import NotTried, Outcome, Relayed, Sent
from relayd.mail.words import BounceClass, Category
from relayd.ports.queue import Lease, Work
from relayd.ports.view import Status
from tests.support.builders import (
    CONTENT,
    a_bounce,
    a_deferral,
    a_facts,
    a_message,
    a_recipient,
    a_settlement,
    settlements_of,
)
from tests.support.stores import ALL, LEASE, WIDE, Box
from tests.support.workers import registered

ENDED = LEASE.total_seconds() + 1


# --- register


async def test_numbers_are_never_reused(box: Box) -> None:
    """A worker's number is its own for ever, also when its name comes back."""
    given = [await registered(box.store, name) for name in ("a", "b", "a", "a")]
    assert len(set(given)) == 4


async def test_a_restarted_worker_frees_what_it_had_leased(
    box: Box, worker: WorkerNumber, other: WorkerNumber
) -> None:
    """Its name registers again: its leases end at once, and its open attempts may have been sent."""
    message = a_message(a_recipient(destination="one.test"), a_recipient(destination="two.test"))
    (mine, _) = await box.put(message, worker=worker, leased=True)
    again = await registered(box.store, "worker")
    assert again not in (worker, other)
    row = box.row(message)
    assert (row.leased, row.possible_duplicate, row.attempts) == (False, True, 1)
    with pytest.raises(LeaseLost):
        await box.store.settle(mine.lease, settlements_of(mine))
    claimed = await box.claim(again)
    assert len(claimed) == 2
    for work in claimed:
        assert work.recipients[0].attempt == 2
        assert work.recipients[0].possible_duplicate
        assert work.lease.epoch > mine.lease.epoch


async def test_a_new_daemon_frees_what_the_old_ones_workers_had_leased(
    box: Box, other: WorkerNumber
) -> None:
    """Whatever their names: one daemon at a time has a queue (F-20)."""
    message = a_message()
    await box.put(message, worker=other, leased=True)
    await registered(box.store, "worker", boot="the next")
    row = box.row(message)
    assert (row.leased, row.possible_duplicate) == (False, True)


async def test_a_restart_leaves_other_workers_alone(
    box: Box, worker: WorkerNumber, other: WorkerNumber
) -> None:
    message = a_message()
    (work,) = await box.put(message, worker=other, leased=True)
    await registered(box.store, "worker")
    assert box.row(message).leased
    await box.store.settle(work.lease, settlements_of(work))
    assert box.row(message).status is Status.RELAYED
    assert worker != other


# --- enqueue


async def test_enqueued_mail_waits_to_be_claimed(box: Box, worker: WorkerNumber) -> None:
    """Without `lease_for` a recipient is due from its reception on."""
    message = a_message(at=box.clock.now())
    assert await box.put(message, worker=worker) == []
    row = box.row(message)
    assert (row.status, row.leased, row.attempts) == (Status.QUEUED, False, 0)
    assert row.next_attempt_at == message.received_at
    assert await box.store.content(message.id) == message.content


async def test_born_leased_mail_is_nobody_elses(
    box: Box, worker: WorkerNumber, other: WorkerNumber
) -> None:
    """With `lease_for` and a free slot the work comes back at once, with content, as attempt 1."""
    message = a_message("a@example.com", "b@example.com")
    (work,) = await box.put(message, worker=worker, leased=True)
    assert work.content == message.content
    assert [(one.number, one.address, one.attempt) for one in work.recipients] == [
        (0, "a@example.com", 1),
        (1, "b@example.com", 1),
    ]
    assert all(box.row(message, number).leased for number in (0, 1))
    assert await box.claim(other) == []
    assert await box.claim(worker) == []


async def test_mail_is_not_born_leased_where_others_own_the_slots(
    box: Box, worker: WorkerNumber, other: WorkerNumber
) -> None:
    await box.put(a_message(), worker=other, leased=True)
    message = a_message(a_recipient(), a_recipient(destination="free.test"))
    (work,) = await box.put(message, worker=worker, leased=True)
    assert [one.number for one in work.recipients] == [1]
    assert work.lease.destination == "free.test"
    assert (box.row(message, 0).leased, box.row(message, 0).attempts) == (False, 0)


async def test_one_work_per_destination(box: Box, worker: WorkerNumber) -> None:
    message = a_message(
        a_recipient(destination="one.test"),
        a_recipient(destination="two.test"),
        a_recipient(destination="one.test"),
    )
    works = await box.put(message, worker=worker, leased=True)
    parts = {work.lease.destination: [one.number for one in work.recipients] for work in works}
    assert parts == {"one.test": [0, 2], "two.test": [1]}


async def test_the_same_address_twice_is_two_recipients(box: Box, worker: WorkerNumber) -> None:
    message = a_message("a@example.com", "a@example.com")
    (work,) = await box.put(message, worker=worker, leased=True)
    assert [one.number for one in work.recipients] == [0, 1]
    await box.store.settle(work.lease, [a_settlement(message.id, 1)])
    assert [box.row(message, number).status for number in (0, 1)] == [Status.QUEUED, Status.RELAYED]


async def test_mail_is_not_born_leased_while_its_destination_is_paused(
    box: Box, worker: WorkerNumber
) -> None:
    (work,) = await box.put(a_message(), worker=worker, leased=True)
    await box.store.release(work.lease, paused_until=box.clock.now() + timedelta(hours=1))
    message = a_message()
    assert await box.put(message, worker=worker, leased=True) == []
    assert not box.row(message).leased


async def test_a_born_lease_lasts_its_whole_time(box: Box, worker: WorkerNumber) -> None:
    """Taking more mail under a slot renews the slot."""
    await box.put(a_message(), worker=worker, leased=True)
    box.advance(ENDED - 2)
    await box.put(a_message(), worker=worker, leased=True)
    box.advance(ENDED - 2)
    assert await box.store.reap() == 0


async def test_born_leased_mail_takes_over_a_slot_whose_lease_ended(
    box: Box, worker: WorkerNumber, other: WorkerNumber
) -> None:
    first = a_message()
    (lost,) = await box.put(first, worker=worker, leased=True)
    box.advance(ENDED)
    (work,) = await box.put(a_message(), worker=other, leased=True)
    assert work.lease.epoch > lost.lease.epoch
    assert box.row(first).possible_duplicate
    with pytest.raises(LeaseLost):
        await box.store.settle(lost.lease, settlements_of(lost))


async def test_enqueue_cannot_be_cancelled(box: Box, worker: WorkerNumber) -> None:
    """Who waits may go; the commit goes on (S-04)."""
    message = a_message()
    box.store.enqueue(message, worker=worker, lease_for=None).cancel()
    await box.put(a_message(), worker=worker)
    assert box.row(message).status is Status.QUEUED
    assert await box.store.content(message.id) == CONTENT


@pytest.mark.parametrize("leased", [True, False], ids=["born leased", "claimed"])
async def test_work_carries_what_was_enqueued(
    box: Box, worker: WorkerNumber, *, leased: bool
) -> None:
    """Every field the deliverer needs survives, the null reverse-path and octets included."""
    content = b"Received: from x\r\nSubject: \xc3\xa9\r\n\r\n\x00\xff\x80\r\n"
    message = a_message(
        a_recipient('"A b"@Example.COM', parameters={"NOTIFY": "NEVER", "ORCPT": "rfc822;A+40b"}),
        reverse_path="",
        parameters={"BODY": "8BITMIME", "ENVID": "Q+2B1"},
        auth_user="kim",
        content=content,
        facts=a_facts(
            content[20:],
            message_id_header="<1@app.test>",
            tag="T 1",
            is_test=True,
            test_via="news",
            is_8bit=True,
            utf8_headers=True,
        ),
    )
    works = await box.put(message, worker=worker, leased=leased) or await box.claim(worker)
    (work,) = works
    queued = work.message
    assert (queued.id, queued.received_at) == (message.id, message.received_at)
    assert (queued.reverse_path, queued.parameters) == ("", message.parameters)
    assert queued.size == len(content)  # what goes over the wire, our trace header included
    assert (queued.message_id_header, queued.tag) == ("<1@app.test>", "T 1")
    assert (queued.account, queued.user) == ("login kim", "kim")
    assert queued.test_via == "news"
    assert queued.listener == message.client.listener
    assert (queued.is_test, queued.is_8bit, queued.utf8_headers) == (True, True, True)
    (recipient,) = work.recipients
    assert recipient.address == '"A b"@Example.COM'
    assert recipient.parameters.words() == {"NOTIFY": "NEVER", "ORCPT": "rfc822;A+40b"}
    assert (recipient.number, recipient.attempt, recipient.soft_failures) == (0, 1, 0)
    assert not recipient.possible_duplicate
    assert work.content in ((content,) if leased else (content, None))
    assert await box.store.content(message.id) == content


# --- claim


async def test_claim_of_nothing_is_empty(box: Box, worker: WorkerNumber) -> None:
    assert await box.claim(worker) == []


async def test_claim_takes_the_oldest_up_to_the_limit(box: Box, worker: WorkerNumber) -> None:
    """The limit counts recipients; a message may come in parts."""
    messages = []
    for _ in range(3):
        messages.append(a_message("a@example.com", "b@example.com", at=box.clock.now()))
        box.advance(1)
    for message in reversed(messages):
        await box.put(message, worker=worker)
    first = await box.claim(worker, limit=3)
    assert [(work.message.id, len(work.recipients)) for work in first] == [
        (messages[0].id, 2),
        (messages[1].id, 1),
    ]
    rest = await box.claim(worker, limit=3)
    assert [work.message.id for work in rest] == [messages[1].id, messages[2].id]
    assert await box.claim(worker, limit=3) == []


async def test_claim_limit_is_for_all_destinations_together(
    box: Box, worker: WorkerNumber, other: WorkerNumber
) -> None:
    """It counts recipients, and a slot is leased only with work to do: others take the rest."""
    for name in ("one.test", "two.test"):
        await box.put(a_message(*[a_recipient(destination=name)] * 2), worker=worker)
    (mine,) = await box.claim(worker, limit=2)
    (theirs,) = await box.claim(other)
    assert {mine.lease.destination, theirs.lease.destination} == {"one.test", "two.test"}


async def test_claim_takes_from_each_of_many_destinations_once(
    box: Box, worker: WorkerNumber
) -> None:
    """Also when more of them are due than are read at once, and one claimed from stays due."""
    names = [f"d{number}.test" for number in range(1100)]
    for _ in range(2):
        box.advance(1)
        recipients = [a_recipient(destination=name) for name in names]
        await box.put(a_message(*recipients, at=box.clock.now()), worker=worker)
    for _ in range(2):
        work = await box.store.claim(worker, limit=ALL, each=1, lease_for=LEASE)
        assert sorted(piece.lease.destination for piece in work) == sorted(names)
        assert sum(len(piece.recipients) for piece in work) == len(names)
    assert await box.claim(worker) == []


async def test_claim_counts_the_attempt(box: Box, worker: WorkerNumber) -> None:
    """S-07: the attempt is on record before anything is sent."""
    message = a_message()
    await box.put(message, worker=worker)
    (work,) = await box.claim(worker)
    assert work.recipients[0].attempt == 1
    assert (box.row(message).attempts, box.row(message).leased) == (1, True)


async def test_claim_waits_for_the_instant(box: Box, worker: WorkerNumber) -> None:
    """Due means that `next_attempt_at` is reached, to the millisecond."""
    message = a_message()
    (work,) = await box.put(message, worker=worker, leased=True)
    retry_at = box.clock.now() + timedelta(seconds=30)
    await box.store.settle(work.lease, settlements_of(work, a_deferral(retry_at)))
    assert box.row(message).next_attempt_at == retry_at
    box.advance(29.999)
    assert await box.claim(worker) == []
    box.advance(0.001)
    (again,) = await box.claim(worker)
    assert again.recipients[0].attempt == 2
    assert again.recipients[0].soft_failures == 1


async def test_claim_tells_when_the_dns_knew_no_mail_host(box: Box, worker: WorkerNumber) -> None:
    """Only if that was the last outcome; a reply that speaks of the domain is another matter."""
    message = a_message()
    (work,) = await box.put(message, worker=worker, leased=True)
    for category, code, is_told in (
        (Category.DNS_FAILURE, None, False),
        (Category.BAD_DOMAIN, None, True),
        (Category.BAD_DOMAIN, 450, False),
        (Category.BAD_DOMAIN, None, True),
        (Category.CONNECTION_FAILURE, None, False),
    ):
        seen_at = box.clock.now()
        deferral = a_deferral(seen_at + timedelta(hours=1), category=category)
        settlements = [replace(each, code=code) for each in settlements_of(work, deferral)]
        await box.store.settle(work.lease, settlements)
        await box.store.release(work.lease)
        box.advance(3600)
        (work,) = await box.claim(worker)
        assert work.recipients[0].no_mail_host_at == (seen_at if is_told else None)
    await box.store.settle(work.lease, settlements_of(work, Sent()))


async def test_slots_share_a_destination(
    box: Box, worker: WorkerNumber, other: WorkerNumber, third: WorkerNumber
) -> None:
    """As many workers as there are slots, one slot each."""
    for _ in range(3):
        await box.put(a_message(a_recipient(destination=WIDE)), worker=worker)
    (first,) = await box.claim(worker, limit=1)
    (second,) = await box.claim(other, limit=1)
    assert first.lease.slot != second.lease.slot
    assert await box.claim(third) == []
    (more,) = await box.claim(worker)
    assert more.lease == first.lease


async def test_claim_keeps_and_renews_the_workers_own_slot(box: Box, worker: WorkerNumber) -> None:
    (held,) = await box.put(a_message(), worker=worker, leased=True)
    await box.put(a_message(at=box.clock.now()), worker=worker)
    box.advance(ENDED - 2)
    (work,) = await box.claim(worker)
    assert work.lease == held.lease
    box.advance(ENDED - 2)
    assert await box.store.reap() == 0
    await box.store.settle(held.lease, settlements_of(held))


async def test_claim_takes_over_a_slot_whose_lease_ended(
    box: Box, worker: WorkerNumber, other: WorkerNumber
) -> None:
    """Nobody needs to reap first; all that the former owner had comes back, marked."""
    first, second = a_message(), a_message()
    (lost,) = await box.put(first, worker=worker, leased=True)
    await box.put(second, worker=worker)
    assert await box.claim(other) == []
    box.advance(ENDED)
    works = [*await box.claim(other), *await box.claim(other)]
    flags = {work.message.id: work.recipients[0].possible_duplicate for work in works}
    assert flags == {first.id: True, second.id: False}
    assert all(work.lease.epoch > lost.lease.epoch for work in works)
    with pytest.raises(LeaseLost):
        await box.store.settle(lost.lease, settlements_of(lost))


# --- extend


async def test_extend_renews_a_lease(box: Box, worker: WorkerNumber, other: WorkerNumber) -> None:
    (work,) = await box.put(a_message(), worker=worker, leased=True)
    box.advance(ENDED - 2)
    assert await box.store.extend([work.lease], worker=worker, lease_for=LEASE) == []
    box.advance(ENDED - 2)
    assert await box.claim(other) == []
    assert await box.store.reap() == 0


async def test_extend_names_the_leases_that_were_lost(
    box: Box, worker: WorkerNumber, other: WorkerNumber
) -> None:
    (reaped,) = await box.put(
        a_message(a_recipient(destination="one.test")), worker=worker, leased=True
    )
    box.advance(ENDED)
    await box.store.reap()
    (released,) = await box.put(
        a_message(a_recipient(destination="two.test")), worker=worker, leased=True
    )
    await box.store.release(released.lease)
    (kept,) = await box.put(
        a_message(a_recipient(destination="three.test")), worker=worker, leased=True
    )
    leases = [reaped.lease, released.lease, kept.lease]
    lost = await box.store.extend(leases, worker=worker, lease_for=LEASE)
    assert set(lost) == {reaped.lease, released.lease}
    assert await box.store.extend([kept.lease], worker=other, lease_for=LEASE) == [kept.lease]


async def test_a_late_extend_saves_a_slot_that_nobody_took(box: Box, worker: WorkerNumber) -> None:
    """Past its end a lease is lost only to somebody: fewer duplicates that way."""
    (work,) = await box.put(a_message(), worker=worker, leased=True)
    box.advance(ENDED)
    assert await box.store.extend([work.lease], worker=worker, lease_for=LEASE) == []
    assert await box.store.reap() == 0


# --- release


async def test_release_is_uncounted(box: Box, worker: WorkerNumber, other: WorkerNumber) -> None:
    """What was leased is due at once for anybody, as if it had not been taken."""
    message = a_message("a@example.com", "b@example.com")
    (work,) = await box.put(message, worker=worker, leased=True)
    await box.store.settle(work.lease, [a_settlement(message.id, 0)])
    box.advance(5)
    await box.store.release(work.lease)
    row = box.row(message, 1)
    assert (row.leased, row.attempts, row.possible_duplicate) == (False, 0, False)
    assert row.next_attempt_at == box.clock.now()
    assert box.row(message, 0).status is Status.RELAYED
    (again,) = await box.claim(other)
    assert [(one.number, one.attempt) for one in again.recipients] == [(1, 1)]
    assert again.lease.epoch > work.lease.epoch


async def test_a_pause_holds_until_its_instant(
    box: Box, worker: WorkerNumber, other: WorkerNumber
) -> None:
    message = a_message()
    (work,) = await box.put(message, worker=worker, leased=True)
    until = box.clock.now() + timedelta(minutes=10)
    await box.store.release(work.lease, paused_until=until)
    assert box.row(message).paused_until == until
    box.advance(599)
    assert await box.claim(worker) == []
    assert await box.claim(other) == []
    box.advance(1)
    assert len(await box.claim(other)) == 1


async def test_a_pause_can_be_ended(box: Box, worker: WorkerNumber) -> None:
    """What it waited for has come: the next claim finds what is due."""
    await box.store.resume("never.test")
    message = a_message()
    (work,) = await box.put(message, worker=worker, leased=True)
    until = box.clock.now() + timedelta(hours=1)
    await box.store.release(work.lease, paused_until=until, why="no login")
    assert await box.claim(worker) == []
    await box.store.resume(work.lease.destination)
    assert box.row(message).paused_until is None
    assert len(await box.claim(worker)) == 1


async def test_a_pause_survives_a_plain_release(
    box: Box, worker: WorkerNumber, other: WorkerNumber
) -> None:
    """One worker hands back; what another one said about the destination stands."""
    message = a_message(a_recipient(destination=WIDE))
    (mine,) = await box.put(message, worker=worker, leased=True)
    (theirs,) = await box.put(a_message(a_recipient(destination=WIDE)), worker=other, leased=True)
    await box.store.release(mine.lease, paused_until=box.clock.now() + timedelta(minutes=10))
    await box.store.release(theirs.lease)
    assert await box.claim(worker) == []


async def test_release_of_a_stale_lease_does_nothing(
    box: Box, worker: WorkerNumber, other: WorkerNumber
) -> None:
    message = a_message()
    (stale,) = await box.put(message, worker=worker, leased=True)
    box.advance(ENDED)
    await box.store.reap()
    (work,) = await box.claim(other)
    await box.store.release(stale.lease, paused_until=box.clock.now() + timedelta(days=1))
    row = box.row(message)
    assert (row.leased, row.attempts, row.paused_until) == (True, 2, None)
    await box.store.settle(work.lease, settlements_of(work))
    await box.store.release(Lease("never.test", 0, 1))


# --- settle


@pytest.mark.parametrize(
    ("outcome", "status"),
    [
        pytest.param(Relayed(), Status.RELAYED, id="relayed"),
        pytest.param(Sent(), Status.SENT, id="sent"),
        pytest.param(a_bounce(), Status.BOUNCED, id="hard"),
        pytest.param(a_bounce(BounceClass.SOFT), Status.BOUNCED, id="soft"),
    ],
)
async def test_a_final_outcome(
    box: Box, worker: WorkerNumber, outcome: Outcome, status: Status
) -> None:
    """It ends the recipient, frees it, and the content of a finished message is gone."""
    message = a_message()
    (work,) = await box.put(message, worker=worker, leased=True)
    box.advance(2)
    await box.store.settle(work.lease, settlements_of(work, outcome))
    row = box.row(message)
    assert (row.status, row.leased, row.attempts) == (status, False, 1)
    assert (row.next_attempt_at, row.updated_at) == (None, box.clock.now())
    assert await box.store.content(message.id) is None
    box.advance(ENDED)
    assert await box.store.reap() == 0
    assert await box.claim(worker) == []


async def test_a_bounce_keeps_its_reasons(box: Box, worker: WorkerNumber) -> None:
    message = a_message()
    (work,) = await box.put(message, worker=worker, leased=True)
    bounce = a_bounce(BounceClass.HARD, category=Category.BAD_MAILBOX, reason="no such user")
    settlement = a_settlement(
        message.id,
        outcome=bounce,
        code=550,
        enhanced="5.1.1",
        reply="5.1.1 who? \u2603",
        remote_host="mx1.test",
    )
    await box.store.settle(work.lease, [settlement])
    row = box.row(message)
    assert (row.code, row.enhanced, row.reply) == (550, "5.1.1", "5.1.1 who? \u2603")
    assert (row.bounce_class, row.category) == (BounceClass.HARD, Category.BAD_MAILBOX)
    assert (row.suppress, row.reason, row.remote_host) == (True, "no such user", "mx1.test")


async def test_a_deferral_is_tried_again(box: Box, worker: WorkerNumber) -> None:
    message = a_message()
    (work,) = await box.put(message, worker=worker, leased=True)
    deferral = a_deferral(soft_failures=3, category=Category.GREYLIST, reason="greylisted")
    await box.store.settle(work.lease, settlements_of(work, deferral))
    row = box.row(message)
    assert (row.status, row.leased, row.attempts) == (Status.DEFERRED, False, 1)
    assert (row.next_attempt_at, row.category) == (deferral.retry_at, Category.GREYLIST)
    assert (row.reason, row.code) == ("greylisted", 452)
    assert (row.bounce_class, row.suppress) == (None, False)
    assert await box.store.content(message.id) == message.content


async def test_what_is_due_next_is_told_by_a_claim_that_found_nothing(
    box: Box, worker: WorkerNumber
) -> None:
    """Or the store does not say it: then it is looked at each second."""
    assert not await box.claim(worker)
    assert box.store.next_due() in (None, math.inf)
    message = a_message()
    (work,) = await box.put(message, worker=worker, leased=True)
    retry_at = box.clock.now() + timedelta(minutes=5)
    await box.store.settle(work.lease, settlements_of(work, a_deferral(retry_at)))
    assert not await box.claim(worker)
    assert box.store.next_due() in (None, pytest.approx(300))
    box.clock.advance(timedelta(minutes=4))
    assert box.store.next_due() in (None, pytest.approx(60))
    box.clock.advance(timedelta(minutes=1))
    assert await box.claim(worker)
    assert box.store.next_due() is None


async def test_success_clears_the_reasons_of_earlier_failures(
    box: Box, worker: WorkerNumber
) -> None:
    message = a_message()
    (work,) = await box.put(message, worker=worker, leased=True)
    await box.store.settle(work.lease, settlements_of(work, a_deferral(box.clock.now())))
    (work,) = await box.claim(worker)
    await box.store.settle(work.lease, settlements_of(work))
    row = box.row(message)
    assert (row.status, row.category, row.reason, row.code) == (Status.RELAYED, None, None, 250)


async def test_possible_duplicate_sticks(box: Box, worker: WorkerNumber) -> None:
    """What may have been sent once stays so marked, whatever comes later (S-06)."""
    message = a_message()
    (work,) = await box.put(message, worker=worker, leased=True)
    now = box.clock.now()
    unknown = a_deferral(now, possible_duplicate=True)
    await box.store.settle(work.lease, settlements_of(work, unknown))
    (work,) = await box.claim(worker)
    assert work.recipients[0].possible_duplicate
    await box.store.settle(work.lease, settlements_of(work, unknown))
    (work,) = await box.claim(worker)
    assert work.recipients[0].unknown_outcomes == 2
    await box.store.settle(work.lease, settlements_of(work, a_deferral(now)))
    (work,) = await box.claim(worker)
    assert work.recipients[0].unknown_outcomes == 2
    await box.store.settle(work.lease, settlements_of(work))
    assert box.row(message).possible_duplicate


async def test_not_tried_counts_nothing(box: Box, worker: WorkerNumber) -> None:
    """The recipient is as before its attempt, due at once; the event stays in the history."""
    message = a_message()
    (work,) = await box.put(message, worker=worker, leased=True)
    await box.store.settle(work.lease, settlements_of(work, a_deferral(box.clock.now())))
    (work,) = await box.claim(worker)
    box.advance(3)
    await box.store.settle(work.lease, settlements_of(work, NotTried(reason="login refused")))
    row = box.row(message)
    assert (row.status, row.attempts, row.leased) == (Status.DEFERRED, 1, False)
    assert (row.next_attempt_at, row.reason) == (box.clock.now(), "mailbox full")
    assert [entry.kind for entry in box.later_history(message)] == ["deferred", "attempted"]
    (work,) = await box.claim(worker)
    assert (work.recipients[0].attempt, work.recipients[0].soft_failures) == (2, 1)


async def test_each_recipient_has_its_own_state(box: Box, worker: WorkerNumber) -> None:
    """S-08; the content stays while anybody waits for it."""
    message = a_message("a@example.com", "b@example.com", "c@example.com")
    (work,) = await box.put(message, worker=worker, leased=True)
    retry_at = box.clock.now() + timedelta(minutes=1)
    outcomes: list[Outcome] = [Relayed(), a_bounce(), a_deferral(retry_at)]
    settlements = [a_settlement(message.id, i, outcome) for i, outcome in enumerate(outcomes)]
    await box.store.settle(work.lease, settlements)
    assert [box.row(message, i).status for i in range(3)] == [
        Status.RELAYED,
        Status.BOUNCED,
        Status.DEFERRED,
    ]
    assert await box.store.content(message.id) == message.content
    box.advance(60)
    (last,) = await box.claim(worker)
    assert [one.number for one in last.recipients] == [2]
    await box.store.settle(last.lease, settlements_of(last))
    assert await box.store.content(message.id) is None


async def test_one_settle_for_many_messages(box: Box, worker: WorkerNumber) -> None:
    messages = [a_message(), a_message()]
    works = [work for one in messages for work in await box.put(one, worker=worker, leased=True)]
    assert works[0].lease == works[1].lease
    settlements = [one for work in works for one in settlements_of(work)]
    await box.store.settle(works[0].lease, settlements)
    assert [box.row(message).status for message in messages] == [Status.RELAYED] * 2


Loss = Callable[[Box, Work, WorkerNumber], Awaitable[None]]


async def _reaped(box: Box, _work: Work, _other: WorkerNumber) -> None:
    box.advance(ENDED)
    await box.store.reap()


async def _taken(box: Box, _work: Work, other: WorkerNumber) -> None:
    box.advance(ENDED)
    await box.store.reap()
    await box.claim(other)


async def _released(box: Box, work: Work, _other: WorkerNumber) -> None:
    await box.store.release(work.lease)


@pytest.mark.parametrize("lose", [_reaped, _taken, _released])
async def test_a_stale_lease_settles_nothing(
    box: Box, worker: WorkerNumber, other: WorkerNumber, lose: Loss
) -> None:
    """F-46: state, history and content are as they were."""
    message = a_message()
    (work,) = await box.put(message, worker=worker, leased=True)
    await lose(box, work, other)
    before = box.row(message)
    with pytest.raises(LeaseLost):
        await box.store.settle(work.lease, settlements_of(work))
    assert box.row(message) == before
    assert box.later_history(message) == []
    assert await box.store.content(message.id) == message.content


async def test_an_old_epoch_of_ones_own_slot_is_stale(box: Box, worker: WorkerNumber) -> None:
    message = a_message()
    (old,) = await box.put(message, worker=worker, leased=True)
    await box.store.release(old.lease)
    (new,) = await box.claim(worker)
    with pytest.raises(LeaseLost):
        await box.store.settle(old.lease, settlements_of(old))
    await box.store.settle(new.lease, settlements_of(new))


async def test_a_late_settle_counts_while_nobody_took_the_slot(
    box: Box, worker: WorkerNumber
) -> None:
    message = a_message()
    (work,) = await box.put(message, worker=worker, leased=True)
    box.advance(ENDED)
    await box.store.settle(work.lease, settlements_of(work))
    assert box.row(message).status is Status.RELAYED
    assert await box.store.reap() == 0


async def test_settling_twice_is_settling_once(box: Box, worker: WorkerNumber) -> None:
    """After CommitUnknown the same settlements may be given again."""
    message = a_message()
    (work,) = await box.put(message, worker=worker, leased=True)
    await box.store.settle(work.lease, settlements_of(work))
    await box.store.settle(work.lease, settlements_of(work, a_deferral()))
    assert box.row(message).status is Status.RELAYED
    assert [entry.kind for entry in box.later_history(message)] == ["relayed"]


async def test_settle_goes_on_without_its_caller(box: Box, worker: WorkerNumber) -> None:
    message = a_message()
    (work,) = await box.put(message, worker=worker, leased=True)
    box.store.settle(work.lease, settlements_of(work)).cancel()
    assert await box.store.settle(work.lease, settlements_of(work, a_deferral())) == []
    assert box.row(message).status is Status.RELAYED


# --- what is due, and reap


async def test_nothing_is_due_in_an_empty_queue(box: Box, worker: WorkerNumber) -> None:
    assert await box.claim(worker) == []


async def test_mail_is_due_by_its_retry_and_by_the_pause(box: Box, worker: WorkerNumber) -> None:
    """Whatever is later counts; what is leased is not due."""
    now = box.clock.now()
    works = {}
    for name, minutes in (("one.test", 7), ("two.test", 5)):
        message = a_message(a_recipient(destination=name))
        (work,) = await box.put(message, worker=worker, leased=True)
        works[name] = work
        retry_at = now + timedelta(minutes=minutes)
        await box.store.settle(work.lease, settlements_of(work, a_deferral(retry_at)))
    await box.store.release(works["two.test"].lease, paused_until=now + timedelta(minutes=30))
    box.advance(419)
    assert await box.claim(worker) == []
    box.advance(1)
    (due,) = await box.claim(worker)
    assert due.lease.destination == "one.test"
    box.advance(23 * 60 - 1)
    assert await box.claim(worker) == []
    box.advance(1)
    (due,) = await box.claim(worker)
    assert due.lease.destination == "two.test"


async def test_reap_frees_what_dead_workers_had(
    box: Box, worker: WorkerNumber, other: WorkerNumber
) -> None:
    """A worker that dies costs one lease time; each of its recipients comes back exactly once."""
    message = a_message("a@example.com", "b@example.com", "c@example.com")
    (work,) = await box.put(message, worker=worker, leased=True)
    await box.store.settle(work.lease, [a_settlement(message.id, 0)])
    box.advance(ENDED - 2)
    assert await box.store.reap() == 0
    box.advance(2)
    assert await box.store.reap() == 2
    assert await box.store.reap() == 0
    for number in (1, 2):
        row = box.row(message, number)
        assert (row.leased, row.possible_duplicate, row.attempts) == (False, True, 1)
        assert row.next_attempt_at == box.clock.now()
    assert not box.row(message, 0).possible_duplicate
    (again,) = await box.claim(other)
    assert [(one.number, one.attempt) for one in again.recipients] == [(1, 2), (2, 2)]
    assert again.lease.epoch > work.lease.epoch


# --- content and purge


async def test_content_of_an_unknown_message_is_none(box: Box) -> None:
    assert await box.store.content(a_message().id) is None


async def test_purge_deletes_old_finished_messages_only(box: Box, worker: WorkerNumber) -> None:
    """Unfinished mail is never deleted, however old; a message goes with its history."""
    done = a_message("a@example.com", at=box.clock.now())
    half = a_message("b@example.com", "c@example.com", at=box.clock.now())
    waiting = a_message("d@example.com", at=box.clock.now())
    (first,) = await box.put(done, worker=worker, leased=True)
    (second,) = await box.put(half, worker=worker, leased=True)
    await box.put(waiting, worker=worker)
    await box.store.settle(first.lease, settlements_of(first))
    await box.store.settle(second.lease, [a_settlement(half.id, 0)])
    assert await box.store.purge(box.clock.now()) == 0
    box.advance(3600)
    late = a_message("e@example.com", at=box.clock.now())
    (third,) = await box.put(late, worker=worker, leased=True)
    await box.store.settle(third.lease, settlements_of(third))
    assert await box.store.purge(box.clock.now() - timedelta(minutes=30)) == 1
    assert {row.message_id for row in box.rows()} == {half.id, waiting.id, late.id}
    assert box.view.history(done.id) == []
    assert await box.store.content(half.id) == half.content
    assert await box.store.purge(box.clock.now() - timedelta(minutes=30)) == 0


async def test_compacting_deletes_what_a_purge_would_and_nothing_else(
    box: Box, worker: WorkerNumber
) -> None:
    """Step by step, until nothing is left to do; mail that waits stays, with its content."""
    done = a_message("a@example.com", at=box.clock.now())
    waiting = a_message("b@example.com", at=box.clock.now())
    (work,) = await box.put(done, worker=worker, leased=True)
    await box.put(waiting, worker=worker)
    await box.store.settle(work.lease, settlements_of(work))
    assert (await box.store.compact(box.clock.now())).purged == 0
    box.advance(3600)
    step = await box.store.compact(box.clock.now())
    assert (step.purged, step.can_shrink) == (1, True)
    while step.purged or step.unused:
        step = await box.store.compact(box.clock.now())
    assert [row.message_id for row in box.rows()] == [waiting.id]
    assert await box.store.content(waiting.id) == waiting.content


async def test_purge_goes_by_the_last_update(box: Box, worker: WorkerNumber) -> None:
    """The history is kept from the end of a message on, not from its reception."""
    message = a_message(at=box.clock.now())
    (work,) = await box.put(message, worker=worker, leased=True)
    box.advance(50)
    await box.store.settle(work.lease, settlements_of(work))
    assert await box.store.purge(box.clock.now() - timedelta(seconds=10)) == 0
    box.advance(20)
    assert await box.store.purge(box.clock.now() - timedelta(seconds=10)) == 1
