import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

import pytest
from structlog.testing import capture_logs

import relayd
from relayd.control import client
from relayd.control.acts import ActRequest, act_to_json
from relayd.control.context import ControlContext, Follows, Lines
from relayd.control.protocol import REQUEST_LIMIT, Message, encode
from relayd.control.server import serve_control
from relayd.errors import CommitUnknown, DaemonUnreachable, RelaydError, StoreUnavailable
from relayd.mail.event import Event
from relayd.mail.operator import Action
from relayd.mail.words import EventKind
from relayd.metrics.counters import Counters
from relayd.metrics.shared import SharedCounters
from relayd.ports.queue import Acted, Batch, ReportGivenUp
from relayd.ports.view import Query, Status
from relayd.store.memory.queue import MemoryStore
from relayd.trace import Wanted
from tests.support.accounts import lone_log_ins
from tests.support.builders import a_bounce, a_message, settlements_of
from tests.support.cli_world import enqueue
from tests.support.clock import START, FakeClock
from tests.support.control_server import no_change, no_checks
from tests.support.following import nobody_follows
from tests.support.stores import LEASE
from tests.support.supervised import settings_of
from tests.support.workers import registered

SETTINGS = settings_of([], control="unused", queue="unused")


class SlowStore(MemoryStore):
    """Its `act` waits to be let go, or fails."""

    def __init__(self) -> None:
        super().__init__(FakeClock())
        self.begun = asyncio.Event()
        self.go_on = asyncio.Event()
        self.error: BaseException | None = None

    async def act(
        self,
        selector: Query,
        action: Action,
        *,
        by: str,
        reason: str,
        report: ReportGivenUp | None = None,
        batch: Batch | None = None,
    ) -> Acted:
        self.begun.set()
        await self.go_on.wait()
        if self.error is not None:
            raise self.error
        return await super().act(selector, action, by=by, reason=reason, report=report, batch=batch)


class Endless:
    """What somebody follows, of which there is nothing to tell."""

    async def send_to(self, send: Callable[[bytes], Awaitable[None]]) -> None:
        del send
        await asyncio.Event().wait()


@dataclass(kw_only=True)
class Daemon:
    """Some workers' control servers on one socket."""

    path: str
    store: SlowStore
    shared: SharedCounters = field(default_factory=SharedCounters)
    recorded: list[Event] = field(default_factory=list)
    wakes: int = 0
    servers: list[asyncio.Task[None]] = field(default_factory=list)
    reloaded: Message | RelaydError = field(default_factory=dict)
    may_reload: asyncio.Event = field(default_factory=asyncio.Event)
    followed: Follows = nobody_follows

    async def reload(self) -> Message:
        await self.may_reload.wait()
        if isinstance(self.reloaded, RelaydError):
            raise self.reloaded
        return self.reloaded

    def follow(self, wanted: Wanted, begun: Callable[[], None]) -> Lines:
        return self.followed(wanted, begun)

    def wake(self) -> None:
        self.wakes += 1

    async def ask(self, request: dict[str, object]) -> dict[str, object]:
        return await asyncio.to_thread(client.ask, self.path, request, timeout=10)

    async def act(self, action: Action, query: Query, reason: str = "") -> Sequence[Event]:
        request = ActRequest(query=query, action=action, reason=reason)
        answer = await asyncio.to_thread(client.act, self.path, request, timeout=10)
        return list(answer.events)

    async def exchange(self, octets: bytes) -> bytes:
        """Send raw octets and the end of input; return everything that comes back."""
        reader, writer = await asyncio.open_unix_connection(self.path)
        with contextlib.suppress(ConnectionError):
            writer.write(octets)
            await writer.drain()
            writer.write_eof()
        answer = b""
        with contextlib.suppress(ConnectionError):
            answer = await reader.read()
        writer.close()
        return answer


@pytest.fixture
async def daemon(tmp_path: Path) -> AsyncIterator[Daemon]:
    path = str(tmp_path / "control.sock")
    daemon = Daemon(path=path, store=SlowStore())
    daemon.store.go_on.set()
    daemon.may_reload.set()
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(path)
        listening.listen(512)
        async with asyncio.TaskGroup() as group:
            for number in range(2):
                server = serve_control(
                    listening,
                    ControlContext(
                        store=daemon.store,
                        on_change=daemon.wake,
                        on_pauses=lambda: None,
                        now=FakeClock().now,
                        record=lambda acted: daemon.recorded.extend(acted.events),
                        info=lambda number=number: {"worker": number},  # type: ignore[misc]
                        oldest_kept=lambda: START,
                        settings=SETTINGS,
                        told=lambda _: None,
                        log_ins=lone_log_ins(),
                        jitter=lambda: 0.0,
                        reload=daemon.reload,
                        set_keys=no_change,
                        follow=daemon.follow,
                        doctor=no_checks,
                        samples=daemon.shared.samples,
                    ),
                )
                daemon.servers.append(group.create_task(server))
            yield daemon
            for server_task in daemon.servers:
                server_task.cancel()


@pytest.mark.parametrize("sent", [b"", b"{"], ids=["silent", "half-a-request"])
async def test_nobody_is_locked_out_by_others(daemon: Daemon, sent: bytes) -> None:
    """All places are taken, and each that ends is taken again: a newcomer gets in all the same."""
    others = [await asyncio.open_unix_connection(daemon.path) for _ in range(100)]
    for _, writer in others:
        writer.write(sent)
    for _ in range(5):
        assert await asyncio.wait_for(daemon.ask({"verb": "ping"}), 2) == {"ok": True}
        others += [await asyncio.open_unix_connection(daemon.path) for _ in range(20)]
    for _, writer in others:
        writer.close()


async def test_what_is_carried_out_stays(daemon: Daemon) -> None:
    """Whoever comes meanwhile, the reply arrives."""
    await enqueue(daemon.store, a_message("a@example.org"))
    daemon.store.go_on.clear()
    async with asyncio.TaskGroup() as group:
        acting = group.create_task(daemon.act(Action.HOLD, Query(domain=("example.org",))))
        await asyncio.wait_for(daemon.store.begun.wait(), 5)
        others = [await asyncio.open_unix_connection(daemon.path) for _ in range(100)]
        assert await daemon.ask({"verb": "ping"}) == {"ok": True}
        daemon.store.go_on.set()
    assert [event.kind for event in acting.result()] == [EventKind.HELD]
    for _, writer in others:
        writer.close()


@pytest.mark.parametrize("verb", ["reload", "act"])
async def test_what_takes_long_keeps_no_other_waiting(daemon: Daemon, verb: str) -> None:
    """A reload may wait a minute for room, and a change for the queue; nor do those who ask pile up."""
    daemon.may_reload.clear()
    daemon.store.go_on.clear()
    act = act_to_json(ActRequest(query=Query(domain=("x.test",)), action=Action.HOLD, reason=""))
    request = encode(act if verb == "act" else {"verb": verb})
    async with asyncio.TaskGroup() as group:
        waiting = [group.create_task(daemon.exchange(request)) for _ in range(300)]
        try:
            assert await asyncio.wait_for(daemon.ask({"verb": "ping"}), 2) == {"ok": True}
            async with asyncio.timeout(2):
                for each in islice(asyncio.as_completed(waiting), 300 - 2 * (32 + 16)):
                    assert await each == b"", "it made room"
        finally:
            daemon.may_reload.set()
            daemon.store.go_on.set()
    assert len([each for each in waiting if each.result()]) >= 16, "who stays is answered"


async def test_ping(daemon: Daemon) -> None:
    assert await daemon.ask({"verb": "ping"}) == {"ok": True}


async def test_status_is_that_of_the_worker_that_answers(daemon: Daemon) -> None:
    reply = await daemon.ask({"verb": "status"})
    assert reply["status"] in ({"worker": 0}, {"worker": 1})


async def test_settings_are_those_that_the_worker_runs_with(daemon: Daemon) -> None:
    found = await asyncio.to_thread(client.running_settings, daemon.path)
    assert found == client.InForce(
        file="relayd.toml", values={"fqdn": '"relay.test"'}, version=relayd.__version__
    )


async def test_reload_answers_with_what_is_in_force_then(daemon: Daemon) -> None:
    daemon.reloaded = {"ok": True, "file": "f", "digest": "d"}
    found = await asyncio.to_thread(client.reload, daemon.path)
    assert found == client.Reloaded(file="f", digest="d")


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        pytest.param({"ok": False, "error": "a: no\nb: no"}, "^a: no\nb: no$", id="refused"),
        pytest.param({"ok": True, "digest": []}, "something strange", id="nonsense"),
        pytest.param(RelaydError("the supervisor is gone"), "supervisor is gone", id="nobody"),
    ],
)
async def test_reload_says_why_not(
    daemon: Daemon, reply: Message | RelaydError, reason: str
) -> None:
    daemon.reloaded = reply
    with pytest.raises(RelaydError, match=reason):
        await asyncio.to_thread(client.reload, daemon.path)


async def test_metrics_are_those_of_all_workers(daemon: Daemon) -> None:
    for name in ("1", "2"):
        Counters(daemon.shared.row(name)).received(3)
        Counters(daemon.shared.row(name)).commit(0.3)
    metrics = await asyncio.to_thread(client.metrics, daemon.path, timeout=10)
    found = {(one.name, one.labels): one.value for one in metrics}
    assert len(found) == len(metrics)
    assert found["relayd_received_total", ()] == 6
    assert found["relayd_events_total", (("event", "received"),)] == 6
    assert found["relayd_store_commit_seconds_sum", ()] == 0.6
    assert found["relayd_store_commit_seconds_bucket", (("le", "0.25"),)] == 0
    assert found["relayd_store_commit_seconds_bucket", (("le", "0.5"),)] == 2


async def test_act_changes_records_and_wakes(daemon: Daemon) -> None:
    """The events come back to the client, go to the log, and name the user that asked."""
    message = a_message("a@example.org", "b@example.com")
    await enqueue(daemon.store, message)
    events = await daemon.act(Action.HOLD, Query(domain=("example.com",)), reason="look at it")
    assert [(e.kind, e.message_id, e.recipient) for e in events] == [
        (EventKind.HELD, message.id, 1)
    ]
    assert events[0].detail["reason"] == "look at it"
    assert events[0].detail["by"]
    assert daemon.recorded == list(events)
    assert daemon.wakes == 1
    rows = daemon.store.find(Query(message_id=message.id), limit=9)
    assert {row.address: row.status for row in rows} == {
        "a@example.org": Status.QUEUED,
        "b@example.com": Status.HELD,
    }


async def test_a_dry_run_counts_and_changes_nothing(daemon: Daemon) -> None:
    """And a batch says where the next one begins."""
    messages = [a_message(f"{number}@example.org") for number in range(3)]
    await enqueue(daemon.store, *messages)
    act = {"verb": "act", "action": "hold", "selector": {"domain": "example.org"}}
    told = await daemon.ask({**act, "dry_run": True})
    counts = {"matched": 3, "changed": 3, "last_retry": 0}
    assert told == {"ok": True, "events": [], **counts}
    assert (daemon.recorded, daemon.wakes) == ([], 0)
    told = await daemon.ask({**act, "limit": 2})
    assert (told["matched"], told["changed"]) == (2, 2)
    told = await daemon.ask({**act, "limit": 2, "before": told["more"]})
    assert (told["matched"], told["changed"], "more" in told) == (1, 1, False)
    assert {event.message_id for event in daemon.recorded} == {each.id for each in messages}


async def test_unsuppress_lifts_and_says_if_there_was_anything_to_lift(daemon: Daemon) -> None:
    worker = await registered(daemon.store, "past")
    message = a_message("gone@example.org")
    for work in await daemon.store.enqueue(message, worker=worker, lease_for=LEASE):
        await daemon.store.settle(work.lease, settlements_of(work, a_bounce()))
    with capture_logs() as logged:
        for lifted in (True, False):
            told = await asyncio.to_thread(client.unsuppress, daemon.path, "Gone@example.org")
            assert told is lifted
            assert not daemon.store.is_suppressed("gone@example.org")
    [line] = logged
    assert (line["event"], line["rcpt"]) == ("unsuppressed", "Gone@example.org")
    assert line["by"]
    assert (daemon.recorded, daemon.wakes) == ([], 0)


async def test_nothing_changed_wakes_nobody(daemon: Daemon) -> None:
    assert await daemon.act(Action.HOLD, Query(tag=("none",))) == []
    assert (daemon.recorded, daemon.wakes) == ([], 0)


ERRORS = {
    "store sick": (StoreUnavailable("disk gone"), StoreUnavailable, "disk gone"),
    "commit unknown": (CommitUnknown("fsync failed"), StoreUnavailable, "fsync failed"),
    "other fault": (RelaydError("no"), RelaydError, "no"),
}


@pytest.mark.parametrize(("raised", "expected", "words"), ERRORS.values(), ids=ERRORS)
async def test_fault_of_the_store_reaches_the_client(
    daemon: Daemon, raised: Exception, expected: type[Exception], words: str
) -> None:
    daemon.store.error = raised
    with pytest.raises(expected, match=words):
        await daemon.act(Action.HOLD, Query(tag=("x",)))
    daemon.store.error = None
    assert await daemon.act(Action.HOLD, Query(tag=("x",))) == []


async def test_bug_ends_one_request_only(daemon: Daemon) -> None:
    daemon.store.error = ZeroDivisionError()
    with pytest.raises(DaemonUnreachable):
        await daemon.act(Action.HOLD, Query(tag=("x",)))
    assert await daemon.ask({"verb": "ping"}) == {"ok": True}


BAD = {
    "not JSON": b"hold everything\n",
    "no newline": b'{"verb": "ping"}',
    "nothing": b"",
    "a list": b"[]\n",
    "unknown verb": b'{"verb": "stop"}\n',
    "no verb": b"{}\n",
    "no address": b'{"verb": "unsuppress", "rcpt": "everybody"}\n',
    "empty selector": b'{"verb": "act", "action": "drop", "selector": {}}\n',
    "invalid UTF-8": b'{"verb": "\xff"}\n',
}


@pytest.mark.parametrize("octets", BAD.values(), ids=BAD)
async def test_bad_request_is_refused(daemon: Daemon, octets: bytes) -> None:
    await enqueue(daemon.store, message := a_message("a@example.org"))
    assert (await daemon.exchange(octets)).startswith(b'{"ok":false,')
    assert daemon.recorded == []
    assert daemon.store.find(Query(message_id=message.id), limit=1)[0].status is Status.QUEUED


async def test_request_in_pieces_is_one_request(daemon: Daemon) -> None:
    reader, writer = await asyncio.open_unix_connection(daemon.path)
    for octet in encode({"verb": "ping"}):
        writer.write(bytes([octet]))
        await writer.drain()
    assert await reader.readline() == b'{"ok":true}\n'
    writer.close()


async def test_endless_line_is_cut_off(daemon: Daemon) -> None:
    answer = await daemon.exchange(b"x" * (REQUEST_LIMIT + 70_000))
    assert answer == b"" or b"longer than" in answer
    assert await daemon.ask({"verb": "ping"}) == {"ok": True}


async def test_request_in_hand_outlives_the_server(daemon: Daemon) -> None:
    """A cancelled server stops accepting, but what reached the store is recorded and answered."""
    await enqueue(daemon.store, a_message("a@example.org"))
    daemon.store.go_on.clear()
    asked = asyncio.ensure_future(daemon.act(Action.HOLD, Query(domain=("example.org",))))
    await daemon.store.begun.wait()
    for server in daemon.servers:
        server.cancel()
    daemon.store.go_on.set()
    events = await asked
    assert daemon.recorded == list(events) != []
    done, _ = await asyncio.wait(daemon.servers, timeout=10)
    assert all(task.cancelled() for task in done)
    assert len(done) == 2


async def test_who_asks_to_follow_as_the_server_ends_does_not_keep_it(daemon: Daemon) -> None:
    """It was let in before, and its question is answered as any other."""
    daemon.followed = lambda _, __: Endless()
    reader, writer = await asyncio.open_unix_connection(daemon.path)
    for _ in daemon.servers:  # who came later is served, so this one was let in
        await daemon.ask({"verb": "ping"})
    for server in daemon.servers:
        server.cancel()
    await asyncio.sleep(0)
    writer.write(b'{"verb":"trace","destination":"y.test"}\n')
    done, _ = await asyncio.wait(daemon.servers, timeout=5)
    answer = await reader.readline()
    writer.close()  # which ends it in any case
    assert answer == b'{"ok":true}\n'
    assert len(done) == 2


async def test_more_clients_than_places_are_all_served(daemon: Daemon) -> None:
    """One that had to make way, before its request was read, is served when it asks again."""

    async def ask() -> bytes:
        for _ in range(60):  # one of all is served each time at least
            if answer := await daemon.exchange(b'{"verb":"ping"}\n'):
                return answer
        return b""

    async with asyncio.TaskGroup() as group:
        asked = [group.create_task(ask()) for _ in range(60)]
    assert {task.result() for task in asked} == {b'{"ok":true}\n'}


def test_no_socket_is_no_daemon(tmp_path: Path) -> None:
    with pytest.raises(DaemonUnreachable, match="No such file"):
        client.ask(str(tmp_path / "none.sock"), {"verb": "ping"})


def test_socket_that_nobody_listens_on_is_no_daemon(tmp_path: Path) -> None:
    path = str(tmp_path / "dead.sock")
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(path)
    with pytest.raises(DaemonUnreachable, match="refused"):
        client.ask(path, {"verb": "ping"})


def test_path_too_long_for_a_socket_is_no_daemon(tmp_path: Path) -> None:
    with pytest.raises(DaemonUnreachable):
        client.ask(str(tmp_path / ("x" * 200)), {"verb": "ping"})


def test_silent_daemon_is_given_up(tmp_path: Path) -> None:
    path = str(tmp_path / "silent.sock")
    with socket.socket(socket.AF_UNIX) as silent:
        silent.bind(path)
        silent.listen()
        with pytest.raises(DaemonUnreachable, match=r"within 0\.05 s"):
            client.ask(path, {"verb": "ping"}, timeout=0.05)
