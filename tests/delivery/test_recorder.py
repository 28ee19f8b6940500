"""What an attempt saw is judged, recorded, and only then logged; a sick store stops new attempts."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from relayd.deliverer.leases import LEASE_FOR
from relayd.deliverer.results import ResultStore
from relayd.errors import CommitUnknown, ContentLost, StoreBroken, StoreFull, StoreUnavailable
from relayd.mail.envelope import NewMessage
from relayd.mail.operator import Action
from relayd.mail.outcome import NotTried
from relayd.mail.words import BounceClass, Category, format_instant
from relayd.ports.queue import QueueStore, Work
from relayd.ports.view import Query, QueueView, Status
from relayd.store.memory.queue import MemoryStore
from relayd.store.sqlite.queue import SqliteStore
from relayd.store.sqlite.view import SqliteView
from tests.support.builders import a_deferral, a_message, a_recipient, settlements_of
from tests.support.clock import FakeClock
from tests.support.faulty_store import FaultyStore
from tests.support.post import Post, a_post, eventually
from tests.support.scripted_server import CLOSE, InTurn, Raw, ScriptedServer, Wait
from tests.support.scripted_server import Action as Says
from tests.support.workers import registered

LONG = "x" * 9000
Queue = tuple[QueueStore, QueueView, FakeClock]


@pytest.fixture(params=["memory", "sqlite"])
async def queue(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Queue]:
    clock, path = FakeClock(), str(tmp_path / "queue.db")
    if request.param == "memory":
        memory = MemoryStore(clock)
        yield memory, memory.view, clock
        return
    store = SqliteStore.open(path, clock=clock, slots={})
    view = SqliteView(path)
    yield store, view, clock
    view.close()
    await store.close()


@pytest.mark.parametrize(
    ("script", "status", "code", "kind"),
    [
        pytest.param({}, Status.RELAYED, 250, "relayed", id="taken"),
        pytest.param({"DOT": "251 yes"}, Status.RELAYED, 251, "relayed", id="251-at-the-dot"),
        pytest.param(
            {"RCPT": "550 5.1.1 no such user"}, Status.BOUNCED, 550, "bounced", id="hard-at-rcpt"
        ),
        pytest.param(
            {"DOT": "554 5.7.1 rejected as spam"}, Status.BOUNCED, 554, "bounced", id="at-the-dot"
        ),
        pytest.param(
            {"RCPT": "452 4.2.2 mailbox full"}, Status.DEFERRED, 452, "deferred", id="soft"
        ),
        pytest.param({"MAIL": "451 4.3.0 later"}, Status.DEFERRED, 451, "deferred", id="busy"),
        pytest.param({"MAIL": "421 4.3.2 bye"}, Status.DEFERRED, 421, "deferred", id="421"),
        pytest.param({"DATA": CLOSE}, Status.DEFERRED, None, "deferred", id="hung-up"),
        pytest.param({"DOT": CLOSE}, Status.DEFERRED, None, "deferred", id="lost-dot"),
    ],
)
async def test_every_outcome_reaches_store_and_log(
    queue: Queue, script: dict[str, Says], status: Status, code: int | None, kind: str
) -> None:
    async with ScriptedServer(script) as server, a_post(server.port, queue=queue) as post:
        message = await post.submit(a_message("a@x.test"))
        await post.settled()
        row = post.row(message)
        assert (row.status, row.code, row.leased) == (status, code, False)
        [(event, detail)] = post.events(message)
        assert event == kind
        assert detail.get("code") == code
        assert detail["attempt"] == 1
        assert detail["remote_port"] == server.port
        assert await post.store.content(message.id) == (
            None if status in (Status.RELAYED, Status.BOUNCED) else message.content
        )


async def test_each_recipient_has_an_outcome_of_its_own(queue: Queue) -> None:
    script: dict[str, Says] = {
        "RCPT TO:<bad@x.test>": "550 5.1.1 no such user",
        "RCPT TO:<full@x.test>": "452 4.2.2 mailbox full",
    }
    async with ScriptedServer(script) as server, a_post(server.port, queue=queue) as post:
        message = await post.submit(a_message("full@x.test", "bad@x.test", "good@x.test"))
        await post.settled()
        assert [post.row(message, number).status for number in range(3)] == [
            Status.DEFERRED,
            Status.BOUNCED,
            Status.RELAYED,
        ]
        assert [post.kinds(message, number) for number in range(3)] == [
            ["deferred"],
            ["bounced"],
            ["relayed"],
        ]
        assert post.row(message, 1).bounce_class is BounceClass.HARD
        assert post.row(message, 1).suppress


async def test_only_the_deferred_ones_are_tried_again() -> None:
    """S-08, S-09: one more try after a soft bounce, then it is final."""
    script: dict[str, Says] = {"RCPT TO:<full@x.test>": "452 4.2.2 mailbox full"}
    async with ScriptedServer(script) as server, a_post(server.port) as post:
        message = await post.submit(a_message("full@x.test", "good@x.test"))
        await post.settled()
        post.advance(timedelta(minutes=16))
        await eventually(lambda: post.row(message).status is Status.BOUNCED)
        assert post.row(message).bounce_class is BounceClass.SOFT
        assert post.row(message).attempts == 2
        assert post.kinds(message) == ["deferred", "bounced"]
        assert post.kinds(message, 1) == ["relayed"]
        assert len(server.messages) == 1


@pytest.mark.parametrize("reply", [CLOSE, Raw(b"2500 what\r\n"), ("421 bye", CLOSE)])
async def test_a_lost_answer_to_the_dot_marks_a_possible_duplicate(reply: Says) -> None:
    """S-06: the message may have been taken; only a lost answer says so."""
    async with (
        ScriptedServer({"DOT": InTurn(reply, "250 ok")}) as server,
        a_post(server.port) as post,
    ):
        message = await post.submit(a_message("a@x.test"))
        await post.settled()
        lost = reply != ("421 bye", CLOSE)
        assert post.row(message).status is Status.DEFERRED
        assert post.row(message).possible_duplicate is lost
        assert post.events(message)[0][1].get("possible_duplicate", False) is lost
        assert server.connections == 1, "no other host, no other connection in this attempt"
        post.advance(timedelta(minutes=6))
        await eventually(lambda: post.row(message).status is Status.RELAYED)
        assert post.row(message).possible_duplicate is lost


async def _attempted(post: Post, message: NewMessage, attempts: int) -> None:
    await eventually(lambda: len(post.kinds(message)) == attempts)


async def test_an_outcome_that_stays_unknown_is_tried_three_times() -> None:
    """S-06: then the sender reads that it may have arrived, and not that the address is wrong."""
    async with (
        ScriptedServer({"DOT": CLOSE}) as server,
        a_post(server.port, reports=True) as post,
    ):
        message = await post.submit(a_message("a@x.test"))
        for attempts in (1, 2, 3):
            await _attempted(post, message, attempts)
            post.advance(timedelta(minutes=40))
        await eventually(lambda: post.row(message).status is Status.BOUNCED)
        row = post.row(message)
        assert post.kinds(message) == ["deferred", "deferred", "bounced"]
        assert (row.bounce_class, row.category) == (BounceClass.SOFT, Category.CONNECTION_FAILURE)
        assert row.possible_duplicate
        assert post.events(message)[-1][1]["possible_duplicate"] is True
        [report] = [one for one in post.rows() if one.message_id != message.id]
        copies = server.dialog.count("DATA")
        assert copies >= 3
        assert report.reverse_path == ""


@pytest.mark.parametrize("error", [StoreUnavailable("the disk is gone"), StoreFull("no room")])
async def test_no_attempt_starts_while_results_cannot_be_recorded(
    error: StoreUnavailable | StoreFull,
) -> None:
    """S-52, F-12."""
    store = FaultyStore(FakeClock())
    store.fail("settle", error=error)
    async with ScriptedServer() as server, a_post(server.port, store=store) as post:
        first = await post.submit(a_message("first@x.test"))
        with capture_logs() as logs:
            await eventually(lambda: store.calls["settle"] == 1)
            later = [await post.submit(a_message("later@x.test")) for _ in range(5)]
            await eventually(lambda: store.calls["settle"] == 2, "it keeps trying")
            assert len(server.messages) == 1
            assert post.sink.noted == []
            store.heal("settle")
            await post.settled()
        assert post.kinds(first) == ["relayed"]
        assert [post.row(message).status for message in later] == [Status.RELAYED] * 5
        assert len(server.messages) == 6, "nothing was sent twice"
        events = [(line["event"], line["log_level"]) for line in logs]
        assert events == [("deliveries_paused", "critical"), ("deliveries_resumed", "info")]


@pytest.mark.parametrize("verb", ["settle", "claim"])
async def test_an_unknown_commit_ends_nothing(verb: str) -> None:
    """S-55: what it was for is asked for again, and the others are delivered meanwhile."""
    store = FaultyStore(FakeClock())
    async with ScriptedServer() as server, a_post(server.port, store=store) as post:
        store.fail(verb, times=2, error=CommitUnknown("who knows"))
        messages = [await post.submit(a_message("a@x.test"), leased=False) for _ in range(3)]
        post.scheduler.wake()
        await post.settled()
        assert [post.row(message).status for message in messages] == [Status.RELAYED] * 3
        assert len(server.messages) == 3, "nothing was sent twice"


async def test_a_result_that_was_recorded_after_all_is_recorded_once() -> None:
    """S-55: the commit happened and nobody knew. It is given again, and changes nothing."""
    store = FaultyStore(FakeClock())
    script: dict[str, Says] = {"RCPT": "550 5.1.1 no such user"}
    async with (
        ScriptedServer(script) as server,
        a_post(server.port, store=store, reports=True) as post,
    ):
        store.forget_answer("settle")
        message = await post.submit(a_message("a@x.test"))
        await eventually(lambda: store.calls["settle"] >= 2, "it is asked for again")
        await eventually(lambda: not post.row(message).leased)
        assert post.row(message).status is Status.BOUNCED
        history = [entry.kind for entry in post.view.history(message.id)]
        assert history == ["received", "bounced"]
        reports = [row for row in post.rows() if row.message_id != message.id]
        assert len(reports) == 1, "one report, whoever knew of it"


async def test_what_was_put_back_after_all_is_not_put_back_again() -> None:
    """S-55: it may be leased again by then, as the same attempt, and under way."""
    store = FaultyStore(FakeClock())
    worker = await registered(store, "1")
    message = a_message("a@x.test")
    [work] = await store.enqueue(message, worker=worker, lease_for=LEASE_FOR)
    store.forget_answer("settle")
    refused = NotTried(reason="the login is refused")
    put_back = [replace(each, attempt=1) for each in settlements_of(work, refused)]
    settling = asyncio.ensure_future(
        ResultStore(store, FakeClock(), retry_after=0.05).settle(work, put_back)
    )
    await eventually(lambda: store.calls["settle"])
    [again] = await store.claim(worker, limit=10, lease_for=LEASE_FOR)
    assert (again.lease, again.recipients[0].attempt) == (work.lease, 1)
    assert await settling == []
    [row] = store.view.find(Query(message_id=message.id), limit=10)
    assert row.leased, "it is being sent"


async def test_a_wait_that_is_stored_late_is_as_long_though_the_clock_was_set_back() -> None:
    """F-31: a store that was away for long gets the result that was made before."""
    store = FaultyStore(FakeClock())
    worker = await registered(store, "1")
    message = a_message("a@x.test")
    [work] = await store.enqueue(message, worker=worker, lease_for=LEASE_FOR)
    clock, wait = store._clock, timedelta(minutes=15)
    assert isinstance(clock, FakeClock)
    deferred = a_deferral(clock.now() + wait)
    store.fail("settle", times=2)
    results = ResultStore(store, clock, retry_after=0.01)
    settling = asyncio.ensure_future(results.settle(work, settlements_of(work, deferred)))
    await eventually(lambda: store.calls["settle"])
    clock.jump(-timedelta(days=1))
    [written] = await settling or ()
    [row] = store.view.find(Query(message_id=message.id), limit=10)
    assert row.next_attempt_at == clock.now() + wait
    told = written.events[-1].detail["next_attempt_at"]
    assert told == format_instant(clock.now() + wait)


async def test_a_broken_store_ends_the_worker() -> None:
    """HQ-03: the negative of the above. Nothing may be promised by this process any more."""
    store = FaultyStore(FakeClock())
    worker = await registered(store, "1")
    [work] = await store.enqueue(a_message("a@x.test"), worker=worker, lease_for=LEASE_FOR)
    store.fail("settle", error=StoreBroken("the disk"))
    with pytest.raises(StoreBroken):
        await ResultStore(store, FakeClock(), retry_after=0.05).settle(work, [])


async def test_all_connections_wait_for_a_sick_store() -> None:
    store = FaultyStore(FakeClock())
    async with (
        ScriptedServer() as server,
        a_post(server.port, store=store, connections=3) as post,
    ):
        await post.submit(a_message("proof@x.test"))
        await post.settled()
        store.fail("settle")
        for _ in range(20):
            await post.submit(a_message("a@x.test"), leased=True)
        await eventually(lambda: store.calls["settle"] >= 4)
        sent = len(server.messages)
        assert sent <= 4
        await eventually(lambda: store.calls["settle"] >= 7, "every connection tries again")
        assert len(server.messages) == sent
        store.heal("settle")
        await post.settled()
        assert len(server.messages) == 21


async def test_content_that_cannot_be_read_waits_for_the_store() -> None:
    """The store cannot be read for a while: nothing is lost, nothing counts, nobody crashes.

    One line tells of it, however many wait and however often they try; the next time, another.
    """
    store = FaultyStore(FakeClock())
    async with ScriptedServer() as server, a_post(server.port, store=store, connections=2) as post:
        with capture_logs() as logs:
            for _ in range(2):
                store.fail("content", times=3)
                messages = [await post.submit(a_message("a@x.test")) for _ in range(4)]
                await post.settled()
                for message in messages:
                    row = post.row(message)
                    assert (row.status, row.attempts) == (Status.RELAYED, 1)
        assert [line["event"] for line in logs] == ["content_not_read"] * 2


async def test_a_message_without_its_content_does_not_stop_the_others() -> None:
    """A queue file that was restored without its directory: it waits as for a dead server."""
    store = FaultyStore(FakeClock())
    store.fail("content", times=1, error=ContentLost("its file is missing"))
    async with ScriptedServer() as server, a_post(server.port, store=store, connections=1) as post:
        lost = await post.submit(a_message("a@x.test"))
        await post.settled(lost)
        other = await post.submit(a_message("b@x.test"))
        await post.settled(other)
        assert post.row(other).status is Status.RELAYED
        row = post.row(lost)
        assert (row.status, row.reason) == (Status.DEFERRED, "its file is missing")
        assert not row.possible_duplicate
        [(kind, detail)] = post.events(lost)
        assert (kind, detail["fault"], detail["attempt"]) == ("deferred", "local", 1)
        post.advance(timedelta(minutes=7))
        await eventually(lambda: post.row(lost).status is Status.RELAYED, "when it is there again")


@dataclass(frozen=True, slots=True)
class Torn:
    """Content of 300,000 octets of which some cannot be read."""

    missing: range

    def __len__(self) -> int:
        return 300_000

    def __getitem__(self, part: "slice[int | None, int | None, None]", /) -> bytes:
        start, stop, _ = part.indices(len(self))
        if start < self.missing.stop and self.missing.start < stop:
            raise ContentLost("its file is shorter than it was")
        return b"x" * (stop - start)


@pytest.mark.parametrize("missing", [range(150_000, 160_000), range(299_000, 300_000)])
async def test_content_that_cannot_be_read_is_deferred_without_a_doubt(missing: range) -> None:
    """Whether in the middle or before the first command: the final dot never left."""
    async with ScriptedServer() as server, a_post(server.port, connections=1) as post:
        torn = await post.submit(a_message("a@x.test", content=Torn(missing)))
        await post.settled(torn)
        row = post.row(torn)
        assert (row.status, row.reason) == (Status.DEFERRED, "its file is shorter than it was")
        assert row.remote_host is None
        assert not row.possible_duplicate
        _, detail = post.events(torn)[-1]
        assert detail["fault"] == "local"
        assert "remote_host" not in detail
        other = await post.submit(a_message("b@x.test"))
        await post.settled(other)
        assert post.row(other).status is Status.RELAYED
        assert len(server.messages) == 1


async def test_that_content_can_be_read_does_not_end_the_pause() -> None:
    """S-52: a full disk can be read from."""
    store = FaultyStore(FakeClock())
    async with (
        ScriptedServer() as server,
        a_post(server.port, store=store, connections=3) as post,
    ):
        await post.submit(a_message("proof@x.test"))
        await post.settled()
        gate = store.hold("content")
        store.fail("settle")
        await post.submit(a_message("to-be-read@x.test"))
        await eventually(lambda: store.calls["content"] == 2)
        await post.submit(a_message("at-hand@x.test"), leased=True)
        await eventually(lambda: store.calls["settle"] >= 2)
        await post.submit(a_message("waits@x.test"), leased=True)
        gate.set()
        failed = store.calls["settle"]
        await eventually(lambda: store.calls["settle"] >= failed + 2, "it tries again")
        assert len(server.messages) == 2
        store.heal("settle")
        await post.settled()
        assert len(server.messages) == 4


async def test_deliveries_go_on_when_a_sick_store_comes_back_without_the_lease() -> None:
    store = FaultyStore(FakeClock())
    store.fail("settle", times=1)
    async with ScriptedServer() as server, a_post(server.port, store=store) as post:
        await post.submit(a_message("a@x.test"))
        with capture_logs() as logs:
            await eventually(lambda: store.calls["settle"] == 1)
            taken = await take_over(post)
            await eventually(lambda: logs[-1]["event"] == "result_discarded")
            assert "deliveries_resumed" in [line["event"] for line in logs]
        await post.store.release(taken[0].lease)
        post.scheduler.wake()
        await eventually(lambda: post.rows()[0].status is Status.RELAYED)


async def take_over(post: Post) -> Sequence[Work]:
    """Let the lease end and another worker take the slot."""
    post.clock.advance(timedelta(seconds=61))
    other = await registered(post.store, "2")
    await post.store.reap()
    return await post.store.claim(other, limit=100, lease_for=timedelta(hours=1))


async def test_after_a_nap_a_worker_asks_for_its_lease_before_it_sends() -> None:
    """F-25, F-46: what it had in hand is somebody else's by now."""
    async with ScriptedServer() as server, a_post(server.port) as post:
        await post.submit(a_message("proof@x.test"))
        await post.settled()
        message = a_message("a@x.test")
        [work] = await post.store.enqueue(message, worker=post.worker, lease_for=LEASE_FOR)
        await take_over(post)
        with capture_logs() as logs:
            post.scheduler.put(work)
            await eventually(lambda: post.scheduler._window.load.messages == 0)
        assert len(server.messages) == 1
        assert [line["event"] for line in logs] == ["lease_lost"]


async def test_a_lease_that_ended_and_was_not_taken_is_as_good_as_ever() -> None:
    async with ScriptedServer() as server, a_post(server.port) as post:
        await post.submit(a_message("proof@x.test"))
        await post.settled()
        post.clock.advance(timedelta(hours=1))
        message = await post.submit(a_message("a@x.test"), leased=True)
        await post.settled(message)
        assert (len(server.messages), server.connections) == (2, 1)


async def test_what_is_claimed_along_with_mail_to_be_moved_does_not_wait_for_that() -> None:
    """While a sick store keeps us from moving it, the lease of the rest may be lost."""
    store = FaultyStore(FakeClock())
    earlier = await registered(store, "earlier")
    moved = a_recipient("a@a.test", destination="mx:a.test")
    await store.enqueue(a_message(moved), worker=earlier, lease_for=None)
    store._clock.advance(timedelta(seconds=1))  # type: ignore[attr-defined]
    rest = a_message("b@x.test", at=store._clock.now())
    await store.enqueue(rest, worker=earlier, lease_for=None)
    store.fail("settle", times=1)
    async with ScriptedServer() as server, a_post(server.port, store=store) as post:
        await eventually(lambda: store.calls["settle"] == 1)
        taken = await take_over(post)
        with capture_logs() as logs:
            await eventually(lambda: logs)
            await eventually(lambda: post.scheduler._window.load.messages == 0)
            for work in taken:
                await post.store.release(work.lease)
            post.scheduler.wake()
            await eventually(lambda: post.row(rest).status is Status.RELAYED)
        assert len([one for one in server.messages if one.rcpts == ("TO:<b@x.test>",)]) == 1


async def test_a_result_without_its_lease_is_discarded() -> None:
    """F-46: another worker has the slot; our result touches nothing and is not logged."""
    gate = asyncio.Event()
    async with (
        ScriptedServer({"DOT": Wait(gate, "250 ok")}) as server,
        a_post(server.port) as post,
    ):
        message = await post.submit(a_message("a@x.test"))
        await server.received(1)
        await take_over(post)
        with capture_logs() as logs:
            gate.set()
            await eventually(lambda: logs)
        assert [line["event"] for line in logs] == ["result_discarded"]
        assert post.events(message) == []
        row = post.row(message)
        assert (row.status, row.leased, row.possible_duplicate) == (Status.QUEUED, True, True)


async def test_nothing_more_is_sent_under_a_lost_lease() -> None:
    """What waits behind the discarded result has another owner by now: it must not go out twice."""
    gate = asyncio.Event()
    async with (
        ScriptedServer({"DOT": Wait(gate, "250 ok")}) as server,
        a_post(server.port, connections=1) as post,
    ):
        for _ in range(5):
            await post.submit(a_message("a@x.test", "b@x.test"))
        await server.received(1)
        await take_over(post)
        with capture_logs() as logs:
            gate.set()
            await eventually(lambda: logs)
            await eventually(lambda: server.dialog[-1] == "QUIT")
        assert len(server.messages) == 1
        assert post.sink.noted == []


async def test_the_rest_of_a_message_is_not_sent_under_a_lost_lease() -> None:
    """S-19 meets F-46: no next transaction for those who were too many."""
    gate = asyncio.Event()
    script: dict[str, Says] = {
        "RCPT TO:<b@x.test>": "452 4.5.3 too many recipients",
        "DOT": Wait(gate, "250 ok"),
    }
    async with ScriptedServer(script) as server, a_post(server.port) as post:
        await post.submit(a_message("a@x.test", "b@x.test"))
        await server.received(1)
        await take_over(post)
        gate.set()
        await eventually(lambda: server.dialog[-1] == "QUIT")
        assert [line for line in server.dialog if line.startswith("MAIL")] == [server.dialog[1]], (
            server.dialog
        )


@pytest.mark.parametrize(
    ("action", "status"), [(Action.DROP, Status.DROPPED), (Action.BOUNCE, Status.BOUNCED)]
)
async def test_an_operators_act_on_a_running_attempt_stands(
    queue: Queue, action: Action, status: Status
) -> None:
    """Only what concerns the other recipient is written, and only that is in the log."""
    gate = asyncio.Event()
    async with (
        ScriptedServer({"DOT": Wait(gate, "250 ok")}) as server,
        a_post(server.port, queue=queue) as post,
    ):
        message = await post.submit(a_message("a@x.test", "b@x.test"))
        await server.received(1)
        selector = Query(message_id=message.id, recipient=("a@x.test",))
        await post.store.act(selector, action, by="me", reason="wrong address")
        gate.set()
        await eventually(lambda: post.row(message, 1).status is Status.RELAYED)
        await eventually(lambda: post.sink.noted)
        assert post.row(message).status is status
        assert post.row(message).possible_duplicate
        assert [noted.address for noted in post.sink.noted] == ["b@x.test"]
        assert post.kinds(message, 1) == ["relayed"]


async def test_a_message_that_was_dropped_before_its_turn_is_not_sent() -> None:
    gate = asyncio.Event()
    script: dict[str, Says] = {"DOT": InTurn(Wait(gate, "250 ok"), "250 ok")}
    async with ScriptedServer(script) as server, a_post(server.port, connections=1) as post:
        await post.submit(a_message("first@x.test"))
        await server.received(1)
        second = await post.submit(a_message("second@x.test"))
        await eventually(lambda: post.row(second).leased)
        third = await post.submit(a_message("third@x.test"))
        await post.store.act(Query(message_id=second.id), Action.DROP, by="me", reason="not wanted")
        gate.set()
        await eventually(lambda: post.row(third).status is Status.RELAYED)
        assert [message.rcpts for message in server.messages] == [
            ("TO:<first@x.test>",),
            ("TO:<third@x.test>",),
        ]


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(b"550 5.1.1 \x1b[2Jgone\x00\x07\r\n", id="control"),
        pytest.param(b"550 5.1.1 \xff\xfe\xed\xa0\x80\r\n", id="no-utf8"),
        pytest.param("550 5.1.1 \u2028{\u202e\r\n".encode(), id="separators"),
        pytest.param(b"550 5.1.1 '; DROP TABLE message; -- <b>\r\n", id="injection"),
        pytest.param(f"550 5.1.1 {LONG}\r\n".encode(), id="long"),
    ],
)
async def test_the_outcome_is_written_whatever_the_server_says(queue: Queue, text: bytes) -> None:
    """A-47."""
    async with (
        ScriptedServer({"RCPT": Raw(text)}) as server,
        a_post(server.port, queue=queue) as post,
    ):
        message = await post.submit(a_message("a@x.test"))
        await post.settled()
        row = post.row(message)
        assert (row.status, row.code) == (Status.BOUNCED, 550)
        assert row.reply is not None
        assert row.reply.isprintable()
        assert len(row.reply) <= 4100
        assert post.kinds(message) == ["bounced"]
