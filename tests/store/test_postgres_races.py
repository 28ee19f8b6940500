"""Two workers on one PostgreSQL, statement by statement: what each of them has not committed, the other does not see.

Each schedule has a control: the same without the rule that makes it harmless.
"""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from relayd.mail.envelope import NewMessage
from relayd.mail.ids import WorkerNumber
from relayd.ports.queue import Lease, Work
from relayd.store.postgres import claims, destinations, leases, messages, outcomes
from relayd.store.postgres.line import Operation, Session
from relayd.store.postgres.moment import Moment
from relayd.store.postgres.queue import PostgresStore
from relayd.store.values import to_ms
from tests.support import postgres
from tests.support.builders import SMARTHOST, a_message, a_recipient, settlements_of
from tests.support.clock import START
from tests.support.two_workers import Two, somebody_waits, two_workers
from tests.support.workers import registered

pytestmark = postgres.needs_postgres

NOW = Moment(to_ms(START), 0)


@pytest.fixture
async def two(tmp_path: Path) -> AsyncIterator[Two]:
    async with two_workers(tmp_path) as opened:
        yield opened


def putting(message: NewMessage, *, looks_again: bool = True) -> Operation[object]:
    async def operation(db: Session) -> None:
        await messages.insert(db, message, {}, at=NOW)
        if not looks_again:
            db.afterwards.clear()

    return operation


def mail() -> NewMessage:
    return a_message("a@x.test", at=START)


@pytest.mark.parametrize("looks_again", [True, False])
async def test_mail_that_comes_while_a_claim_takes_the_last_is_due(
    two: Two,
    looks_again: bool,  # noqa: FBT001 -- the control
) -> None:
    """The claim sees no more mail and says so; the mail was there, and its commit came later."""
    await two.box.put(mail(), worker=two.worker)
    put = await two.begin(putting(mail(), looks_again=looks_again))
    assert await two.claimed() == 1  # nothing else is due, for all that it sees
    await two.end(*put)
    assert await two.claimed() == int(looks_again)


@pytest.mark.parametrize("looks_again", [True, False])
async def test_mail_that_is_committed_before_the_claim_is_due(
    two: Two,
    looks_again: bool,  # noqa: FBT001 -- the control
) -> None:
    """The other order: the mail was put when the destination was due anyhow, and the claim raised that."""
    await two.box.put(mail(), worker=two.worker)

    async def claim(db: Session) -> None:
        await db.execute(
            "UPDATE queue SET slot = 1, epoch = 1 WHERE slot IS NULL"
        )  # all that it sees
        await destinations.refresh(db, SMARTHOST)
        if not looks_again:
            db.afterwards.clear()

    claimed = await two.begin(claim)
    await two.third.submit(putting(mail(), looks_again=False))
    await two.end(*claimed)
    assert await two.claimed() == int(looks_again)


@pytest.mark.parametrize("locks", [True, False])
async def test_mail_that_is_put_under_a_slot_while_it_is_freed_is_found(
    two: Two,
    locks: bool,  # noqa: FBT001 -- the control
) -> None:
    [work] = await two.box.put(mail(), worker=two.worker, leased=True)
    given = {SMARTHOST: work.lease}

    async def put(db: Session) -> None:
        if locks:
            await messages.insert_many(db, [(mail(), given)], workers=[two.worker], at=NOW)
        else:
            await messages.insert(db, mail(), given, at=NOW)

    begun = await two.begin(put)
    released = asyncio.ensure_future(two.box.store.release(work.lease))
    await (somebody_waits() if locks else released)
    await two.end(*begun)
    await released
    assert await two.claimed() == 1 + locks
    assert await two.box.store.reap() == 1 - locks  # nothing stays out of sight for good
    assert await two.claimed() == 1 - locks


@pytest.mark.parametrize("has_one", [True, False])
async def test_who_keeps_its_slot_is_in_the_way_of_nobody(
    two: Two,
    has_one: bool,  # noqa: FBT001 -- the control
) -> None:
    """Who looks for one locks them all, as long as its transaction lasts."""
    other = await registered(two.box.store, "other")

    def keeping(worker: WorkerNumber) -> Operation[Lease | None]:
        return lambda db: leases.acquire(db, SMARTHOST, worker, width=3, at=NOW, lease_for=60_000)

    ours = await two.third.submit(keeping(two.worker))
    assert ours is not None
    if has_one:
        await two.third.submit(keeping(other))
    under_way = await two.begin(keeping(other))
    put = two.third.submit(
        lambda db: messages.insert_many(
            db, [(mail(), {SMARTHOST: ours})], workers=[two.worker], at=NOW
        )
    )
    await (put if has_one else somebody_waits())
    await two.end(*under_way)
    assert await put == [{SMARTHOST: ours}]
    keepers = [await two.third.submit(keeping(each)) for each in (two.worker, other)]
    assert len({each.slot for each in keepers if each is not None}) == 2


@pytest.mark.parametrize("locks", [True, False])
async def test_who_settles_the_last_two_recipients_at_once_deletes_the_content(
    two: Two,
    locks: bool,  # noqa: FBT001 -- the control
) -> None:
    message = a_message(
        a_recipient("a@x.test", destination="one"),
        a_recipient("b@x.test", destination="two"),
        at=START,
    )
    one, other = await two.box.put(message, worker=two.worker, leased=True)

    def settling(work: Work) -> Operation[object]:
        async def operation(db: Session) -> None:
            if locks:
                await outcomes.settle_all(db, work.lease, settlements_of(work), at=NOW)
            else:
                await db.execute("DELETE FROM queue WHERE destination = $1", work.lease.destination)
                await db.execute(_DROP)

        return operation

    begun = await two.begin(settling(one))
    settled = two.third.submit(settling(other))
    await (somebody_waits() if locks else settled)
    await two.end(*begun)
    await settled
    assert (await two.box.store.content(message.id) is None) is locks


_DROP = "DELETE FROM content c WHERE NOT EXISTS (SELECT 1 FROM queue q WHERE q.message_id = c.message_id)"


async def test_what_a_claim_leased_to_nobodys_knowledge_is_handed_back(two: Two) -> None:
    """S-55: its commit was not heard of, and only what it leased comes back, uncounted."""
    [in_hand] = await two.box.put(mail(), worker=two.worker, leased=True)
    message = mail()
    await two.box.put(message, worker=two.worker)
    unheard = []

    async def operation(db: Session) -> None:
        unheard.append(await db.number())
        wanted = claims.Wanted(limit=9, each=None, but=(), only=None, lease_for=60_000)
        await claims.claim(db, two.worker, wanted, widths={}, at=NOW)

    await two.third.submit(operation)
    assert two.box.row(message).leased
    await two.third.submit(lambda db: claims.take_back(db, unheard[0], two.worker, now=NOW.now))
    assert not two.box.row(message).leased
    [again] = await two.box.claim(two.worker)
    assert [each.attempt for each in again.recipients] == [1]
    assert again.message.id == message.id != in_hand.message.id


async def test_nobody_takes_a_lease_over_while_its_owner_could_not_renew_it(two: Two) -> None:
    """The store was away for longer than the lease, and comes back: the owner is as late as all others."""
    other = await registered(two.box.store, "other")
    await two.box.put(mail(), worker=two.worker, leased=True)
    await two.box.put(mail(), worker=two.worker)
    two.box.advance(61)
    assert isinstance(two.box.store, PostgresStore)
    two.box.store._reach.missed("away")
    two.box.store._reach.found()
    assert await two.box.claim(other) == []
    assert await two.box.store.reap() == 0
    two.box.advance(60)
    assert len(await two.box.claim(other)) == 2
