"""The composition root: ids, and what happens at the moment a message is durable."""

import json
from collections.abc import AsyncIterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from relayd.errors import CommitUnknown, StoreBroken, StoreError, StoreUnavailable
from relayd.logs.status import StatusLog
from relayd.mail.ids import received_at_of
from relayd.metrics.counters import Counters
from relayd.policy.delivery.route import RouteRules
from relayd.policy.pausing import Pausing
from relayd.ports.view import Status
from relayd.worker.events import Events
from relayd.worker.intake import Intake
from relayd.worker.parts import IdSource, Parts
from tests.support.builders import a_message
from tests.support.clock import START, FakeClock
from tests.support.faulty_store import FaultyStore
from tests.support.post import Post, a_post, eventually
from tests.support.scripted_server import ScriptedServer
from tests.support.workers import a_registration


@pytest.fixture
async def server() -> AsyncIterator[ScriptedServer]:
    async with ScriptedServer() as server:
        yield server


@pytest.fixture
async def post(server: ScriptedServer) -> AsyncIterator[Post]:
    async with a_post(server.port, store=FaultyStore(FakeClock())) as post:
        yield post


@pytest.fixture
def status_log(tmp_path: Path) -> Path:
    return tmp_path / "status.log"


@pytest.fixture
async def intake(post: Post, status_log: Path) -> AsyncIterator[Intake]:
    with closing(StatusLog(str(status_log), node="node1")) as log:
        yield Intake(
            Parts(
                post.store,
                post.view,
                post.worker,
                IdSource(a_registration(post.worker)),
                Events(log, Counters()),
                post.clock,
                Pausing(),
            ),
            post.scheduler,
            routes=RouteRules(),
        )


def events_in(log: Path) -> list[str]:
    return [json.loads(line)["event"] for line in log.read_bytes().splitlines()]


async def test_ids_rise_whatever_the_clock_does(intake: Intake) -> None:
    """F-31: set back by a day, standing still, or in a flood within one millisecond."""
    day = timedelta(days=1)
    at = [*[START] * 10_000, *[START - day] * 10_000, START + day, *[START + day] * 5000]
    ids = [intake.next_id(each) for each in at]
    assert ids == sorted(set(ids))
    assert abs(received_at_of(ids[-1]) - (START + day)) < timedelta(seconds=1)


async def test_a_durable_message_is_logged_and_delivered_from_memory(
    intake: Intake, post: Post, server: ScriptedServer, status_log: Path
) -> None:
    message = a_message("a@x.test")
    [work] = await intake.submit(message)
    assert work.content == message.content
    await server.received(1)
    await post.settled(message)
    assert post.row(message).status is Status.RELAYED
    await eventually(lambda: "received" in events_in(status_log))


@pytest.mark.parametrize(
    "error", [StoreUnavailable("no"), CommitUnknown("who knows"), StoreBroken("the disk")]
)
async def test_what_is_not_durable_is_neither_logged_nor_delivered(
    intake: Intake, post: Post, status_log: Path, error: StoreError
) -> None:
    assert isinstance(post.store, FaultyStore)
    post.store.fail("enqueue", error=error)
    with pytest.raises(type(error)):
        await intake.submit(a_message("a@x.test"))
    await eventually(lambda: intake.is_failing)
    intake._events.refused(START, {"code": 451})
    await eventually(lambda: events_in(status_log) == ["refused"])
    assert post.rows() == []
    if isinstance(error, StoreBroken):
        with pytest.raises(StoreBroken):  # which ends the worker: its handle is done for (F-08)
            await intake.broken
    else:
        assert not intake.broken.done()
    post.clock.advance(timedelta(seconds=31))
    assert not intake.is_failing, "the next message finds out"


@pytest.mark.parametrize("is_stored", [False, True])
async def test_an_unknown_commit_is_the_affair_of_one_message(
    intake: Intake, post: Post, server: ScriptedServer, *, is_stored: bool
) -> None:
    """S-55: the worker lives on; the others are taken, and what was stored is delivered."""
    assert isinstance(post.store, FaultyStore)
    if is_stored:
        post.store.forget_answer("enqueue")
    else:
        post.store.fail("enqueue", times=1, error=CommitUnknown("who knows"))
    unknown, other = a_message("a@x.test"), a_message("b@x.test")
    with capture_logs() as logs:
        with pytest.raises(CommitUnknown):
            await intake.submit(unknown)
        await eventually(lambda: [line["event"] for line in logs] == ["commit_unknown"])
    await intake.submit(other)
    await server.received(1 + is_stored)
    await eventually(lambda: post.row(other).status is Status.RELAYED)
    assert {row.message_id for row in post.rows()} == {other.id, *([unknown.id] * is_stored)}
    assert not intake.broken.done()
