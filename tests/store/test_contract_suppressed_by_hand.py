"""What every store must do: suppressions have a life of their own, and people add and lift them."""

from datetime import timedelta

import pytest

from relayd.errors import LeaseLost
from relayd.mail.envelope import NewMessage
from relayd.mail.ids import WorkerNumber
from relayd.mail.operator import Action
from relayd.mail.outcome import Outcome
from relayd.mail.suppression import EVERYBODY, Suppression, ToSuppress
from relayd.mail.words import BounceClass, Category
from relayd.ports.view import Query, Status
from tests.support.builders import a_bounce, a_message, a_settlement
from tests.support.stores import ALL, Box

INACTIVE = a_bounce(BounceClass.BLOCK, category=Category.INACTIVE_MAILBOX)
REPLY = "550 5.1.1 no such user"


async def bounced(
    box: Box, worker: WorkerNumber, address: str, outcome: Outcome, reply: str | None = REPLY
) -> NewMessage:
    message = a_message(address, at=box.clock.now())
    [work] = await box.put(message, worker=worker, leased=True)
    settlement = a_settlement(message.id, 0, outcome, code=550, enhanced="5.1.1", reply=reply)
    await box.store.settle(work.lease, [settlement])
    return message


async def purge_all(box: Box) -> None:
    box.advance(3600)
    while await box.store.purge(box.clock.now()):
        pass
    assert box.rows() == []


async def by_hand(box: Box, *addresses: str, scope: str = EVERYBODY) -> list[bool]:
    wanted = [ToSuppress(address=each, scope=scope, reason="asked") for each in addresses]
    return list(await box.store.suppress(wanted, by="ann"))


async def test_a_suppression_outlives_its_message(box: Box, worker: WorkerNumber) -> None:
    """Row 1.9: a shorter history erased it."""
    await bounced(box, worker, "Gone@example.com", a_bounce())
    await purge_all(box)
    assert await box.is_suppressed("gone@example.com")
    assert await box.store.unsuppress("gone@example.com")
    assert not await box.is_suppressed("gone@example.com")


async def test_an_inactive_mailbox_is_counted_across_a_purge(
    box: Box, worker: WorkerNumber
) -> None:
    await bounced(box, worker, "a@example.com", INACTIVE)
    await purge_all(box)
    assert not await box.is_suppressed("a@example.com")
    assert box.view.suppressions(limit=ALL) == []
    await bounced(box, worker, "a@example.com", INACTIVE)
    assert await box.is_suppressed("a@example.com")


async def test_what_is_not_recorded_says_nothing(box: Box, worker: WorkerNumber) -> None:
    """Bounce and suppression are one commit: an operator was faster, or the lease is gone."""
    message = a_message("a@example.com", at=box.clock.now())
    [work] = await box.put(message, worker=worker, leased=True)
    settlement = a_settlement(message.id, 0, a_bounce())
    await box.store.act(Query(message_id=message.id), Action.HOLD, by="ann", reason="")
    assert await box.store.settle(work.lease, [settlement]) == []
    await box.store.release(work.lease)
    with pytest.raises(LeaseLost):
        await box.store.settle(work.lease, [settlement])
    assert not await box.is_suppressed("a@example.com")


async def test_it_is_told_who_suppressed_when_and_why(box: Box, worker: WorkerNumber) -> None:
    first = box.clock.now()
    message = await bounced(box, worker, "gone@example.com", a_bounce())
    box.advance(60)
    await bounced(box, worker, "gone@example.com", a_bounce(), reply="550 still gone")
    told = Suppression(address="gone@example.com", message_id=message.id, at=first, reason=REPLY)
    [row] = box.view.addresses(Query(recipient=("gone@example.com",)), limit=ALL)
    assert (row.suppressions, row.messages) == ((told,), 2)
    assert box.view.suppressions(limit=ALL) == [told]


async def test_without_a_reply_the_reason_is_told(box: Box, worker: WorkerNumber) -> None:
    await bounced(box, worker, "a@gone.test", a_bounce(reason="no such domain"), reply=None)
    [told] = box.view.suppressions(limit=ALL)
    assert told.reason == "no such domain"


async def test_a_person_suppresses_and_lifts(box: Box) -> None:
    box.advance(60)
    assert await by_hand(box, "Kim@Example.com", "b@example.com") == [True, True]
    assert await box.is_suppressed("kim@example.com", sender="app@app.test")
    told = Suppression(address="Kim@Example.com", by="ann", at=box.clock.now(), reason="asked")
    assert box.view.suppressions(limit=1) == [
        Suppression(address="b@example.com", by="ann", at=box.clock.now(), reason="asked")
    ]
    assert box.view.suppressions(after="B@example.com", limit=1) == [told]
    assert await box.store.unsuppress("kim@EXAMPLE.com")
    assert not await box.is_suppressed("kim@example.com")
    assert not await box.store.unsuppress("kim@example.com")
    assert await box.is_suppressed("b@example.com")


async def test_what_is_suppressed_already_stays_as_it_is(box: Box, worker: WorkerNumber) -> None:
    await bounced(box, worker, "gone@example.com", a_bounce())
    before = box.view.suppressions(limit=ALL)
    box.advance(60)
    assert await by_hand(box, "GONE@example.com", "new@example.com", "new@example.com") == [
        False,
        True,
        False,
    ]
    assert box.view.suppressions(limit=1) == before


async def test_a_person_may_mean_the_mail_of_one_sender(box: Box) -> None:
    assert await by_hand(box, "a@example.com", scope="App@app.test") == [True]
    assert await box.is_suppressed("a@example.com", sender="app@APP.test")
    assert not await box.is_suppressed("a@example.com", sender="shop@app.test")
    assert await by_hand(box, "a@example.com") == [True]
    assert await by_hand(box, "a@example.com", scope="shop@app.test") == [False]
    [row] = box.view.addresses(Query(), limit=ALL)
    assert (row.suppress, row.suppress_for) == (True, ())
    assert await box.store.unsuppress("a@example.com")
    assert box.view.suppressions(limit=ALL) == []


async def test_later_bounces_count_after_a_person_lifted_it(box: Box, worker: WorkerNumber) -> None:
    await by_hand(box, "a@example.com")
    await bounced(box, worker, "a@example.com", INACTIVE)
    assert await box.store.unsuppress("a@example.com")
    await bounced(box, worker, "a@example.com", INACTIVE)
    assert not await box.is_suppressed("a@example.com")
    await bounced(box, worker, "a@example.com", INACTIVE)
    assert await box.is_suppressed("a@example.com")


async def test_a_clock_that_was_set_back_forgives_nothing(box: Box, worker: WorkerNumber) -> None:
    """What is bounced after the lifting counts, whatever the wall clock says."""
    await bounced(box, worker, "a@example.com", a_bounce())
    assert await box.store.unsuppress("a@example.com")
    box.clock.jump(timedelta(hours=-1))
    await bounced(box, worker, "a@example.com", a_bounce())
    assert await box.is_suppressed("a@example.com")


@pytest.mark.parametrize(
    ("query", "found"),
    [
        (Query(), ["used@b.test", "a@a.test", "c@b.test"]),
        (Query(domain=("B.test",)), ["used@b.test", "c@b.test"]),
        (Query(recipient=("A@a.test",)), ["a@a.test"]),
        (Query(recipient=("x@a.test",)), []),
        (Query(recipient=("a@a.test",), domain=("b.test",)), []),
        (Query(recipient=("a@a.test",), domain=("A.test",)), ["a@a.test"]),
        (Query(status=(Status.BOUNCED,)), ["used@b.test"]),
        (Query(sender=("app@app.test",)), ["used@b.test"]),
    ],
)
async def test_addresses_without_mail_are_told_at_the_end(
    box: Box, worker: WorkerNumber, query: Query, found: list[str]
) -> None:
    await bounced(box, worker, "used@b.test", a_bounce())
    await by_hand(box, "c@b.test", "a@a.test")
    rows = box.view.addresses(query, limit=ALL)
    assert [row.address for row in rows] == found
    assert all(row.suppress for row in rows)
    assert [row.address for row in box.view.addresses(query, limit=1)] == found[:1]
    unused = [row for row in rows if row.address != "used@b.test"]
    assert {(row.messages, row.last_status, row.last_at) for row in unused} <= {(0, None, None)}


async def test_pages_tell_all_once(box: Box) -> None:
    addresses = sorted(f"u{number:03}@{domain}.test" for domain in "ab" for number in range(20))
    await by_hand(box, *reversed(addresses))
    await by_hand(box, "u005@b.test", scope="app@app.test")  # says nothing new
    for senders in ("app@app.test", "shop@app.test"):
        await by_hand(box, "two@c.test", scope=senders)
    told: list[Suppression] = []
    while page := box.view.suppressions(after=told[-1].address if told else "", limit=7):
        assert len(page) <= 8
        told += page
    assert len(told) == 42
    assert [each.address for each in told[:-2]] == sorted(
        addresses, key=lambda one: one.partition("@")[::-1]
    )
    assert [each.scope for each in told[-2:]] == ["app@app.test", "shop@app.test"]
    back: list[Suppression] = []
    ahead_of = "zzz@zzz.test"
    while page := box.view.suppressions(ahead_of=ahead_of, limit=7):
        assert len(page) <= 8
        back = [*page, *back]
        ahead_of = page[0].address
    assert back == told
