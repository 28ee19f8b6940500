"""What every store must do: which addresses their bounces speak against, and lifting that."""

from dataclasses import replace

import pytest

from relayd.mail.envelope import REPORT, NewMessage
from relayd.mail.ids import WorkerNumber
from relayd.mail.operator import Action
from relayd.mail.outcome import Outcome, Relayed
from relayd.mail.suppression import INACTIVE_BOUNCES
from relayd.mail.words import BounceClass, Category
from relayd.policy.verp import VerpToken
from relayd.ports.view import Query, Status
from tests.support.builders import a_bounce, a_deferral, a_message, settlements_of
from tests.support.stores import ALL, Box

HARD = a_bounce()
GONE_DOMAIN = a_bounce(category=Category.BAD_DOMAIN)
INACTIVE = a_bounce(BounceClass.BLOCK, category=Category.INACTIVE_MAILBOX)
BLOCKED = a_bounce(BounceClass.BLOCK, category=Category.POLICY)
FULL = a_bounce(BounceClass.SOFT, category=Category.MAILBOX_FULL)
WAITS = a_deferral(category=Category.INACTIVE_MAILBOX)
GOOD = Relayed()


async def settled(
    box: Box, worker: WorkerNumber, outcome: Outcome | Action, *addresses: str
) -> NewMessage:
    """One message, a minute after the last, with one outcome for all of it."""
    box.advance(60)
    message = a_message(*(addresses or ("a@example.com",)), at=box.clock.now())
    (work,) = await box.put(message, worker=worker, leased=True)
    if isinstance(outcome, Action):
        await box.store.act(Query(message_id=message.id), outcome, by="ann", reason="")
    else:
        await box.store.settle(work.lease, settlements_of(work, outcome))
    return message


async def is_suppressed(box: Box, address: str = "a@example.com") -> bool:
    """What the point read says; the list must say the same of every address."""
    rows = {row.address.lower(): row for row in box.view.addresses(Query(), limit=ALL)}
    for one in rows.values():
        assert one.suppress is await box.is_suppressed(one.address), one
    return await box.is_suppressed(address)


HISTORIES: dict[str, tuple[bool, list[Outcome | Action]]] = {
    "nothing": (False, []),
    "accepted": (False, [GOOD]),
    "no such mailbox": (True, [HARD]),
    "no such domain": (True, [GONE_DOMAIN]),
    "no proof": (False, [a_bounce(suppress=False)] * 3),
    "accepted since": (True, [HARD, GOOD]),
    "inactive once": (False, [INACTIVE]),
    "inactive twice": (True, [INACTIVE, INACTIVE]),
    "inactive twice, with others between": (True, [INACTIVE, GOOD, BLOCKED, INACTIVE]),
    "inactive, but not given up": (False, [INACTIVE, WAITS]),
    "full for long": (False, [FULL] * 4),
    "blocked for long": (False, [BLOCKED] * 4),
    "bounced by an operator": (False, [Action.BOUNCE] * 2),
    "dropped by an operator": (False, [INACTIVE, Action.DROP]),
}


@pytest.mark.parametrize(("suppressed", "history"), HISTORIES.values(), ids=HISTORIES)
async def test_what_suppresses_an_address(
    box: Box, worker: WorkerNumber, *, suppressed: bool, history: list[Outcome | Action]
) -> None:
    for outcome in history:
        await settled(box, worker, outcome)
    assert await is_suppressed(box) is suppressed


async def test_two_bounces_of_one_message_are_one(box: Box, worker: WorkerNumber) -> None:
    await settled(box, worker, INACTIVE, "a@example.com", "A@example.com")
    assert not await is_suppressed(box)
    await settled(box, worker, INACTIVE)
    assert await is_suppressed(box)


async def test_an_address_has_no_case_and_no_neighbours(box: Box, worker: WorkerNumber) -> None:
    await settled(box, worker, HARD, "A.User@Example.com")
    assert await is_suppressed(box, "a.user@EXAMPLE.com")
    for other in ("user@example.com", "a.user@example.org", "a.user", "%@example.com", ""):
        assert not await is_suppressed(box, other)


@pytest.mark.parametrize("history", [[HARD], [INACTIVE, INACTIVE], [HARD, INACTIVE, INACTIVE]])
async def test_lifting_lets_only_later_bounces_count(
    box: Box, worker: WorkerNumber, history: list[Outcome | Action]
) -> None:
    """Also those of the same instant are forgiven; the history itself stays."""
    for outcome in history:
        await settled(box, worker, outcome)
    before = box.view.addresses(Query(), limit=ALL)[0]
    assert await box.store.unsuppress("A@Example.com")
    assert not await is_suppressed(box)
    after = box.view.addresses(Query(), limit=ALL)[0]
    assert (after.hard_bounces, after.other_bounces) == (before.hard_bounces, before.other_bounces)
    await settled(box, worker, INACTIVE)
    assert not await is_suppressed(box)
    await settled(box, worker, INACTIVE)
    assert await is_suppressed(box)


async def test_it_can_be_lifted_again(box: Box, worker: WorkerNumber) -> None:
    for _ in range(2):
        await settled(box, worker, HARD)
        assert await is_suppressed(box)
        assert await box.store.unsuppress("a@example.com")
        assert not await is_suppressed(box)


async def test_what_is_not_suppressed_cannot_be_lifted(box: Box, worker: WorkerNumber) -> None:
    """And what counted so far goes on counting."""
    assert not await box.store.unsuppress("a@example.com")
    await settled(box, worker, INACTIVE)
    assert not await box.store.unsuppress("a@example.com")
    await settled(box, worker, INACTIVE)
    assert await is_suppressed(box)


async def test_lifting_one_address_lifts_no_other(box: Box, worker: WorkerNumber) -> None:
    await settled(box, worker, HARD, "a@example.com", "b@example.com")
    assert await box.store.unsuppress("a@example.com")
    assert await is_suppressed(box, "b@example.com")


async def own_mail(box: Box, worker: WorkerNumber, way: str) -> NewMessage:
    """A message that relayd itself sends to app@app.test, in each way that there is."""
    box.advance(60)
    message = a_message("gone@example.com", at=box.clock.now(), reverse_path="app@app.test")
    own = a_message("app@app.test", at=box.clock.now(), reverse_path="")
    own = replace(own, client=replace(own.client, listener=REPORT))
    [work] = await box.put(message, worker=worker, leased=True)
    match way:
        case "report":
            await box.store.settle(work.lease, settlements_of(work, a_bounce()), [own])
        case "report on what an operator bounced":
            await box.store.act(
                Query(message_id=message.id),
                Action.BOUNCE,
                by="ann",
                reason="",
                report=lambda *_: own,
            )
        case "bounce that is handed on":
            await box.store.settle(work.lease, settlements_of(work, GOOD))
            await box.store.note_late(VerpToken(message_id=message.id, recipient=0), None, own)
        case _:
            raise AssertionError(way)
    return own


@pytest.mark.parametrize(
    "way", ["report", "report on what an operator bounced", "bounce that is handed on"]
)
@pytest.mark.parametrize("outcome", [HARD, INACTIVE], ids=["hard", "inactive"])
async def test_mail_of_our_own_says_nothing_about_the_sender(
    box: Box, worker: WorkerNumber, way: str, outcome: Outcome
) -> None:
    """Nobody gave us that address to write to: an application may well send from one that takes no mail."""
    for _ in range(INACTIVE_BOUNCES):
        own = await own_mail(box, worker, way)
        [work] = [each for each in await box.claim(worker) if each.message.id == own.id]
        await box.store.settle(work.lease, settlements_of(work, outcome))
        assert box.row(own).status is Status.BOUNCED
    assert not await is_suppressed(box, "app@app.test")
    assert box.view.addresses(Query(recipient=("app@app.test",)), limit=ALL) == []
    assert not await box.store.unsuppress("app@app.test")
    await settled(box, worker, GOOD, "App@app.test")
    [row] = box.view.addresses(Query(recipient=("app@app.test",)), limit=ALL)
    assert (row.messages, row.hard_bounces, row.other_bounces) == (1, 0, 0)
    assert (row.address, row.last_status) == ("App@app.test", Status.RELAYED)
    await settled(box, worker, HARD, "app@app.test")
    assert await is_suppressed(box, "app@app.test")  # what a client sends there counts as ever
