"""What every store must do: the operator's verbs (S-20)."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

import pytest

from relayd.mail.content import Content
from relayd.mail.envelope import REPORT, Client, NewMessage, QueuedMessage, QueuedRecipient
from relayd.mail.ids import WorkerNumber
from relayd.mail.operator import Action
from relayd.mail.outcome import Outcome, Relayed, Sent
from relayd.mail.pause import Named, PauseRule, Scope, Side
from relayd.mail.words import BounceClass, Category
from relayd.policy.delivery.retry import LastRetry
from relayd.ports.queue import Acted, Batch, Foreseen, Work
from relayd.ports.view import HeldBy, Query, Status, Target
from relayd.store.memory.queue import MemoryStore
from tests.support.builders import (
    a_bounce,
    a_deferral,
    a_message,
    a_recipient,
    a_settlement,
    settlements_of,
)
from tests.support.stores import LEASE, Box
from tests.support.workers import registered

LAST = LastRetry(
    soft_failures=1,
    unknown_outcomes=1,
    age=timedelta(hours=1),
    report_age=timedelta(minutes=30),
)
RESULT = {
    Action.HOLD: Status.HELD,
    Action.RELEASE: Status.QUEUED,
    Action.EXPEDITE: Status.QUEUED,
    Action.BOUNCE: Status.BOUNCED,
    Action.DROP: Status.DROPPED,
}
# Which verbs take effect on a recipient that is ...
APPLICABLE = {
    "queued": {Action.HOLD, Action.EXPEDITE, Action.BOUNCE, Action.DROP},
    "leased": {Action.HOLD, Action.BOUNCE, Action.DROP},
    "held": {Action.RELEASE, Action.BOUNCE, Action.DROP},
    "relayed": set(),
    "sent": set(),
    "bounced": set(),
    "dropped": set(),
}
OUTCOMES: dict[str, Outcome] = {"relayed": Relayed(), "sent": Sent(), "bounced": a_bounce()}


async def act(box: Box, action: Action, message: NewMessage) -> int:
    """Carry out `action` on `message`; return how many recipients changed."""
    query = Query(message_id=message.id)
    return len((await box.store.act(query, action, by="ann", reason="because")).events)


async def bring_into(state: str, box: Box, worker: WorkerNumber) -> NewMessage:
    message = a_message()
    if state in ("queued", "held", "dropped"):
        await box.put(message, worker=worker)
    else:
        (work,) = await box.put(message, worker=worker, leased=True)
        if state in OUTCOMES:
            await box.store.settle(work.lease, settlements_of(work, OUTCOMES[state]))
    if state in ("held", "dropped"):
        await act(box, Action.HOLD if state == "held" else Action.DROP, message)
    return message


@pytest.mark.parametrize("action", Action)
@pytest.mark.parametrize("state", APPLICABLE)
async def test_a_verb_acts_where_it_applies(
    box: Box, worker: WorkerNumber, state: str, action: Action
) -> None:
    """Every state against every verb; where one does not apply, nothing at all changes."""
    message = await bring_into(state, box, worker)
    before = box.row(message)
    history = box.later_history(message)
    box.advance(1)
    changed = await act(box, action, message)
    row = box.row(message)
    if action in APPLICABLE[state]:
        assert changed == 1
        assert (row.status, row.leased) == (RESULT[action], False)
        assert row.updated_at == box.clock.now()
    else:
        assert changed == 0
        assert row == before
        assert box.later_history(message) == history


@pytest.mark.parametrize(
    ("action", "kind"),
    [
        (Action.HOLD, "held"),
        (Action.EXPEDITE, "expedited"),
        (Action.BOUNCE, "bounced"),
        (Action.DROP, "dropped"),
    ],
)
async def test_a_verb_is_on_record(
    box: Box, worker: WorkerNumber, action: Action, kind: str
) -> None:
    """Who, when, why: one event per recipient, returned and in the history alike (S-20)."""
    message = a_message("a@example.com", "b@example.com")
    await box.put(message, worker=worker)
    box.advance(7)
    query = Query(message_id=message.id)
    acted = await box.store.act(query, action, by="ann", reason="wrong list")
    events = acted.events
    entries = box.later_history(message)
    assert sorted(event.recipient for event in events) == [0, 1]
    assert sorted(entry.recipient for entry in entries) == [0, 1]
    told = [(one.kind.value, one.at, one.detail) for one in events]
    told += [(one.kind, one.at, one.detail) for one in entries]
    for name, at, detail in told:
        assert (name, at) == (kind, box.clock.now())
        assert (detail["by"], detail["reason"]) == ("ann", "wrong list")
        assert detail["status"] == RESULT[action].value


@pytest.mark.parametrize("action", [Action.HOLD, Action.EXPEDITE])
async def test_batches_reach_each_recipient_once(
    box: Box, worker: WorkerNumber, action: Action
) -> None:
    """Also by a verb that leaves them in the state that it looks for."""
    messages = [a_message("a@example.com", "b@example.com", "c@other.test") for _ in range(3)]
    for message in messages:
        await box.put(message, worker=worker)
    reached, before = [], None
    for _ in range(9):
        acted = await box.store.act(
            Query(domain=("example.com",)),
            action,
            by="ann",
            reason="",
            batch=Batch(limit=2, before=before),
        )
        assert len(acted.events) == acted.matched <= 2
        reached += [(event.message_id, event.recipient) for event in acted.events]
        before = acted.more
        if before is None:
            break
    assert sorted(reached) == sorted((each.id, number) for each in messages for number in (0, 1))


async def test_what_is_foreseen_is_what_happens(box: Box, worker: WorkerNumber) -> None:
    """And how many of those have used their last retry; counting changes nothing."""
    tired, fresh = a_message("a@example.com"), a_message("b@example.com")
    for message, leased in ((tired, True), (fresh, False)):
        for work in await box.put(message, worker=worker, leased=leased):
            retry_at = box.clock.now() + timedelta(minutes=5)
            await box.store.settle(
                work.lease, settlements_of(work, replace(a_deferral(retry_at), soft_failures=1))
            )
    selector = Query(domain=("example.com",))
    expected = {
        Action.HOLD: Foreseen(matched=2, changed=2, last_retry=1),
        Action.EXPEDITE: Foreseen(matched=2, changed=2, last_retry=1),
        Action.RELEASE: Foreseen(matched=2, changed=0, last_retry=0),
    }
    for action, foreseen in expected.items():
        before = [box.row(each) for each in (tired, fresh)]
        assert await box.store.foresee(selector, action, last=LAST) == foreseen
        assert [box.row(each) for each in (tired, fresh)] == before
        more = await box.store.foresee(selector, action, last=replace(LAST, soft_failures=2))
        assert more == replace(foreseen, last_retry=0)
    acted = await box.store.act(selector, Action.HOLD, by="ann", reason="")
    assert (acted.matched, len(acted.events), acted.more) == (2, 2, None)


async def test_who_has_used_the_last_retry(box: Box, worker: WorkerNumber) -> None:
    """By refusals, by missing answers, or by age, of which time that somebody stopped is no part."""
    refused, unknown, old, held, stopped, report, fresh = (
        a_message(a_recipient(f"a@{name}.test", destination=name))
        for name in ("refused", "unknown", "old", "held", "stopped", "report", "fresh")
    )
    report = replace(report, client=replace(report.client, listener=REPORT))
    later = box.clock.now() + timedelta(days=9)
    for message, outcome in (
        (refused, replace(a_deferral(later), soft_failures=1)),
        (unknown, replace(a_deferral(later), possible_duplicate=True)),
    ):
        for work in await box.put(message, worker=worker, leased=True):
            await box.store.settle(work.lease, settlements_of(work, outcome))
    for message in (old, held, stopped):
        await box.put(message, worker=worker)
    await act(box, Action.HOLD, held)
    rule = PauseRule(
        named=Named(Scope.DOMAIN, "stopped.test"),
        sides=frozenset({Side.DELIVERY}),
        since=box.clock.now(),
        until=None,
        by="ann",
        reason="",
    )
    await box.store.pause([rule])
    assert await box.claim(worker, only=["stopped"]) == []
    box.advance(1800)
    await box.put(report, worker=worker)
    box.advance(900)
    await box.put(fresh, worker=worker)
    box.advance(900)

    async def used(message: NewMessage) -> int:
        query = Query(message_id=message.id)
        counted = await box.store.foresee(query, Action.DROP, last=LAST)
        named = await box.store.foresee(query, Action.DROP, last=LAST, batch=Batch())
        assert counted.last_retry == named.last_retry
        return counted.last_retry

    every = (refused, unknown, old, held, stopped, report, fresh)
    assert [await used(each) for each in every] == [1, 1, 1, 0, 0, 1, 0]
    await act(box, Action.RELEASE, held)
    assert await used(held) == 0
    box.advance(3600)
    assert await used(held) == 1


@pytest.mark.parametrize("action", Action)
@pytest.mark.parametrize("limit", [1, 2, 99])
async def test_those_who_are_named_are_those_who_are_changed(
    box: Box, worker: WorkerNumber, action: Action, limit: int
) -> None:
    """Whatever they wait for, a part at a time; and naming them changes nothing."""
    held, leased, due = (
        a_message(f"a@{name}.test", f"b@{name}.test") for name in ("held", "leased", "due")
    )
    for message in (held, leased, due):
        await box.put(message, worker=worker, leased=message is leased)
    await act(box, Action.HOLD, held)
    named: list[Target] = []
    before = None
    for _ in range(9):
        foreseen = await box.store.foresee(
            Query(recipient=("a@held.test", "a@leased.test", "a@due.test", "b@due.test")),
            action,
            last=LAST,
            batch=Batch(limit=limit, before=before),
        )
        assert len(foreseen.targets) == foreseen.changed <= foreseen.matched <= max(limit, 2)
        named += foreseen.targets
        before = foreseen.more
        if before is None:
            break
    acted = await box.store.act(
        Query(recipient=("a@held.test", "a@leased.test", "a@due.test", "b@due.test")),
        action,
        by="ann",
        reason="",
    )
    changed = [
        Target(each.message_id, each.recipient, each.subject.address)
        for each in acted.events
        if each.subject is not None
    ]
    assert sorted(named) == sorted(changed)
    assert changed


async def test_who_holds_mail_and_why_is_in_its_row(box: Box, worker: WorkerNumber) -> None:
    """Of the last time; and of that recipient alone."""
    message = a_message("a@x.test", "b@x.test")
    await box.put(message, worker=worker)
    one = Query(message_id=message.id, recipient=("a@x.test",))
    for by, reason in (("ann", "a flood"), ("bob", "")):
        await box.store.act(one, Action.HOLD, by=by, reason=reason)
        held = {row.address: row.held for row in box.rows()}
        assert held == {"a@x.test": HeldBy(by, reason), "b@x.test": None}
        await box.store.act(one, Action.RELEASE, by="cid", reason="over")
        assert {row.held for row in box.rows()} == {None}


async def test_held_mail_is_not_tried_until_released(box: Box, worker: WorkerNumber) -> None:
    message = a_message()
    await box.put(message, worker=worker)
    await act(box, Action.HOLD, message)
    box.advance(100_000)
    assert await box.claim(worker) == []
    assert box.row(message).next_attempt_at is None
    assert await box.store.content(message.id) == message.content
    assert await act(box, Action.RELEASE, message) == 1
    assert box.row(message).next_attempt_at == box.clock.now()
    (work,) = await box.claim(worker)
    assert (work.recipients[0].attempt, work.recipients[0].possible_duplicate) == (1, False)
    kinds = [entry.kind for entry in box.later_history(message)]
    assert kinds == ["held", "released"]


async def test_a_deferred_recipient_is_due_when_released(box: Box, worker: WorkerNumber) -> None:
    """It stays deferred in people's eyes, and its failures still count."""
    message = a_message()
    (work,) = await box.put(message, worker=worker, leased=True)
    await box.store.settle(work.lease, settlements_of(work, a_deferral()))
    await act(box, Action.HOLD, message)
    await act(box, Action.RELEASE, message)
    assert box.row(message).status is Status.DEFERRED
    (work,) = await box.claim(worker)
    assert (work.recipients[0].attempt, work.recipients[0].soft_failures) == (2, 1)


async def test_an_operators_bounce_is_a_block(box: Box, worker: WorkerNumber) -> None:
    """The address is not to blame, so nothing suggests to suppress it."""
    message = a_message()
    (work,) = await box.put(message, worker=worker, leased=True)
    await box.store.settle(work.lease, settlements_of(work, a_deferral()))
    await box.store.act(Query(message_id=message.id), Action.BOUNCE, by="ann", reason="typo")
    row = box.row(message)
    assert (row.bounce_class, row.category) == (BounceClass.BLOCK, Category.POLICY)
    assert (row.reason, row.suppress, row.next_attempt_at) == ("typo", False, None)
    assert (row.code, row.enhanced, row.reply) == (None, None, None)


@pytest.mark.parametrize("action", [Action.BOUNCE, Action.DROP])
async def test_content_goes_with_the_last_recipient(
    box: Box, worker: WorkerNumber, action: Action
) -> None:
    message = a_message("a@example.com", "b@example.com")
    await box.put(message, worker=worker)
    await box.store.act(Query(recipient=("a@example.com",)), action, by="ann", reason="")
    assert await box.store.content(message.id) == message.content
    await box.store.act(Query(recipient=("b@example.com",)), action, by="ann", reason="")
    assert await box.store.content(message.id) is None
    assert await box.claim(worker) == []


async def test_expedite_makes_deferred_mail_due(box: Box, worker: WorkerNumber) -> None:
    message = a_message()
    (work,) = await box.put(message, worker=worker, leased=True)
    await box.store.settle(work.lease, settlements_of(work, a_deferral()))
    box.advance(1)
    assert await box.claim(worker) == []
    assert await act(box, Action.EXPEDITE, message) == 1
    assert box.row(message).status is Status.DEFERRED
    assert box.row(message).next_attempt_at == box.clock.now()
    (work,) = await box.claim(worker)
    assert work.recipients[0].attempt == 2


async def test_a_pause_says_why(box: Box, worker: WorkerNumber) -> None:
    """And a destination in hand is told from one that nobody has taken."""
    message = a_message()
    (work,) = await box.put(message, worker=worker, leased=True)
    assert (box.row(message).served, box.row(message).paused_for) == (True, "")
    until = box.clock.now() + timedelta(hours=1)
    await box.store.release(work.lease, paused_until=until, why="nobody is there")
    assert (box.row(message).served, box.row(message).paused_for) == (False, "nobody is there")
    await act(box, Action.EXPEDITE, message)
    assert box.row(message).paused_for == ""


async def test_a_destination_in_hand_says_what_it_waits_for(box: Box, worker: WorkerNumber) -> None:
    """Until that is over, and no longer than its owner has it."""
    message = a_message()
    (work,) = await box.put(message, worker=worker, leased=True)
    await box.store.remark(work.lease, "a greeting")
    assert box.row(message).paused_for == "a greeting"
    await box.store.remark(work.lease, "")
    assert box.row(message).paused_for == ""
    await box.store.remark(work.lease, "a greeting")
    await box.store.release(work.lease)
    await box.store.remark(work.lease, "too late")
    (again,) = await box.claim(worker)
    assert box.row(message).paused_for == ""
    until = box.clock.now() + timedelta(hours=1)
    await box.store.release(again.lease, paused_until=until, why="nobody is there")
    await box.store.remark(again.lease, "too late")
    assert box.row(message).paused_for == "nobody is there"


async def test_a_start_ends_all_pauses(box: Box, worker: WorkerNumber) -> None:
    """S-53: the login that was refused may be another one by now."""
    message = a_message()
    (work,) = await box.put(message, worker=worker, leased=True)
    until = box.clock.now() + timedelta(hours=1)
    await box.store.release(work.lease, paused_until=until, why="login refused")
    assert await box.claim(worker) == []
    again = await registered(box.store, "2")
    assert [work.message.id for work in await box.claim(again)] == [message.id]


async def test_expedite_lifts_a_pause(box: Box, worker: WorkerNumber) -> None:
    """Of the destinations of what it expedites, and of no others."""
    messages = [a_message(a_recipient(destination=name)) for name in ("one.test", "two.test")]
    for message in messages:
        (work,) = await box.put(message, worker=worker, leased=True)
        await box.store.release(work.lease, paused_until=box.clock.now() + timedelta(hours=1))
    assert await box.claim(worker) == []
    await act(box, Action.EXPEDITE, messages[0])
    assert box.row(messages[0]).paused_until is None
    assert [work.message.id for work in await box.claim(worker)] == [messages[0].id]
    assert box.row(messages[1]).paused_until is not None


async def test_expedite_leaves_a_running_attempt_alone(box: Box, worker: WorkerNumber) -> None:
    message = a_message()
    (work,) = await box.put(message, worker=worker, leased=True)
    assert await act(box, Action.EXPEDITE, message) == 0
    assert await box.claim(worker) == []
    await box.store.settle(work.lease, settlements_of(work))
    assert box.row(message).status is Status.RELAYED


async def leased_pair(box: Box, worker: WorkerNumber) -> tuple[NewMessage, Work]:
    message = a_message("a@example.com", "b@example.com")
    (work,) = await box.put(message, worker=worker, leased=True)
    return message, work


@pytest.mark.parametrize("action", [Action.HOLD, Action.BOUNCE, Action.DROP])
async def test_a_verb_takes_a_recipient_out_of_its_lease(
    box: Box, worker: WorkerNumber, action: Action
) -> None:
    """The settlement that comes later is ignored for it, events too, and kept for the others."""
    message, work = await leased_pair(box, worker)
    await box.store.act(Query(recipient=("a@example.com",)), action, by="ann", reason="")
    await box.store.settle(work.lease, settlements_of(work))
    assert box.row(message, 0).status is RESULT[action]
    assert box.row(message, 1).status is Status.RELAYED
    entries = {entry.recipient: entry.kind for entry in box.later_history(message)}
    assert entries == {0: RESULT[action].value, 1: "relayed"}


async def test_what_is_taken_from_an_attempt_may_have_been_sent(
    box: Box, worker: WorkerNumber
) -> None:
    """S-07: the attempt runs on and its outcome is not heard, so the next one may be a duplicate."""
    message, work = await leased_pair(box, worker)
    await box.store.act(Query(recipient=("a@example.com",)), Action.HOLD, by="ann", reason="")
    await act(box, Action.RELEASE, message)
    (again,) = await box.claim(worker)
    assert [(one.number, one.attempt) for one in again.recipients] == [(0, 2)]
    assert again.recipients[0].possible_duplicate
    await box.store.settle(work.lease, [a_settlement(message.id, 1)])
    assert not box.row(message, 1).possible_duplicate


async def test_an_attempt_that_was_called_off_does_not_speak_for_the_next(
    box: Box, worker: WorkerNumber
) -> None:
    """Held and released while it ran: the same worker tries again under the same lease."""
    message, work = await leased_pair(box, worker)
    await box.store.act(Query(recipient=("a@example.com",)), Action.HOLD, by="ann", reason="")
    await act(box, Action.RELEASE, message)
    (again,) = await box.claim(worker)
    assert again.lease == work.lease
    first = replace(a_settlement(message.id, 0, a_deferral()), attempt=1)
    assert await box.store.settle(work.lease, [first]) == []
    second = replace(a_settlement(message.id, 0), attempt=2)
    assert await box.store.settle(work.lease, [second]) == [second]
    assert box.row(message, 0).status is Status.RELAYED


async def test_what_is_taken_from_a_lease_is_not_reaped(box: Box, worker: WorkerNumber) -> None:
    """Neither the end of the lease nor its release brings back what an operator ended or holds."""
    message, work = await leased_pair(box, worker)
    await box.store.act(Query(recipient=("a@example.com",)), Action.HOLD, by="ann", reason="")
    box.advance(LEASE.total_seconds() + 1)
    assert await box.store.reap() == 1
    assert box.row(message, 0).status is Status.HELD
    (work,) = await box.claim(worker)
    await act(box, Action.DROP, message)
    await box.store.release(work.lease)
    assert [box.row(message, number).status for number in (0, 1)] == [Status.DROPPED] * 2
    assert await box.claim(worker) == []


async def test_a_verb_acts_on_what_matches_only(box: Box, worker: WorkerNumber) -> None:
    message = a_message("a@example.com", "B@Example.COM", "c@other.test")
    await box.put(message, worker=worker)
    acted = await box.store.act(
        Query(domain=("EXAMPLE.com",), sender=("app@APP.test",)), Action.HOLD, by="ann", reason=""
    )
    assert sorted(event.recipient for event in acted.events) == [0, 1]
    assert box.row(message, 2).status is Status.QUEUED


@pytest.mark.parametrize(
    "query",
    [
        pytest.param(Query(recipient=("",)), id="recipient"),
        pytest.param(Query(domain=("",)), id="domain"),
        pytest.param(Query(sender=("",)), id="sender"),
        pytest.param(Query(tag=("",)), id="tag"),
        pytest.param(Query(message_id_header=("",)), id="message_id_header"),
        pytest.param(Query(recipient=("@",)), id="recipient without its parts"),
        pytest.param(Query(recipient=("%@example.com",)), id="percent sign"),
        pytest.param(
            Query(recipient=("a@example.com",), domain=("other.test",)), id="contradiction"
        ),
    ],
)
async def test_an_empty_text_is_no_wildcard(box: Box, worker: WorkerNumber, query: Query) -> None:
    """A slip of the operator's must not drop the whole queue."""
    message = a_message("a@example.com", "b@other.test", tag="t", message_id_header="<1@app.test>")
    await box.put(message, worker=worker)
    assert await box.store.act(query, Action.DROP, by="ann", reason="") == Acted()
    assert box.row(message).status is Status.QUEUED


async def test_a_bounce_and_its_report_are_one_change(box: Box, worker: WorkerNumber) -> None:
    """S-11: whoever composes the report sees whom it is about; what it gives waits to be sent."""
    asked = a_recipient("a@example.com", parameters={"NOTIFY": "FAILURE"})
    message = a_message(asked, "b@example.com", "c@other.test")
    await box.put(message, worker=worker)
    told = a_message("app@app.test", reverse_path="")
    seen: list[object] = []

    def report(
        about: QueuedMessage, recipients: Sequence[QueuedRecipient], content: Content, reason: str
    ) -> NewMessage:
        seen.append((about.id, [one.address for one in recipients], content, reason))
        assert recipients[0].parameters.words() == {"NOTIFY": "FAILURE"}
        return told

    acted = await box.store.act(
        Query(domain=("example.com",)), Action.BOUNCE, by="ann", reason="no list", report=report
    )
    assert seen == [(message.id, ["a@example.com", "b@example.com"], message.content, "no list")]
    assert acted.reports == (told,)
    claimed = {work.message.id: work for work in await box.claim(worker)}
    assert set(claimed) == {message.id, told.id}
    assert [one.address for one in claimed[told.id].recipients] == ["app@app.test"]


@pytest.mark.parametrize("limit", [1, 2, 3, 4])
async def test_a_message_is_reported_once_however_the_batches_fall(
    box: Box, worker: WorkerNumber, limit: int
) -> None:
    """Those who match of one message are one thing to its sender."""
    for addresses in (["a1@x.test", "a2@x.test", "other@y.test", "a3@x.test"], ["b@x.test"]):
        await box.put(a_message(*addresses), worker=worker)
    seen: list[list[str]] = []

    def report(
        _: QueuedMessage, recipients: Sequence[QueuedRecipient], __: Content, ___: str
    ) -> NewMessage | None:
        seen.append([each.address for each in recipients])
        return None

    before, is_first = None, True
    while is_first or before is not None:
        batch = Batch(limit=limit, before=before)
        acted = await box.store.act(
            Query(domain=("x.test",)),
            Action.BOUNCE,
            by="ann",
            reason="",
            report=report,
            batch=batch,
        )
        before, is_first = acted.more, False
    assert sorted(seen) == [["a1@x.test", "a2@x.test", "a3@x.test"], ["b@x.test"]]


@pytest.mark.parametrize("leased", [True, False], ids=["under-way", "waiting"])
async def test_the_report_of_a_bounce_knows_of_an_attempt_under_way(
    box: Box, worker: WorkerNumber, *, leased: bool
) -> None:
    """It runs on, and may deliver (S-07): the sender reads that."""
    message = a_message("a@example.com")
    await box.put(message, worker=worker, leased=leased)
    seen: list[bool] = []

    def report(
        _: QueuedMessage, recipients: Sequence[QueuedRecipient], __: Content, ___: str
    ) -> NewMessage | None:
        seen.extend(one.possible_duplicate for one in recipients)
        return None

    await box.store.act(Query(), Action.BOUNCE, by="ann", reason="", report=report)
    assert seen == [leased]
    assert box.row(message).possible_duplicate is leased


@pytest.mark.parametrize("action", [Action.HOLD, Action.EXPEDITE, Action.DROP])
async def test_other_verbs_are_no_business_of_the_sender(
    box: Box, worker: WorkerNumber, action: Action
) -> None:
    message = a_message()
    await box.put(message, worker=worker)
    acted = await box.store.act(
        Query(message_id=message.id), action, by="ann", reason="", report=_nobody_may_ask
    )
    assert (len(acted.events), acted.reports) == (1, ())


async def test_without_its_report_mail_has_not_bounced(box: Box, worker: WorkerNumber) -> None:
    """S-11: when it cannot be composed, nothing has changed."""
    if isinstance(box.store, MemoryStore):
        pytest.skip("it cannot roll back")
    message = a_message()
    await box.put(message, worker=worker)
    query = Query(message_id=message.id)
    with pytest.raises(RuntimeError):
        await box.store.act(query, Action.BOUNCE, by="ann", reason="", report=_nobody_may_ask)
    assert box.row(message).status is Status.QUEUED


def _nobody_may_ask(*_: object) -> NewMessage | None:
    raise RuntimeError("asked for a report")


async def test_a_report_is_known_as_one(box: Box, worker: WorkerNumber) -> None:
    """S-09: it is given up sooner."""
    report = replace(a_message(), client=Client(ip="", helo="relay.test", listener=REPORT))
    message = a_message()
    await box.put(report, worker=worker)
    await box.put(message, worker=worker)
    known = {work.message.id: work.message.is_report for work in await box.claim(worker)}
    assert known == {report.id: True, message.id: False}
