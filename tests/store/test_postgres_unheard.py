"""Commits on PostgreSQL that nobody heard of, step by step: what is found out, and what is then written again."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import TypeVar

import asyncpg
import pytest

from relayd.errors import CommitUnknown, StoreFull, StoreUnavailable
from relayd.mail.envelope import NewMessage
from relayd.mail.operator import Action
from relayd.mail.outcome import Held, NoAttempt, NotTried, Outcome, Rerouted
from relayd.ports.queue import Settlement, Work
from relayd.ports.view import Query
from relayd.store.postgres import claims, content, destinations, leases, unknown
from relayd.store.postgres.arrivals import Arrival, Arrivals
from relayd.store.postgres.line import Operation, Session
from relayd.store.postgres.moment import Moment
from relayd.store.postgres.queue import PostgresStore
from relayd.store.postgres.settling import Results, Settling
from relayd.store.values import to_ms
from tests.support import postgres
from tests.support.builders import (
    SMARTHOST,
    a_bounce,
    a_message,
    a_recipient,
    a_settlement,
    settlements_of,
)
from tests.support.clock import START
from tests.support.two_workers import Two, two_workers
from tests.support.workers import registered

T = TypeVar("T")

pytestmark = postgres.needs_postgres

NOW = Moment(to_ms(START), 0)


@pytest.fixture
async def two(tmp_path: Path) -> AsyncIterator[Two]:
    async with two_workers(tmp_path) as opened:
        yield opened


def arrivals() -> Arrivals:
    return Arrivals(widths={}, moment=lambda: NOW, monotonic=lambda: 0.0)


def settling() -> Settling:
    return Settling(moment=lambda: NOW, keeps=False)


def mail(*recipients: str) -> NewMessage:
    return a_message(*(a_recipient(each) for each in recipients or ("a@x.test",)), at=START)


async def found(two: Two, arrival: Arrival) -> Sequence[Work]:
    told = await two.third.submit(lambda db: arrivals().happened(db, [arrival]))
    assert told is not None
    [works] = told
    assert not isinstance(works, Exception)
    return works


@pytest.mark.parametrize("claimed_by", ["worker", "other"])
async def test_an_enqueue_does_not_take_the_lease_of_a_claim_for_its_own(
    two: Two, claimed_by: str
) -> None:
    message = mail()
    arrival = Arrival(message, two.worker, None)
    await two.line.submit(lambda db: arrivals().write(db, [arrival]))
    other = await registered(two.box.store, "other")
    [work] = await two.box.claim(two.worker if claimed_by == "worker" else other)
    assert work.message.id == message.id
    assert await found(two, arrival) == []


async def test_an_enqueue_knows_its_own_lease(two: Two) -> None:
    arrival = Arrival(mail(), two.worker, 60_000)
    [works] = await two.line.submit(lambda db: arrivals().write(db, [arrival]))
    assert not isinstance(works, Exception)
    [work] = works
    assert [each.lease for each in await found(two, arrival)] == [work.lease]


async def leased(two: Two, message: NewMessage) -> Work:
    [work] = await two.box.put(message, worker=two.worker, leased=True)
    return work


async def write(two: Two, results: Results) -> Sequence[Settlement]:
    [written] = await two.line.submit(lambda db: settling().write(db, [results]), is_one=True)
    assert not isinstance(written, Exception)
    return written


async def release(db: Session) -> None:
    await db.execute("UPDATE queue SET state = 'queued'")
    await destinations.touch(db, {SMARTHOST: NOW.now})


@pytest.mark.parametrize("knows", [True, False])
@pytest.mark.parametrize(
    "outcome", [NotTried(reason="closing"), Held(), Rerouted(destination=SMARTHOST, chosen_by="")]
)
async def test_what_went_back_uncounted_does_not_go_back_twice(
    two: Two,
    outcome: Outcome | NoAttempt,
    knows: bool,  # noqa: FBT001 -- the control
) -> None:
    """It is leased again as the same attempt, of the same lease."""
    message = mail()
    work = await leased(two, message)
    one = Settlement(message_id=message.id, recipient=0, outcome=outcome, events=(), attempt=1)
    results = Results(work.lease, [one], ())
    assert await write(two, results) == [one]
    if isinstance(outcome, Held):  # and somebody releases it
        await two.line.submit(release)
    [again] = await two.box.claim(two.worker)
    assert (again.lease, again.recipients[0].attempt) == (work.lease, 1)
    if knows:
        assert await two.third.submit(lambda db: settling().happened(db, [results])) is None
    assert await write(two, results) == ([] if knows else [one])
    assert two.box.row(message).leased is knows


async def test_a_bounce_with_its_report_is_told_once_it_is_found(two: Two) -> None:
    message, report = mail(), a_message("sender@x.test", reverse_path="", at=START)
    work = await leased(two, message)
    results = Results(work.lease, settlements_of(work, a_bounce()), [report])
    assert await write(two, results) == results.settlements
    await two.third.submit(lambda db: settling().happened(db, [results]))
    assert await write(two, results) == results.settlements
    assert await two.line.submit(lambda db: db.value("SELECT count(*) FROM message")) == 2


@pytest.mark.parametrize("is_lost", [True, False])
async def test_who_settles_once_more_hears_of_all_that_was_written(
    two: Two,
    is_lost: bool,  # noqa: FBT001 -- the lease, meanwhile
) -> None:
    """The first time nobody knew, for longer than it is asked for; of its report there is still one."""
    message, report = mail("a@x.test", "b@x.test"), a_message("sender@x.test", at=START)
    work = await leased(two, message)
    relayed, bounced = settlements_of(work)[:1], settlements_of(work, a_bounce())[1:]
    for _ in range(2):
        results = Results(work.lease, [*relayed, *bounced], [report])
        assert await write(two, results) == results.settlements
        if is_lost:
            await two.line.submit(lambda db: leases.abandon(db, work.lease.slot, now=NOW.now))
    assert await two.line.submit(lambda db: db.value("SELECT count(*) FROM message")) == 2
    assert len(two.box.later_history(message)) == 2


@pytest.mark.parametrize("is_late_first", [True, False])
async def test_of_two_attempts_that_come_together_the_present_one_counts(
    two: Two,
    is_late_first: bool,  # noqa: FBT001
) -> None:
    """Results waited long for the store; meanwhile somebody held the recipient, and released it."""
    message = mail()
    work = await leased(two, message)
    for action in (Action.HOLD, Action.RELEASE):
        await two.box.store.act(Query(message_id=message.id), action, by="ann", reason="")
    [again] = await two.box.claim(two.worker)
    assert again.lease == work.lease
    results = [
        Results(work.lease, [replace(a_settlement(message.id, at=at), attempt=attempt)], ())
        for at, attempt in ((START, 1), (START + timedelta(seconds=1), 2))
    ]
    order = results if is_late_first else results[::-1]
    written = await two.line.submit(lambda db: settling().write(db, order), is_one=True)
    told = {id(one): each for one, each in zip(order, written, strict=True)}
    assert [told[id(one)] for one in results] == [[], results[1].settlements]
    assert [each.kind for each in two.box.later_history(message)].count("relayed") == 1


async def test_what_somebody_else_bounced_is_not_ours(two: Two) -> None:
    message, report = mail(), a_message("sender@x.test", reverse_path="", at=START)
    work = await leased(two, message)
    results = Results(work.lease, settlements_of(work, a_bounce()), [report])
    query = Query(message_id=message.id)
    await two.box.store.act(query, Action.BOUNCE, by="ann", reason="")
    await two.third.submit(lambda db: settling().happened(db, [results]))
    assert await write(two, results) == []
    assert await two.line.submit(lambda db: db.value("SELECT count(*) FROM message")) == 1


@pytest.mark.parametrize("is_begun", [True, False])
async def test_an_acceptance_is_told_only_where_it_stays(
    two: Two,
    is_begun: bool,  # noqa: FBT001 -- inside a transaction it is undone with all else
) -> None:
    message = mail()
    results = Results((await leased(two, message)).lease, [a_settlement(message.id)], ())
    tries = []

    async def operation(db: Session) -> None:
        if is_begun:
            await db.begin()
        await settling().write(db, [results])
        tries.append(await db.value("SELECT count(*) FROM queue"))
        if len(tries) == 1:
            raise asyncpg.DeadlockDetectedError

    await two.line.submit(operation, is_one=True)
    assert tries == [0, 0]
    assert await two.line.submit(lambda db: db.value("SELECT count(*) FROM queue")) == 0


@pytest.mark.parametrize("is_heard", [True, False])
async def test_content_is_deleted_though_the_connection_goes_behind_the_acceptances(
    two: Two,
    is_heard: bool,  # noqa: FBT001 -- or it went while they were written
) -> None:
    message = mail("a@x.test", "b@x.test")
    work = await leased(two, message)
    results = Results(work.lease, settlements_of(work), ())
    cut = Results(work.lease, settlements_of(work), ()) if not is_heard else results
    await two.line.submit(lambda db: settling()._write_accepted(db, [cut]), is_one=True)
    assert await two.box.store.content(message.id) is not None
    if not is_heard:
        await two.third.submit(lambda db: settling().happened(db, [results]))
    assert await write(two, results) == results.settlements
    assert await two.box.store.content(message.id) is None


async def test_content_that_a_dead_worker_left_is_swept(two: Two) -> None:
    message, waiting = mail("a@x.test", "b@x.test"), mail()
    work = await leased(two, message)
    await two.box.put(waiting, worker=two.worker)
    dead = Results(work.lease, settlements_of(work), ())
    await two.line.submit(lambda db: settling()._write_accepted(db, [dead]), is_one=True)
    assert await two.box.store.purge(START - timedelta(days=1)) == 0
    assert await two.box.store.content(message.id) is None
    assert await two.box.store.content(waiting.id) is not None
    assert await two.line.submit(lambda db: content.sweep(db, waiting.id)) is None


async def is_not_due(db: Session) -> None:
    """What a claim leaves that raised the due time, and did not see what came meanwhile."""
    await db.execute("UPDATE destination SET due_at = NULL")


@pytest.mark.parametrize("looks", [True, False])
async def test_mail_whose_commit_was_not_heard_of_is_due(
    two: Two,
    looks: bool,  # noqa: FBT001 -- the control
) -> None:
    arrival = Arrival(mail(), two.worker, None)
    await two.line.submit(lambda db: arrivals().write(db, [arrival]))
    await two.line.submit(is_not_due)
    if looks:
        await found(two, arrival)
        await two.third.submit(is_nothing)
    assert await two.claimed() == int(looks)


async def is_nothing(_db: Session) -> None:
    pass


@pytest.mark.parametrize("how", ["reap", "register", "nothing"])
async def test_a_lost_look_is_made_up_for(two: Two, how: str) -> None:
    """Its worker lives on, and reaps; or another one comes."""
    arrival = Arrival(mail(), two.worker, None)
    await two.line.submit(lambda db: arrivals().write(db, [arrival]))
    await two.line.submit(is_not_due)
    assert isinstance(two.box.store, PostgresStore)
    if how == "register":
        await registered(two.box.store, "other")
    elif how == "reap":
        two.box.store._lose_look()
    await two.box.store.reap()
    assert await two.claimed() == int(how != "nothing")


async def test_what_is_taken_back_is_taken_back_as_a_whole(two: Two) -> None:
    message = mail()
    await two.box.put(message, worker=two.worker)
    unheard = []

    async def claim(db: Session) -> None:
        unheard.append(await db.number())
        wanted = claims.Wanted(limit=9, each=None, but=(), only=None, lease_for=60_000)
        await claims.claim(db, two.worker, wanted, widths={}, at=NOW)

    async def cut(db: Session) -> None:
        await claims.take_back(db, unheard[0], two.worker, now=NOW.now)
        raise StoreUnavailable("cut")

    await two.third.submit(claim)
    with pytest.raises(StoreUnavailable, match="cut"):
        await two.third.submit(cut, is_one=True)
    assert two.box.row(message).leased


async def test_what_an_enqueue_leased_to_nobodys_knowledge_is_handed_back(two: Two) -> None:
    message, claimed = mail(), mail()
    first, second = Arrival(message, two.worker, 60_000), Arrival(claimed, two.worker, None)
    await two.line.submit(lambda db: arrivals().write(db, [first]))
    await two.line.submit(lambda db: arrivals().write(db, [second]))
    [in_hand] = await two.box.claim(two.worker)
    await two.third.submit(lambda db: arrivals().hand_back(db, [first, second]), is_one=True)
    [again] = await two.box.claim(two.worker)
    assert (again.message.id, again.recipients[0].attempt) == (message.id, 1)
    assert in_hand.message.id == claimed.id


async def test_what_was_given_up_is_seen_to_once_the_server_answers(
    two: Two, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []

    async def lose(db: Session) -> None:
        await db.value("SELECT pg_terminate_backend(pg_backend_pid())")

    async def away(_db: Session) -> None:
        raise StoreUnavailable("away")

    async def unheard(_db: Session) -> None:
        seen.append(1)

    monkeypatch.setattr(unknown.resolve, "__kwdefaults__", {"within": 0.0})
    with pytest.raises(CommitUnknown):
        await two.line.submit(lose, is_one=True, happened=away, unheard=unheard)
    assert not seen
    await two.line.submit(is_nothing)
    await two.line.close()
    assert seen == [1]


async def test_what_was_given_up_is_seen_to_though_no_mail_comes(
    two: Two, monkeypatch: pytest.MonkeyPatch
) -> None:
    is_seen = asyncio.Event()

    async def lose(db: Session) -> None:
        await db.value("SELECT pg_terminate_backend(pg_backend_pid())")

    async def away(_db: Session) -> None:
        raise StoreUnavailable("away")

    async def unheard(_db: Session) -> None:
        is_seen.set()

    store = two.box.store
    assert isinstance(store, PostgresStore)
    monkeypatch.setattr(unknown.resolve, "__kwdefaults__", {"within": 0.0})
    with pytest.raises(CommitUnknown):
        await store._arrivals.submit(lose, is_one=True, happened=away, unheard=unheard)
    await store.reap()
    async with asyncio.timeout(20):
        await is_seen.wait()


async def test_a_look_without_room_on_the_disk_is_repeated() -> None:
    """It does not say that the commit, which nobody knows of, was not made."""
    tries: list[int] = []

    async def look(_operation: Operation[T]) -> T:
        tries.append(1)
        raise StoreFull("no room")

    with pytest.raises(CommitUnknown):
        await unknown.resolve(look, (1, ""), None, within=0)
    assert tries == [1]
