"""What a worker delivers next: its window, its leases, and an orderly end."""

import asyncio
import itertools
import math
from collections.abc import Sequence
from datetime import timedelta

import pytest
from structlog.testing import capture_logs

from relayd.deliverer import leases, scheduler
from relayd.deliverer.connections import Leave
from relayd.deliverer.leases import LEASE_FOR
from relayd.deliverer.nexthop.hosts import ANYBODY, NO_MESSAGE, HostFailure, NoHost, Session
from relayd.deliverer.nexthop.smarthost import Smarthost
from relayd.deliverer.queue_owner import QueueClosed
from relayd.deliverer.rerouter import Rerouter
from relayd.deliverer.window import Window
from relayd.mail.envelope import NewMessage
from relayd.mail.ids import MessageId
from relayd.mail.reply import Reply, Stage
from relayd.mail.words import Category
from relayd.net.smtp.breakdown import broken
from relayd.policy.delivery import history, looking
from relayd.policy.delivery.admission import (
    CLAIM_EACH,
    PROBING_WINDOW,
    QUEUE_WINDOW,
    SLOW_WINDOW,
    WINDOW,
    WINDOW_OCTETS,
    Load,
)
from relayd.policy.delivery.route import RouteFacts
from relayd.policy.delivery.shares import ALONE, NOTHING
from relayd.ports.outward import SessionFailed
from relayd.ports.view import Status
from relayd.settings import HostPort
from relayd.store.memory.queue import MemoryStore
from tests.support.builders import SMARTHOST, a_message, a_recipient
from tests.support.clock import START, FakeClock
from tests.support.faulty_store import FaultyStore
from tests.support.post import Post, a_post, eventually
from tests.support.scripted_server import CLOSE, Action, InTurn, ScriptedServer, Wait
from tests.support.workers import registered

Script = dict[str, Action | list[str]]


async def put_all(store: MemoryStore, count: int) -> list[NewMessage]:
    messages = [a_message(f"user{number}@x.test") for number in range(count)]
    worker = await registered(store, "earlier")
    for message in messages:
        await store.enqueue(message, worker=worker, lease_for=None)
    return messages


async def test_mail_that_waited_is_delivered() -> None:
    store = MemoryStore(FakeClock())
    messages = await put_all(store, 450)
    async with ScriptedServer() as server, a_post(server.port, store=store) as post:
        await post.settled()
        assert {post.row(one).status for one in messages} == {Status.RELAYED}
        rcpts = [one.rcpts for one in server.messages]
        assert len(rcpts) == len(set(rcpts)) == 450


async def test_what_becomes_due_is_noticed_without_a_wake() -> None:
    """Wake-ups are hints and may be lost."""
    store = MemoryStore(FakeClock())
    async with ScriptedServer() as server, a_post(server.port, store=store) as post:
        await eventually(lambda: post.scheduler._tasks is not None)
        await put_all(store, 1)
        await server.received(1)


class Quiet(FaultyStore):
    """A store that says that nothing waits."""

    def next_due(self) -> float | None:
        return math.inf


async def test_looks_are_rare_where_hints_come_and_every_hint_is_followed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A look costs a database a statement. Without hints, mail is found by looks alone."""
    monkeypatch.setattr(looking, "POLL", 0.002)
    monkeypatch.setattr(looking, "QUIET_AFTER", 0.0)
    monkeypatch.setattr(looking, "LONGEST", 60.0)
    store = Quiet(FakeClock())
    async with ScriptedServer() as server, a_post(server.port, store=store) as post:
        await post.settled(await post.submit(a_message("first@x.test")))
        looks = store.calls["claim"]
        await eventually(lambda: store.calls["claim"] > looks + 3)
        post.scheduler.hears_hints = lambda: True
        await eventually(lambda: post.scheduler._rest == 60.0)
        await asyncio.sleep(0.05)  # the look that was under way
        looks = store.calls["claim"]
        await asyncio.sleep(0.05)
        assert store.calls["claim"] == looks
        await put_all(store, 1)
        post.scheduler.wake()
        await server.received(2)
        await eventually(lambda: post.scheduler._rest == 60.0)
        await post.submit(a_message("born@x.test"), leased=True)
        await server.received(3)


async def test_new_mail_that_is_leased_at_once_costs_no_look(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """One message after another finds the window empty each time."""
    monkeypatch.setattr(looking, "POLL", 60.0)
    store = FaultyStore(FakeClock())
    async with ScriptedServer() as server, a_post(server.port, store=store) as post:
        await post.settled(await post.submit(a_message("first@x.test")))
        await asyncio.sleep(0.05)
        looks = store.calls["claim"]
        for number in range(5):
            message = a_message(f"u{number}@x.test")
            for work in await store.enqueue(message, worker=post.worker, lease_for=LEASE_FOR):
                post.scheduler.put(work)
            await post.settled(message)
            await eventually(lambda: post.scheduler._window.is_empty)
            await asyncio.sleep(0)
        assert store.calls["claim"] == looks


async def test_a_stuck_destination_does_not_fill_the_window() -> None:
    gate = asyncio.Event()
    store = FaultyStore(FakeClock())
    await put_all(store, WINDOW + 300)
    async with (
        ScriptedServer({"GREETING": Wait(gate, "220 mx.test")}) as server,
        a_post(server.port, store=store) as post,
    ):
        await eventually(lambda: post.leased() > SLOW_WINDOW)
        assert post.scheduler.has_room(0), "for other destinations"
        assert not post.scheduler.has_room(0, [SMARTHOST])
        for _ in range(3):
            post.scheduler.wake()
            await asyncio.sleep(0)
        late = await post.submit(a_message("late@x.test"), leased=True)
        assert not post.row(late).leased
        assert post.leased() < QUEUE_WINDOW
        gate.set()
        await post.settled()
        assert post.row(late).status is Status.RELAYED


async def test_never_more_than_a_window_is_leased_while_a_queue_closes() -> None:
    """A destination queue that closes leaves work to the store: claiming on would lease all of it."""
    gate = asyncio.Event()
    store = FaultyStore(FakeClock())
    script: Script = {
        "GREETING": InTurn("220 mx.test", "554 no more today"),
        "DOT": InTurn("250 ok", Wait(gate, "250 ok")),
    }
    async with (
        ScriptedServer(script) as server,
        a_post(server.port, store=store, connections=2) as post,
    ):
        await post.submit(a_message("proof@x.test"))
        await post.settled()
        await post.submit(a_message("running@x.test"))
        await server.received(2)
        refused = await post.submit(a_message("refused@x.test"))
        await post.settled(refused)
        await put_all(store, 500)
        claims = store.calls["claim"]
        post.scheduler.wake()
        born = await post.submit(a_message("born@x.test"), leased=True)
        await asyncio.sleep(0.05)
        assert post.leased() <= 2, "one is running"
        assert not post.row(born).leased
        assert store.calls["claim"] <= claims + 2, "it does not spin"
        gate.set()
        await post.quiet()


async def test_a_queue_that_closes_at_rest_gets_no_work_until_its_lease_is_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Smarthost, "idle_timeout", 0.0)  # as in direct mode
    async with ScriptedServer() as server, a_post(server.port) as post:
        await post.submit(a_message("a@x.test"))
        await server.received(1)
        [queue] = post.scheduler._queues.values()
        await eventually(lambda: queue.is_at_rest)
        assert not post.scheduler._full()
        queue.close()
        assert post.scheduler._full() == {SMARTHOST}
        await eventually(lambda: not post.scheduler._queues)
        assert not post.scheduler._full()


async def test_the_window_is_bounded_in_octets_too() -> None:
    async with ScriptedServer() as server, a_post(server.port) as post:
        assert post.scheduler.has_room(WINDOW_OCTETS)
        assert not post.scheduler.has_room(WINDOW_OCTETS + 1)


async def test_the_window_is_empty_again_when_all_is_done() -> None:
    script: Script = {"RCPT": InTurn("550 5.1.1 no", "250 ok"), "DOT": InTurn("451 no", "250 ok")}
    async with ScriptedServer(script) as server, a_post(server.port) as post:
        for _ in range(20):
            await post.submit(a_message("a@x.test"), leased=True)
        await post.settled()
        await eventually(lambda: post.scheduler.has_room(WINDOW_OCTETS))
        assert post.scheduler._window.load.messages == 0


async def test_a_store_that_gives_no_work_is_asked_again() -> None:
    store = FaultyStore(FakeClock())
    store.fail("claim", times=2)
    await put_all(store, 3)
    async with ScriptedServer() as server:
        with capture_logs() as logs:
            async with a_post(server.port, store=store) as post:
                await eventually(lambda: store.calls["claim"])
                post.scheduler.wake()
                await eventually(lambda: store.calls["claim"] > 1)
                post.scheduler.wake()
                await server.received(3)
    assert [line["event"] for line in logs] == ["claim_failed"], "one line for all in a minute"


async def test_two_workers_share_a_queue_and_nothing_goes_twice() -> None:
    clock = FakeClock()
    store = MemoryStore(clock, {SMARTHOST: 2})
    await put_all(store, 200)
    async with (
        ScriptedServer() as server,
        a_post(server.port, store=store, name="1") as one,
        a_post(server.port, store=store, name="2") as two,
    ):
        for number in range(100):
            await one.submit(a_message(f"one{number}@x.test"), leased=True)
            await two.submit(a_message(f"two{number}@x.test"), leased=True)
        await eventually(lambda: len(one.logged() | two.logged()) == 400)
        rcpts = [message.rcpts for message in server.messages]
        assert len(rcpts) == len(set(rcpts)) == 400
        assert {row.status for row in one.rows()} == {Status.RELAYED}
        assert one.sink.noted, "the first had a share"
        assert two.sink.noted, "the second had a share"


async def test_what_comes_late_under_a_lease_that_was_handed_back_is_sent_once() -> None:
    """A store behind a network is asked by several connections: a release may be heard of before an earlier commit."""
    async with ScriptedServer() as server, a_post(server.port) as post:
        await post.submit(a_message("proof@x.test"), leased=True)
        await post.settled()
        message = a_message("late@x.test")
        late = await post.store.enqueue(message, worker=post.worker, lease_for=leases.LEASE_FOR)
        [queue] = post.scheduler._queues.values()
        queue.close()
        await eventually(lambda: queue not in post.scheduler._queues.values())
        for work in late:
            post.scheduler.put(work)
        await eventually(lambda: post.scheduler._window.is_empty)
        await post.settled()
    rcpts = [one.rcpts[0] for one in server.messages]
    assert rcpts == ["TO:<proof@x.test>", "TO:<late@x.test>"]


async def test_what_a_late_commit_leases_to_a_worker_that_has_ended_is_for_others() -> None:
    store = MemoryStore(FakeClock())
    message = a_message("late@x.test")
    async with ScriptedServer() as server:
        async with a_post(server.port, store=store) as post:
            pass
        post.scheduler.close()
        for work in await store.enqueue(message, worker=post.worker, lease_for=leases.LEASE_FOR):
            post.scheduler.put(work)
        assert post.row(message).leased
        post.clock.advance(leases.LEASE_FOR)
        async with a_post(server.port, store=store, name="2") as other:
            await other.store.reap()
            await server.received(1)


async def test_stop_lets_transactions_end_and_hands_the_rest_back() -> None:
    """F-22: nothing is lost, nothing goes twice, nothing is left leased."""
    gate = asyncio.Event()
    store = MemoryStore(FakeClock())
    messages = await put_all(store, 50)
    async with ScriptedServer({"DOT": InTurn(Wait(gate, "250 ok"), "250 ok")}) as server:
        async with a_post(server.port, store=store) as post:
            await server.received(1)
            stopping = asyncio.ensure_future(post.scheduler.stop(within=5, dot_within=5))
            await eventually(lambda: not post.scheduler.has_room(0))
            assert not stopping.done()
            gate.set()
            await stopping
            await post.quiet()
            statuses = [post.row(one).status for one in messages]
            assert statuses.count(Status.RELAYED) == len(server.messages) == 1
            assert statuses.count(Status.QUEUED) == 49
            assert sorted(row.attempts for row in post.rows()) == [0] * 49 + [1]
            assert not any(row.possible_duplicate for row in post.rows())
            assert server.dialog[-1] == "QUIT"
        async with a_post(server.port, store=store, name="2") as successor:
            await eventually(lambda: len(successor.logged()) == 49)
        rcpts = [message.rcpts for message in server.messages]
        assert len(rcpts) == len(set(rcpts)) == 50


async def test_stop_in_the_middle_of_a_claim_hands_back_what_it_brings() -> None:
    store = FaultyStore(FakeClock())
    gate = store.hold("claim")
    await put_all(store, 5)
    async with ScriptedServer() as server:
        async with a_post(server.port, store=store) as post:
            await eventually(lambda: store.calls["claim"])
            stopping = asyncio.ensure_future(post.scheduler.stop(within=1, dot_within=1))
            await asyncio.sleep(0)
            gate.set()
            await stopping
            await post.running
            await post.quiet()
        assert server.messages == []


async def test_stop_while_idle_is_quick_and_says_goodbye() -> None:
    async with ScriptedServer() as server:
        async with a_post(server.port) as post:
            await post.submit(a_message("a@x.test"))
            await post.settled()
        assert server.dialog[-1] == "QUIT"


@pytest.mark.parametrize("stage", ["EHLO", "MAIL", "RCPT", "DATA"])
async def test_stop_leaves_what_has_not_sent_its_dot_as_if_it_had_not_begun(stage: str) -> None:
    """Nothing went, so it is no attempt, no failure of the server, and no possible duplicate."""
    gate = asyncio.Event()
    store = MemoryStore(FakeClock())
    async with ScriptedServer({stage: Wait(gate, "250 ok")}) as server:
        async with a_post(server.port, store=store) as post:
            message = await post.submit(a_message("a@x.test"))
            await eventually(lambda: any(line.startswith(stage) for line in server.dialog))
            await post.scheduler.stop(within=0.05, dot_within=5)
            gate.set()
            row = post.row(message)
            assert (row.status, row.attempts, row.possible_duplicate) == (Status.QUEUED, 0, False)
            assert row.paused_until is None
            assert post.events(message) == []
        assert server.messages == []


async def test_stop_leaves_an_unanswered_dot_as_a_possible_duplicate() -> None:
    """S-06: the server may have the message. That is on record before the worker ends."""
    gate = asyncio.Event()
    async with (
        ScriptedServer({"DOT": Wait(gate, "250 ok")}) as server,
        a_post(server.port) as post,
    ):
        message = await post.submit(a_message("a@x.test"))
        await server.received(1)
        with capture_logs() as logs:
            await post.scheduler.stop(within=0.05, dot_within=0.1)
        assert "stopped_with_open_transactions" not in [line["event"] for line in logs]
        row = post.row(message)
        assert (row.status, row.attempts, row.possible_duplicate) == (Status.DEFERRED, 1, True)
        gate.set()


async def test_stop_never_ends_mail_whose_dot_nobody_answered() -> None:
    """Nobody refused it: it was relayd that hung up. This is the last attempt that `retry.unknown_outcome` allows."""
    store = MemoryStore(FakeClock())
    message = a_message("a@x.test")
    gate = asyncio.Event()
    async with ScriptedServer({"DOT": InTurn(CLOSE, CLOSE, Wait(gate, "250 ok"))}) as server:
        async with a_post(server.port, store=store) as post:
            await post.submit(message)
            for attempts in (1, 2):
                await eventually(lambda: post.row(message).status is Status.DEFERRED)
                assert post.row(message).attempts == attempts
                await post.quiet()
                post.advance(timedelta(minutes=40))
                await server.received(attempts + 1)
            await post.scheduler.stop(within=0.05, dot_within=0.1)
            assert post.row(message).status is Status.DEFERRED
            last = post.events(message)[-1][1]
            assert (last["fault"], last["possible_duplicate"]) == ("local", True)
        gate.set()


async def test_stop_waits_for_the_answer_to_a_dot_longer_than_for_all_else() -> None:
    gate = asyncio.Event()
    async with (
        ScriptedServer({"DOT": Wait(gate, "250 ok")}) as server,
        a_post(server.port) as post,
    ):
        message = await post.submit(a_message("a@x.test"))
        await server.received(1)
        stopping = asyncio.ensure_future(post.scheduler.stop(within=0.01, dot_within=20))
        cut = post.scheduler._queues["smarthost"]
        await eventually(lambda: cut._sessions.are_cut)
        gate.set()
        await stopping
        assert post.row(message).status is Status.RELAYED


@pytest.mark.usefixtures("short_leases")
async def test_leases_are_renewed_until_the_last_dot_is_answered() -> None:
    """Or another worker sends the message once more, while its server has it already."""
    gate = asyncio.Event()
    store = FaultyStore(FakeClock())
    async with (
        ScriptedServer({"DOT": Wait(gate, "250 ok")}) as server,
        a_post(server.port, store=store) as post,
    ):
        message = await post.submit(a_message("a@x.test"))
        await server.received(1)
        assert not await post.scheduler.drain(within=0.01)
        stopping = asyncio.ensure_future(post.scheduler.stop(within=0.01, dot_within=20))
        await until_renewed(post)
        gate.set()
        await stopping
        assert post.row(message).status is Status.RELAYED


async def test_stop_does_not_wait_for_a_store_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scheduler, "RECORD_WITHIN", 0.05)
    monkeypatch.setattr("tests.support.post.STOP_WITHIN", 0.05)  # what is abandoned ends no more
    store = FaultyStore(FakeClock())
    async with ScriptedServer() as server, a_post(server.port, store=store) as post:
        store.fail("settle")
        await post.submit(a_message("a@x.test"))
        await server.received(1)
        with capture_logs() as logs:
            await post.scheduler.stop(within=0.05, dot_within=0.1)
            await post.running
        assert logs[-1]["event"] == "stopped_with_open_transactions"


@pytest.fixture
def short_leases(monkeypatch: pytest.MonkeyPatch) -> None:
    """Renew every 0.05 s; FakeClock decides when leases end."""
    monkeypatch.setattr(leases, "LEASE_FOR", timedelta(seconds=0.15))


async def until_renewed(post: Post) -> None:
    """Let two rounds of renewal pass."""
    store = post.store
    assert isinstance(store, FaultyStore)
    seen = store.calls["extend"]
    await eventually(lambda: store.calls["extend"] >= seen + 2)


@pytest.mark.usefixtures("short_leases")
async def test_leases_are_renewed_while_work_goes_on() -> None:
    gate = asyncio.Event()
    store = FaultyStore(FakeClock())
    async with (
        ScriptedServer({"DOT": Wait(gate, "250 ok")}) as server,
        a_post(server.port, store=store) as post,
    ):
        message = await post.submit(a_message("a@x.test"))
        await server.received(1)
        for _ in range(5):
            post.clock.advance(timedelta(seconds=0.1))
            await until_renewed(post)
        assert await store.reap() == 0
        gate.set()
        await post.settled()
        assert post.row(message).status is Status.RELAYED


@pytest.mark.usefixtures("short_leases")
async def test_a_lost_lease_closes_its_queue_and_the_mail_goes_on_under_a_new_one() -> None:
    gate = asyncio.Event()
    store = FaultyStore(FakeClock())
    async with ScriptedServer({"DOT": InTurn(Wait(gate, "250 ok"), "250 ok")}) as server:
        async with a_post(server.port, store=store, connections=1) as post:
            messages = [await post.submit(a_message(f"u{number}@x.test")) for number in range(4)]
            await server.received(1)
            with capture_logs() as logs:
                store.fail("extend", times=1)
                await until_renewed(post)
                other = await registered(store, "2")
                post.clock.advance(timedelta(hours=1))
                await store.reap()  # somebody else frees the slot
                taken = await store.claim(other, limit=1, lease_for=timedelta(hours=1))
                await until_renewed(post)
                await store.release(taken[0].lease)
                gate.set()
                await eventually(lambda: {post.row(one).status for one in messages} == {"relayed"})
            events = [line["event"] for line in logs]
            assert "renewal_failed" in events
            assert "lease_lost" in events
            assert "result_discarded" in events
        rcpts = [message.rcpts[0] for message in server.messages]
        assert sorted(rcpts) == sorted(
            [rcpts[0], *(f"TO:<u{number}@x.test>" for number in range(4))]
        )


@pytest.mark.usefixtures("short_leases")
async def test_the_work_of_a_dead_worker_is_taken_over() -> None:
    store = FaultyStore(FakeClock())
    messages = await put_all(store, 3)
    dead = await registered(store, "dead")
    await store.claim(dead, limit=10, lease_for=timedelta(seconds=60))
    async with ScriptedServer() as server, a_post(server.port, store=store) as post:
        await until_renewed(post)
        assert server.messages == []
        post.clock.advance(timedelta(seconds=61))
        await server.received(3)
        await post.settled()
        assert all(post.row(one).possible_duplicate for one in messages)


def a_failure() -> HostFailure:
    failed = SessionFailed(Stage.CONNECT, broken(Category.CONNECTION_FAILURE, "no answer"))
    return HostFailure(host=HostPort(host="mx.test", port=25), at=START, failed=failed)


async def test_who_answers_during_a_look_that_left_it_out_of_nothing_costs_no_other_look(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """New domains answer all the time: each look would find another one that had just answered."""
    monkeypatch.setattr(looking, "POLL", 60.0)
    store = FaultyStore(FakeClock())
    gate = store.hold("claim")
    async with ScriptedServer() as server, a_post(server.port, store=store) as post:
        await eventually(lambda: store.calls["claim"] == 1)
        for address in ("born@x.test", "next@x.test"):
            message = a_message(address)
            for work in await store.enqueue(message, worker=post.worker, lease_for=LEASE_FOR):
                post.scheduler.put(work)
            await post.settled(message)
            gate.set()
        assert store.calls["claim"] == 1


async def test_a_look_that_failed_is_no_reason_to_leave_out_the_next_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(looking, "POLL", 60.0)
    store = FaultyStore(FakeClock())
    store.fail("claim", times=1)
    async with ScriptedServer() as server, a_post(server.port, store=store) as post:
        await eventually(lambda: store.calls["claim"] == 1)
        await post.submit(a_message("born@x.test"), leased=True)
        await eventually(lambda: store.calls["claim"] == 2)


class Mute:
    """The next hop of a destination that does not answer until the test is over."""

    idle_timeout = 0.0
    allowed = 1
    is_limited = False
    account = None

    def __init__(self, end: asyncio.Event) -> None:
        self._end = end

    async def connect(
        self,
        after: Sequence[HostFailure] = (),
        facts: RouteFacts = ANYBODY,  # noqa: ARG002 -- nobody is told from another
        message: MessageId = NO_MESSAGE,  # noqa: ARG002
    ) -> Session:
        await self._end.wait()
        raise NoHost((*after, a_failure()))

    def keeps(self, session: Session, facts: RouteFacts = ANYBODY) -> bool:
        raise NotImplementedError

    def rest(self, leave: Leave) -> None:
        raise NotImplementedError

    def resume(self, leave: Leave) -> None:
        raise NotImplementedError

    async def give_back(self, session: Session) -> None:
        raise NotImplementedError

    def has_another_host(self, session: Session) -> bool:
        raise NotImplementedError

    def has_another_source(self, session: Session, facts: RouteFacts = ANYBODY) -> bool:
        raise NotImplementedError

    async def saw(
        self,
        session: Session,
        replies: Sequence[tuple[Reply | None, Stage]],
        message: MessageId,
        facts: RouteFacts = ANYBODY,
    ) -> None:
        raise NotImplementedError

    def answered(self) -> None:
        raise NotImplementedError

    def turned_away(self) -> None:
        raise NotImplementedError


@pytest.mark.parametrize(("count", "octets"), [(WINDOW // 4, 100), (4, WINDOW_OCTETS // 4)])
async def test_the_dead_leave_room_for_the_others(
    count: int, octets: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """F-34, A-62: long queues for hosts that do not answer, in messages or in octets."""
    monkeypatch.setattr(Rerouter, "belongs", lambda *_: True)
    async with ScriptedServer() as server, a_post(server.port) as post:
        alive, end = post.scheduler._next_hop, asyncio.Event()
        post.scheduler._next_hop = lambda key: alive(key) if key == SMARTHOST else Mute(end)
        for name, _ in itertools.product("abcdef", range(count)):
            dead = a_recipient("a@dead.test", destination=f"mx:{name}.test")
            message = a_message(dead, content=b"x" * octets)
            await post.store.enqueue(message, worker=post.worker, lease_for=None)
        post.scheduler.wake()
        await eventually(lambda: len(post.scheduler._queues) > 3)
        message = await post.submit(a_message("a@x.test"))
        await eventually(lambda: post.row(message).status is Status.RELAYED)
        end.set()


@pytest.mark.parametrize("closed", [True, False], ids=["seen lately", "queue open"])
@pytest.mark.parametrize("leased", [True, False], ids=["leased at enqueue", "claimed"])
async def test_any_number_of_silent_destinations_leaves_room_for_a_verified_one(
    *, leased: bool, closed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """F-34: what nobody knows to take mail gets a part of the window only, all of it together."""
    monkeypatch.setattr(Rerouter, "belongs", lambda *_: True)
    async with ScriptedServer() as server, a_post(server.port) as post:
        alive, end = post.scheduler._next_hop, asyncio.Event()
        post.scheduler._next_hop = lambda key: alive(key) if key == SMARTHOST else Mute(end)
        await post.settled(await post.submit(a_message("first@x.test")))
        if closed:
            post.scheduler._queues[SMARTHOST].close()
            await eventually(lambda: not post.scheduler._queues)
        for number in range(2 * WINDOW):
            dead = a_recipient("a@dead.test", destination=f"mx:{number % 100}.test")
            await post.store.enqueue(a_message(dead), worker=post.worker, lease_for=None)
        post.scheduler.wake()
        await eventually(lambda: post.leased() >= PROBING_WINDOW)
        message = await post.submit(a_message("a@x.test"), leased=leased)
        await eventually(lambda: post.row(message).status is Status.RELAYED)
        assert PROBING_WINDOW <= post.leased() < WINDOW
        end.set()


async def test_hundreds_of_silent_destinations_keep_no_new_one_from_being_asked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """F-34: a part of the window is for unknown destinations, and who is late has no place in it."""
    monkeypatch.setattr(Rerouter, "belongs", lambda *_: True)
    asked = asyncio.Event()
    async with ScriptedServer() as server, a_post(server.port) as post:
        post.scheduler.make_room = asked.set
        alive, end = post.scheduler._next_hop, asyncio.Event()
        post.scheduler._next_hop = lambda key: alive(key) if key == SMARTHOST else Mute(end)
        for number in range(PROBING_WINDOW + 100):
            dead = a_recipient("a@dead.test", destination=f"mx:{number}.test")
            await post.store.enqueue(a_message(dead), worker=post.worker, lease_for=None)
        message = await post.submit(a_message("a@new.test"))
        await eventually(lambda: post.row(message).status is Status.RELAYED)
        assert post.scheduler._window.load.aside
        await asked.wait()  # the window for these has no more room
        end.set()
        await eventually(lambda: post.scheduler._window.load == Load())


async def test_one_that_has_much_keeps_nobody_else_from_being_set_aside(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It may have more than the window for these has room for."""
    monkeypatch.setattr(Rerouter, "belongs", lambda *_: True)
    async with ScriptedServer() as server, a_post(server.port) as post:
        scheduler, end = post.scheduler, asyncio.Event()
        scheduler._window = Window(400)
        scheduler._next_hop = lambda _: Mute(end)
        for number in range(CLAIM_EACH):
            much = a_recipient(f"u{number}@much.test", destination="mx:much.test")
            await post.store.enqueue(a_message(much), worker=post.worker, lease_for=None)
        scheduler.wake()
        await eventually(lambda: post.leased() == CLAIM_EACH)
        for number in range(CLAIM_EACH):
            few = a_recipient("a@few.test", destination=f"mx:{number}.test")
            await post.store.enqueue(a_message(few), worker=post.worker, lease_for=None)
        await eventually(lambda: scheduler._window.load.aside == 75)
        assert not scheduler._queues["mx:much.test"].is_aside
        end.set()
        await eventually(lambda: scheduler._window.load == Load())


async def test_who_was_late_and_answers_gets_the_rest_of_its_mail(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Rerouter, "belongs", lambda *_: True)
    gate, end = asyncio.Event(), asyncio.Event()
    script: Script = {"GREETING": Wait(gate, "220 mx.test")}
    async with ScriptedServer(script) as server, a_post(server.port) as post:
        alive = post.scheduler._next_hop
        post.scheduler._window = Window(2 * WINDOW)
        post.scheduler._next_hop = lambda key: alive(key) if key == SMARTHOST else Mute(end)
        messages = [await post.submit(a_message(f"u{n}@x.test")) for n in range(3 * SLOW_WINDOW)]
        await eventually(lambda: SMARTHOST in post.scheduler._queues)
        for number in range(PROBING_WINDOW):
            dead = a_recipient("a@dead.test", destination=f"mx:{number}.test")
            await post.store.enqueue(a_message(dead), worker=post.worker, lease_for=None)
        post.scheduler.wake()
        await eventually(lambda: post.scheduler._queues[SMARTHOST].is_aside)
        assert not post.scheduler.has_room(0, [SMARTHOST])
        gate.set()
        await eventually(lambda: {post.row(one).status for one in messages} == {Status.RELAYED})
        end.set()


async def test_a_backlog_leaves_room_for_new_mail() -> None:
    """What is due would take all of the window, again and again, and new mail would wait for its end."""
    gate = asyncio.Event()
    script: Script = {"DOT": InTurn("250 ok", Wait(gate, "250 ok"))}
    async with ScriptedServer(script) as server, a_post(server.port, connections=1) as post:
        await post.settled(await post.submit(a_message("first@x.test")))
        for number in range(2 * QUEUE_WINDOW):
            backlog = a_message(f"u{number}@x.test")
            await post.store.enqueue(backlog, worker=post.worker, lease_for=None)
        post.scheduler.wake()
        await eventually(lambda: post.leased() > QUEUE_WINDOW // 2)
        for _ in range(3):
            post.scheduler.wake()
            await asyncio.sleep(0)
        assert post.scheduler.has_room(0, [SMARTHOST])
        gate.set()
        await post.settled()


@pytest.mark.parametrize("messages", [QUEUE_WINDOW, WINDOW], ids=["queue", "window"])
async def test_new_mail_without_end_leaves_room_for_a_backlog(messages: int) -> None:
    """What is leased at enqueue fills them again and again; what waits longer would wait for the end of that."""
    gate = asyncio.Event()
    script: Script = {"DOT": InTurn("250 ok", Wait(gate, "250 ok"))}
    async with ScriptedServer(script) as server, a_post(server.port, connections=1) as post:
        await post.settled(await post.submit(a_message("first@x.test")))
        waiting = a_message("waiting@x.test")
        await post.store.enqueue(waiting, worker=post.worker, lease_for=None)
        for _ in range(messages):
            new = a_message("new@x.test")
            for work in await post.store.enqueue(new, worker=post.worker, lease_for=LEASE_FOR):
                post.scheduler.put(work)
        post.scheduler.wake()
        await eventually(lambda: post.row(waiting).leased)
        assert post.scheduler._window.load.claimed == 1
        gate.set()
        await eventually(lambda: post.row(waiting).status is Status.RELAYED)
        assert not post.scheduler._window.load.claimed


async def test_mail_that_another_worker_took_does_not_wait_for_the_end_of_a_backlog(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What is due longest comes first, and more of it with each claim, for as long as the backlog lasts."""
    monkeypatch.setattr(Rerouter, "belongs", lambda *_: True)
    async with ScriptedServer() as server, a_post(server.port) as post:
        alive = post.scheduler._next_hop
        post.scheduler._next_hop = lambda _: alive(SMARTHOST)
        await post.settled(await post.submit(a_message("first@x.test")))
        for number in range(2 * WINDOW):
            one = a_recipient("a@x.test", destination=f"mx:{number % 20}.test")
            await post.store.enqueue(a_message(one), worker=post.worker, lease_for=None)
        post.scheduler.wake()
        await eventually(lambda: post.leased() > WINDOW // 2)
        message = await post.submit(a_message("b@x.test"))
        await eventually(lambda: post.row(message).status is Status.RELAYED)
        waits = [row for row in post.rows() if row.status is Status.QUEUED and not row.leased]
        assert len(waits) > WINDOW // 4


async def test_a_destination_that_fails_is_no_longer_known_good() -> None:
    async with ScriptedServer() as server, a_post(server.port) as post:
        await post.settled(await post.submit(a_message("first@x.test")))
        assert list(post.scheduler._history.known_good) == [SMARTHOST]
        why = QueueClosed(failures=(a_failure(),))
        post.scheduler._queues[SMARTHOST].close(why)
        await eventually(lambda: not post.scheduler._queues)
        assert not post.scheduler._history.known_good


async def test_only_so_many_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(history, "KNOWN_GOOD_AT_MOST", 0)
    async with ScriptedServer() as server, a_post(server.port) as post:
        await post.settled(await post.submit(a_message("first@x.test")))
        assert not post.scheduler._history.known_good


async def test_what_is_remembered_of_dead_destinations_is_bounded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Rerouter, "belongs", lambda *_: True)
    monkeypatch.setattr(history, "FAILED_AT_MOST", 3)
    async with ScriptedServer() as server, a_post(server.port) as post:
        end = asyncio.Event()
        end.set()
        post.scheduler._next_hop = lambda _: Mute(end)
        for number in range(9):
            dead = a_recipient("a@dead.test", destination=f"mx:{number}.test")
            await post.store.enqueue(a_message(dead), worker=post.worker, lease_for=None)
        post.scheduler.wake()
        await post.settled()
        await eventually(lambda: not post.scheduler._queues)
        assert len(post.scheduler._history.failed) == 3


async def test_the_part_for_unknown_destinations_is_free_again_when_they_answer() -> None:
    gate = asyncio.Event()
    store = MemoryStore(FakeClock())
    await put_all(store, SLOW_WINDOW)
    async with (
        ScriptedServer({"GREETING": Wait(gate, "220 mx.test")}) as server,
        a_post(server.port, store=store) as post,
    ):
        await eventually(lambda: post.scheduler._window.load.probing == SLOW_WINDOW)
        gate.set()
        await post.settled()
        await eventually(lambda: post.scheduler._window.load.messages == 0)
        assert post.scheduler._window.load.probing == 0


async def test_a_long_queue_is_fetched_without_a_poll(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not a window full a second: who has worked off half of it looks for more."""
    monkeypatch.setattr(looking, "POLL", 60.0)
    store = MemoryStore(FakeClock())
    await put_all(store, 3 * QUEUE_WINDOW)
    async with ScriptedServer() as server, a_post(server.port, store=store) as post:
        await post.settled()
        assert len(server.messages) == 3 * QUEUE_WINDOW


@pytest.mark.usefixtures("short_leases")
async def test_a_worker_that_slept_lets_the_others_renew_first() -> None:
    """F-25: all workers wake up together, each with leases that seem to be over."""
    store = FaultyStore(FakeClock())
    await put_all(store, 3)
    other = await registered(store, "2")
    taken = await store.claim(other, limit=10, lease_for=timedelta(seconds=60))
    async with ScriptedServer() as server, a_post(server.port, store=store) as post:
        await eventually(lambda: store.calls["extend"] >= 1)
        seen = store.calls["extend"]
        post.clock.advance(timedelta(seconds=61))
        await eventually(lambda: store.calls["extend"] > seen)
        lost = await store.extend(
            [work.lease for work in taken], worker=other, lease_for=timedelta(seconds=60)
        )
        await until_renewed(post)
        assert list(lost) == []
        assert not any(row.possible_duplicate for row in post.rows())
        assert server.messages == []


# --- a part of the limits


async def test_who_has_no_part_of_the_limits_leases_nothing() -> None:
    """The other workers have theirs, and deliver the mail; what it had leased goes back uncounted."""
    gate = asyncio.Event()
    script: Script = {"DOT": InTurn(Wait(gate, "250 ok"), "250 ok")}
    async with ScriptedServer(script) as server, a_post(server.port) as post:
        under_way = await post.submit(a_message("a@x.test"), leased=True)
        await server.received(1)
        waiting = await post.submit(a_message("b@x.test"), leased=True)
        post.scheduler.divide_by(NOTHING)
        assert not post.scheduler.has_room(1)
        gate.set()
        await post.settled(under_way)
        await post.quiet()
        new = await post.submit(a_message("c@x.test"), leased=True)
        assert [post.row(each).status for each in (waiting, new)] == [Status.QUEUED] * 2
        assert not post.leased()
        post.scheduler.divide_by(ALONE)
        await post.settled()
        assert {post.row(each).attempts for each in (under_way, waiting, new)} == {1}


async def test_who_is_told_that_others_join_renews_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """They deliver nothing before all have counted them, which comes with a renewal."""
    monkeypatch.setattr(leases, "LEASE_FOR", timedelta(hours=3))
    store = FaultyStore(FakeClock())
    async with a_post(1, store=store) as post:
        for _ in range(3):
            post.scheduler.count_others()
            await eventually(lambda seen=store.calls["extend"]: store.calls["extend"] > seen)  # type: ignore[misc]


async def test_who_is_not_counted_tells_the_others_with_each_renewal(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Behind it: who renewed before that has counted nobody. Some may not have heard of it."""
    monkeypatch.setattr(leases, "_COUNTED_BY", 0.01)
    monkeypatch.setattr(leases, "_JOINS_BY", 0.01)
    store = FaultyStore(FakeClock())
    told: list[int] = []
    async with a_post(1, store=store) as post:
        post.scheduler.join_by(lambda: told.append(store.calls["extend"]))
        post.scheduler.divide_by(NOTHING)
        post.scheduler.count_others()
        await eventually(lambda: len(told) >= 3)
        assert told[:3] == [1, 2, 3]
        post.scheduler.divide_by(ALONE)
        told.clear()
        seen = store.calls["extend"]
        post.scheduler.count_others()
        await eventually(lambda: store.calls["extend"] > seen)
        assert not told, "it has its part"


async def test_idle_connections_leave_when_the_part_gets_smaller() -> None:
    """The one who joins uses its own at once."""
    gate = asyncio.Event()
    script: Script = {"DOT": InTurn("250 ok", *[Wait(gate, "250 ok")] * 4, "250 ok")}
    async with ScriptedServer(script) as server, a_post(server.port, connections=4) as post:
        await post.submit(a_message("a@x.test"))
        await post.settled()
        for number in range(4):
            await post.submit(a_message(f"u{number}@x.test"))
        await eventually(lambda: server.connections >= 3)
        gate.set()
        await post.settled()
        hop = post.scheduler._next_hop(SMARTHOST)
        assert isinstance(hop, Smarthost)
        await eventually(lambda: len(hop._resting) == hop._share.held >= 3)
        hop.limit(1)
        await eventually(lambda: hop._share.held == 1)
