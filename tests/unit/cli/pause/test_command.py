"""`relayd pause`, `resume` and `pauses` as they are written: names that fit, and what is refused."""

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from relayd.cli.pause.drain import DrainEnded, follow
from relayd.errors import DaemonUnreachable
from relayd.mail.operator import Action
from relayd.mail.pause import Named, PauseRule, Scope, Side
from relayd.ports.queue import QueueStore
from relayd.ports.view import Query, QueueView
from relayd.store import open_view
from relayd.store.sqlite.connection import prepare
from tests.support.builders import a_message
from tests.support.cli_world import World, column, enqueue, make_world
from tests.support.clock import START
from tests.support.control_server import a_control_server
from tests.support.screens import a_screen

END = datetime(2999, 1, 2, tzinfo=UTC)


@pytest.fixture
def world(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> World:
    made = make_world(tmp_path, capsys.readouterr)
    prepare(str(tmp_path / "queue.db"))
    return made


@contextlib.asynccontextmanager
async def a_daemon(world: World) -> AsyncIterator[QueueView]:
    """The control server of one worker; gives the view of its store."""
    store = world.open_store()
    async with a_control_server(world.socket, store):
        with (
            capture_logs(),
            contextlib.closing(open_view(f"sqlite:{world.folder}/queue.db")) as view,
        ):
            yield view
    await store.close()


async def test_a_drain_that_somebody_ends_is_not_waited_for(world: World) -> None:
    """By `resume all`, or of the intake alone; an empty queue is no success then."""
    loop = asyncio.get_running_loop()
    for sides, is_empty in ((frozenset(Side), False), (frozenset({Side.INTAKE}), True)):
        store = world.open_store()
        if not is_empty:
            await enqueue(store, a_message("a@x.test"))
        every = [Named(Scope.ALL)]
        rule = PauseRule(
            named=every[0],
            sides=frozenset(Side),
            since=world.clock.now(),
            until=None,
            by="ann",
            reason="",
        )
        [made] = await store.pause([rule])

        def resume(_: float, sides: frozenset[Side] = sides, store: QueueStore = store) -> None:
            asyncio.run_coroutine_threadsafe(store.unpause(None, sides), loop).result()

        with (
            contextlib.closing(open_view(f"sqlite:{world.folder}/queue.db")) as view,
            pytest.raises(DrainEnded, match="mail is taken again") as ended,
        ):
            await asyncio.to_thread(
                follow, view, made.number, str(world.socket), as_json=False, pause=resume
            )
        assert ended.value.exit_code == os.EX_TEMPFAIL
        await store.act(Query(), Action.DROP, by="ann", reason="")
        await store.close()


async def test_a_drain_of_a_stopped_daemon_is_not_waited_for(world: World) -> None:
    """One that is restarted between two looks is."""
    looks = 0
    async with contextlib.AsyncExitStack() as stack:
        store = world.open_store()
        await enqueue(store, a_message("a@x.test"))
        await stack.enter_async_context(a_daemon(world))
        await asyncio.to_thread(world.run, "drain")
        view = stack.enter_context(contextlib.closing(open_view(f"sqlite:{world.folder}/queue.db")))
        [rule] = view.pause_rules()
        away = world.socket.with_name("away")

        def restart(_: float) -> None:
            nonlocal looks
            looks += 1
            if looks in (2, 6):
                world.socket.rename(away)
            if looks == 4:
                away.rename(world.socket)

        with pytest.raises(DaemonUnreachable, match=r"has stopped.* 1 recipient left"):
            await asyncio.to_thread(
                follow, view, rule.number, str(world.socket), as_json=False, pause=restart
            )
        await store.close()
    assert looks == 8


WRONG = (
    (("pause", "--intake"), "Say whose mail"),
    (("pause", "--reason", "why"), "Say whose mail"),
    (("pause", "all", "--tag", "x"), "does not go with a name"),
    (("pause", "everything"), "all"),
    (("pause", "--sender", "no address"), "an address such as app@example.org"),
    (("pause", "--sender", "@x.test"), "an address such as app@example.org"),
    (("pause", "--sender", "*@x.test"), "an address such as app@example.org"),
    (("pause", "--domain", "a@x.test"), "without @ or *"),
    (("pause", "--domain", "*.x.test"), "without @ or *"),
    (("pause", "--destination", "x.test"), "mx:DOMAIN"),
    (("pause", "--destination", "mx:"), "mx:DOMAIN"),
    (("pause", "--destination", "x.test"), "all mail to a domain is --domain x.test"),
    (("pause", "--destination", "10.0.0.5:25"), "host:10.0.0.5:25"),
    (("pause", "--user", "a b"), "the name of a login"),
    (("pause", "--tag", ""), "an empty filter"),
    (("pause", "all", "--for", "soon"), "duration"),
    (("resume",), "Say which"),
    (("resume", "all", "1"), "is no number"),
    (("resume", "first"), "is no number"),
    (("resume", "all", "--tag", "x"), "is no number"),
)


@pytest.mark.parametrize(("line", "said"), WRONG)
def test_a_name_that_fits_nothing_is_refused(
    world: World, line: tuple[str, ...], said: str
) -> None:
    ran = world.run(*line)
    assert ran.status == os.EX_USAGE
    assert said in ran.err


RIGHT = (
    (("all",), Named(Scope.ALL)),
    (("--sender", "<>"), Named(Scope.SENDER, "")),
    (("--sender", "<a@x.test>"), Named(Scope.SENDER, "a@x.test")),
    (("--tag", "news"), Named(Scope.TAG, "news")),
    (("--user", "shop"), Named(Scope.USER, "shop")),
    (("--domain", "x.test"), Named(Scope.DOMAIN, "x.test")),
    (("--destination", "smarthost"), Named(Scope.DESTINATION, "smarthost")),
    (("--destination", "mx:x.test"), Named(Scope.DESTINATION, "mx:x.test")),
)


@pytest.mark.parametrize(("line", "named"), RIGHT)
async def test_what_the_daemon_is_asked_for(
    world: World, line: tuple[str, ...], named: Named
) -> None:
    """Without a side, a pause is one of deliveries; the end of one is the end of all of it."""
    async with a_daemon(world) as view:
        ran = await asyncio.to_thread(world.run, "pause", *line)
        assert (ran.status, ran.err) == (0, "")
        assert ran.out.startswith(f"paused delivery of {named}, until somebody ends it, by ")
        assert ran.out.endswith("; to end it: relayd resume 1\n")
        await asyncio.to_thread(world.run, "pause", *line, "--intake")
        await asyncio.to_thread(world.run, "pause", *line, "--intake", "--delivery")
        rules = view.pause_rules()
        assert {rule.named for rule in rules} == {named}
        assert [rule.sides for rule in rules] == [{Side.DELIVERY}, {Side.INTAKE}, set(Side)]
        ran = await asyncio.to_thread(world.run, "resume", *line)
        assert (ran.status, len(ran.out.splitlines())) == (0, 3)
        assert not view.pause_rules()


async def test_the_end_of_what_is_not_there(world: World) -> None:
    async with a_daemon(world):
        ran = await asyncio.to_thread(world.run, "resume", "3")
        assert (ran.status, ran.out) == (os.EX_NOINPUT, "")
        ran = await asyncio.to_thread(world.run, "resume", "all")
        assert (ran.status, ran.out) == (0, "nothing is paused\n")


@pytest.mark.parametrize("command", ["pause", "pauses"])
def test_without_rules_nothing_is_paused(world: World, command: str) -> None:
    ran = world.run(command)
    assert (ran.status, ran.err, len(ran.cells)) == (0, "relayd: nothing is paused\n", 1)
    ran = world.run(command, "--json")
    assert (ran.status, ran.err, ran.out) == (0, "relayd: nothing is paused\n", "")


RULES = [
    PauseRule(
        named=Named(Scope.SENDER, "an.app.with.a.long.name@app-of-a-customer.example"),
        sides=frozenset(Side),
        since=START,
        until=END,
        by="ann@jumphost.example.org (uid 1000)",
        reason="it sends the same mail again and again, see ticket 4711",
    ),
    PauseRule(
        named=Named(Scope.ALL),
        sides=frozenset({Side.DELIVERY}),
        since=START,
        until=None,
        by="ann",
        reason="",
    ),
]


@pytest.mark.parametrize("columns", [80, 100, 140])
async def test_its_end_can_be_read_on_every_screen(
    world: World, monkeypatch: pytest.MonkeyPatch, elsewhere: str, columns: int
) -> None:
    assert elsewhere == "+05:45"
    store = world.open_store()
    await store.pause(RULES)
    await store.close()
    for options, end in (((), "in "), (("--utc",), "2999-01-02 00:00:00Z")):
        with a_screen(monkeypatch, columns=columns) as shown:
            assert world.run("pauses", *options).status == 0
        titles, first, second = shown.getvalue().splitlines()
        at = titles.index("UNTIL")
        assert first[at:].startswith(end)
        assert second[at:].startswith("resumed")
        assert max(map(len, (titles, first, second))) <= columns
    for options, end in (((), "+05:45,"), (("--utc",), "00:00Z,")):
        assert end in world.run("status", *options).err, "the notice above a list"
    ran = world.run("pauses", "--columns", "until,pause")
    assert ran.cells[0] == ["UNTIL", "PAUSE"]
    assert column(ran.cells, "PAUSE") == ["1", "2"]


def test_one_of_many_machines_is_not_drained(world: World) -> None:
    """It would stop the intake of all: the refusal says what to do instead."""
    world.settings.write_text(
        'fqdn = "relay.test"\n[store]\nurl = "postgresql://relayd@db.test/relayd"\n'
    )
    ran = world.run("drain", "--wait")
    assert ran.status == os.EX_USAGE
    assert "it would stop all machines. To end this one, stop relayd" in ran.err
    assert len(ran.err.splitlines()) == 1
