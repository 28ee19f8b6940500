"""`relayd queue` against a real store and a real control socket."""

import asyncio
import contextlib
import csv
import os
import socket
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from relayd.cli.confirm import MANY
from relayd.control.context import ControlContext
from relayd.control.protocol import Message
from relayd.control.server import serve_control
from relayd.errors import RelaydError
from relayd.mail.envelope import NewMessage
from relayd.mail.event import Event
from relayd.mail.ids import format_id
from relayd.mail.operator import Action
from relayd.ports.view import Query, Status
from relayd.store import open_view
from tests.support.accounts import lone_log_ins
from tests.support.builders import a_bounce, a_deferral, a_message, settlements_of
from tests.support.cli_world import Ran, World, column, enqueue, make_world
from tests.support.clock import START
from tests.support.control_server import no_change, no_checks
from tests.support.following import nobody_follows
from tests.support.requeueing import sends_again
from tests.support.stores import LEASE
from tests.support.supervised import settings_of
from tests.support.workers import registered


async def no_reload() -> Message:
    raise RelaydError("nobody asked for it")


@pytest.fixture
def world(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> World:
    return make_world(tmp_path, capsys.readouterr)


@contextlib.asynccontextmanager
async def daemon(world: World) -> AsyncIterator[list[Event]]:
    """The control server of one worker; gives the events that it recorded."""
    store = world.open_store()
    recorded: list[Event] = []
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(world.socket))
        listening.listen()
        async with asyncio.TaskGroup() as group:
            server = group.create_task(
                serve_control(
                    listening,
                    ControlContext(
                        store=store,
                        on_change=lambda: None,
                        on_pauses=lambda: None,
                        now=world.clock.now,
                        record=lambda acted: recorded.extend(acted.events),
                        info=dict,
                        oldest_kept=lambda: START,
                        settings=settings_of([], control="unused", queue="unused"),
                        told=lambda _: None,
                        log_ins=lone_log_ins(),
                        jitter=lambda: 0.0,
                        reload=no_reload,
                        set_keys=no_change,
                        follow=nobody_follows,
                        doctor=no_checks,
                        send_again=sends_again(world.clock),
                    ),
                )
            )
            yield recorded
            server.cancel()
    await store.close()


@pytest.fixture
async def queued(world: World) -> list[NewMessage]:
    messages = [
        a_message("a@example.org", "b@example.com"),
        a_message("c@example.org", tag="news"),
    ]
    store = world.open_store()
    await enqueue(store, *messages)
    await store.close()
    return messages


def statuses(world: World) -> dict[str, Status]:
    with contextlib.closing(open_view(f"sqlite:{world.folder}/queue.db")) as view:
        return {row.address: row.status for row in view.find(Query(), limit=99)}


async def run(world: World, *arguments: str) -> Ran:
    return await asyncio.to_thread(world.run, "queue", *arguments)


async def test_hold_and_release_by_filter(world: World, queued: list[NewMessage]) -> None:
    async with daemon(world) as recorded:
        why = ("--reason", "look at it")
        ran = await run(world, "hold", "--domain", "example.org", *why, "--list")
        assert (ran.status, ran.err) == (0, "")
        assert ran.out.splitlines()[-1] == "held 2 recipients"
        assert set(column(ran.cells[:-1], "RECIPIENT")) == {"a@example.org", "c@example.org"}
        assert statuses(world) == {
            "a@example.org": Status.HELD,
            "b@example.com": Status.QUEUED,
            "c@example.org": Status.HELD,
        }
        assert {event.detail["reason"] for event in recorded} == {"look at it"}
        told = await asyncio.to_thread(world.run, "status", "show", format_id(queued[1].id))
        assert "somebody to release it; held by " in told.out
        assert "look at it" in told.out
        ran = await run(world, "release", "--all", "--json", "--list")
        *rows, counts = ran.rows
        assert counts == {"action": "release", "matched": 3, "changed": 2}
        assert {(row["event"], row["rcpt"]) for row in rows} == {
            ("released", "a@example.org"),
            ("released", "c@example.org"),
        }
        assert all(row["queue_id"] and row["by"] and row["ts"] for row in rows)
        for row in rows:
            shown = await asyncio.to_thread(world.run, "status", "show", "--json", row["queue_id"])
            [recipient] = [one for one in shown.rows if one["rcpt"] == row["rcpt"]]
            fields = {name: value for name, value in row.items() if name != "recipient"}
            assert recipient["history"][-1] == fields, "the same for all who tell it"
    assert set(statuses(world).values()) == {Status.QUEUED}


async def test_ids_and_filters_together_narrow(world: World, queued: list[NewMessage]) -> None:
    ids = [format_id(message.id).lower() for message in queued]
    async with daemon(world):
        ran = await run(world, "drop", *ids, "--domain", "example.org")
        told = "dropped 2 recipients\n"  # rows are for those who ask for them
        assert (ran.status, ran.out) == (0, told)
    assert statuses(world)["b@example.com"] is Status.QUEUED


VERBS = {"bounce": "bounced", "drop": "dropped", "expedite": "expedited", "hold": "held"}


@pytest.mark.parametrize(("verb", "done"), VERBS.items(), ids=VERBS)
async def test_every_verb_acts_on_an_id(
    world: World, queued: list[NewMessage], verb: str, done: str
) -> None:
    async with daemon(world) as recorded:
        ran = await run(world, verb, format_id(queued[1].id))
    assert (ran.status, ran.out) == (0, f"{done} 1 recipient\n")
    assert [event.kind.value for event in recorded] == [done]


async def test_id_that_matches_nothing_is_66(world: World, queued: list[NewMessage]) -> None:
    """What matches is changed all the same."""
    async with daemon(world):
        ran = await run(world, "hold", "0" * 13, format_id(queued[1].id))
    assert ran.status == os.EX_NOINPUT
    assert "0" * 13 in ran.err
    assert statuses(world)["c@example.org"] is Status.HELD


@pytest.mark.usefixtures("queued")
async def test_filter_that_matches_nothing_is_no_error(world: World) -> None:
    async with daemon(world):
        ran = await run(world, "hold", "--tag", "other")
    assert (ran.status, ran.out) == (0, "held 0 recipients\n")


REFUSED = {
    "hold nothing": ["hold"],
    "drop nothing": ["drop"],
    "reason is no selector": ["bounce", "--reason", "x"],
    "empty recipient": ["drop", "--recipient", ""],
    "drop all": ["drop", "--all"],
    "bounce all": ["bounce", "--all"],
    "yes is no selector": ["drop", "--yes"],
    "all and an id": ["hold", "--all", "0" * 13],
    "all and a filter": ["hold", "--all", "--domain", "example.org"],
    "not an id": ["hold", "a@example.org"],
}


@pytest.mark.usefixtures("queued")
@pytest.mark.parametrize("arguments", REFUSED.values(), ids=REFUSED)
async def test_never_everything_by_default(world: World, arguments: list[str]) -> None:
    async with daemon(world) as recorded:
        ran = await run(world, *arguments)
    assert (ran.status, ran.out) == (os.EX_USAGE, "")
    assert recorded == []
    assert set(statuses(world).values()) == {Status.QUEUED}


@pytest.mark.usefixtures("queued")
@pytest.mark.parametrize("arguments", [["drop", "--all", "--yes"], ["hold", "--all"]])
async def test_everything_when_it_is_said(world: World, arguments: list[str]) -> None:
    async with daemon(world):
        ran = await run(world, *arguments)
    assert ran.status == 0
    assert set(statuses(world).values()) <= {Status.DROPPED, Status.HELD}


@pytest.mark.usefixtures("queued")
def test_without_a_daemon_nothing_is_changed(world: World) -> None:
    ran = world.run("queue", "hold", "--all")
    assert (ran.status, ran.out) == (os.EX_UNAVAILABLE, "")
    assert (
        ran.err
        == f"relayd: no daemon at {world.socket}: No such file or directory; start it: systemctl start relayd\n"
    )
    assert set(statuses(world).values()) == {Status.QUEUED}


async def test_list_shows_unfinished_only(world: World, queued: list[NewMessage]) -> None:
    async with daemon(world):
        await run(world, "drop", "--recipient", "a@example.org")
    everything = world.run("queue", "list")
    assert column(everything.cells, "RECIPIENT") == ["c@example.org", "b@example.com"]
    assert len(world.run("queue", "list", "--tag", "news").cells) == 2
    by_id = world.run("queue", "list", "--json", *(format_id(one.id) for one in queued))
    assert {row["rcpt"] for row in by_id.rows} == {"b@example.com", "c@example.org"}
    assert world.run("queue", "list", "--status", "dropped", "--json").rows == []


async def test_change_is_told_even_if_the_store_cannot_be_read(
    world: World, queued: list[NewMessage]
) -> None:
    """An operator in the socket's group may lack the right to read the queue."""
    async with daemon(world):
        elsewhere = world.settings.read_text().replace("queue.db", "no.db")
        world.settings.write_text(elsewhere)
        ran = await run(world, "hold", format_id(queued[1].id), "--list")
    assert ran.status == 0
    address = str(queued[1].recipients[0].address)
    assert ran.cells[:-1] == [["ID", "RECIPIENT"], [format_id(queued[1].id), address]]


@pytest.fixture
async def many(world: World) -> None:
    store = world.open_store()
    await enqueue(store, a_message(*(f"{number}@many.test" for number in range(MANY + 1))))
    await store.close()


@pytest.mark.usefixtures("many")
async def test_many_are_changed_only_when_that_is_said(world: World) -> None:
    """Without a terminal nobody can be asked; the count is told before, by a run that changes nothing."""
    async with daemon(world) as recorded:
        for action in Action:
            ran = await run(world, action.value, "--domain", "many.test")
            if action is Action.RELEASE:  # nothing is held, so there is nothing to ask
                told = "released 0 recipients; 101 that match are left alone\n"
                assert (ran.status, ran.out) == (0, told)
                continue
            assert (ran.status, ran.out) == (os.EX_USAGE, "")
            assert f"This would {action} 101 recipients: add --yes" in ran.err
        assert recorded == []
        ran = await run(world, "hold", "--domain", "many.test", "--dry-run")
        assert (ran.status, ran.out) == (0, "would hold 101 recipients\n")
        ran = await run(world, "hold", "--all", "--dry-run", "--json")
        counts = {"matched": 101, "changed": 101, "last_retry": 0}
        assert ran.rows == [{"action": "hold", "dry_run": True, **counts}]
        assert recorded == []
        ran = await run(world, "hold", "--domain", "many.test", "--yes")
        assert (ran.status, ran.out) == (0, "held 101 recipients\n")


@pytest.mark.usefixtures("many")
async def test_parts_add_up(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("relayd.cli.ask.queue._Act.at_once", 40)
    async with daemon(world) as recorded:
        ran = await run(world, "expedite", "--domain", "many.test", "--yes", "--list")
    assert ran.out.splitlines()[-1] == "expedited 101 recipients"
    assert len(column(ran.cells[:-1], "RECIPIENT")) == len(recorded) == 101


@pytest.mark.usefixtures("many")
async def test_a_dry_run_lists_what_would_change(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same rows as the act itself then, without a question; the numbers are the last line."""
    monkeypatch.setattr("relayd.cli.ask.queue._Act.at_once", 40)
    which = ("hold", "--domain", "many.test", "--list")
    async with daemon(world) as recorded:
        ran = await run(world, *which, "--dry-run")
        assert (ran.status, recorded) == (0, [])
        assert ran.out.splitlines()[-1] == "would hold 101 recipients"
        *rows, counts = (await run(world, *which, "--dry-run", "--json")).rows
        as_csv = await run(world, *which, "--dry-run", "--csv")
        done = await run(world, *which, "--yes")
        again = await run(world, *which, "--dry-run")
    assert sorted(ran.cells[:-1]) == sorted(done.cells[:-1])
    assert ran.cells[:-1] == [
        ["ID", "RECIPIENT"],
        *([row["queue_id"], row["rcpt"]] for row in rows),
    ]
    assert counts == {
        "action": "hold",
        "dry_run": True,
        "matched": 101,
        "changed": 101,
        "last_retry": 0,
    }
    told = list(csv.DictReader(as_csv.out.splitlines()))
    assert told == [{name: str(value) for name, value in row.items()} for row in rows]
    assert as_csv.err == "would hold 101 recipients\n"
    left = "would hold 0 recipients; 101 that match are left alone\n"
    assert again.out == f"ID\tRECIPIENT\n{left}"


async def test_rows_of_an_act_as_csv(world: World, queued: list[NewMessage]) -> None:
    async with daemon(world):
        ran = await run(world, "drop", format_id(queued[1].id), "--list", "--csv")
        alone = await run(world, "drop", format_id(queued[0].id), "--csv")
    [row] = csv.DictReader(ran.out.splitlines())
    assert (row["event"], row["rcpt"], row["tag"]) == ("dropped", "c@example.org", "news")
    assert ran.err == "dropped 1 recipient\n"
    assert (alone.status, "--csv is for the rows of --list" in alone.err) == (os.EX_USAGE, True)


async def test_who_is_at_the_last_retry_is_told_before(world: World) -> None:
    store = world.open_store()
    worker = await registered(store, "worker")
    message = a_message("a@example.org", "b@example.org")
    for work in await store.enqueue(message, worker=worker, lease_for=LEASE):
        later = world.clock.now() + LEASE
        tired = replace(a_deferral(later), soft_failures=1)
        await store.settle(work.lease, settlements_of(work, tired))
    await store.close()
    async with daemon(world):
        ran = await run(world, "expedite", "--all", "--dry-run")
    assert ran.out == "would expedite 2 recipients\n"
    assert "2 of these have used their last retry and would bounce at the next failure" in ran.err


@pytest.fixture
async def bounced(world: World) -> list[NewMessage]:
    """Two messages that bounced, the second for one of its two recipients."""
    messages = [a_message("a@x.test"), a_message("b@x.test", "c@x.test")]
    store = world.open_store()
    worker = await registered(store, "worker")
    for message in messages:
        for work in await store.enqueue(message, worker=worker, lease_for=LEASE):
            ended = settlements_of(work)
            ended[0] = replace(ended[0], outcome=replace(a_bounce(), suppress=False))
            await store.settle(work.lease, ended)
    await store.close()
    return messages


async def test_bounced_mail_is_sent_again_once(world: World, bounced: list[NewMessage]) -> None:
    async with daemon(world) as recorded:
        ran = await run(world, "requeue", "--domain", "x.test", "--dry-run")
        assert (ran.status, ran.out) == (0, "would requeue 2 recipients\n")
        ran = await run(world, "requeue", "--domain", "x.test", "--dry-run", "--list")
        assert set(column(ran.cells[:-1], "RECIPIENT")) == {"a@x.test", "b@x.test"}
        assert ran.out.splitlines()[-1] == "would requeue 2 recipients"
        assert recorded == []
        ran = await run(world, "requeue", "--domain", "x.test", "--list", "--reason", "my fault")
        assert (ran.status, ran.err) == (0, "")
        assert ran.out.splitlines()[-1] == "requeued 2 recipients"
        assert set(column(ran.cells[:-1], "RECIPIENT")) == {"a@x.test", "b@x.test"}
        told = await asyncio.to_thread(world.run, "status", "show", format_id(bounced[0].id))
        [new] = [row[2] for row in ran.cells[1:-1] if row[1] == "a@x.test"]
        assert "requeued" in told.out
        assert f"as {new}" in told.out
        told = await asyncio.to_thread(world.run, "status", "show", new)
        assert f"from {format_id(bounced[0].id)}" in told.out
        ran = await run(world, "requeue", "--domain", "x.test")
        left = "left alone: 2 requeued before (--again sends them once more)"
        assert (ran.status, ran.out) == (0, f"requeued 0 recipients; {left}\n")
        ran = await run(world, "requeue", format_id(bounced[0].id))
        assert ran.status == os.EX_NOINPUT
        ran = await run(world, "requeue", format_id(bounced[0].id), "--again", "--json", "--list")
        event, counts = ran.rows
        assert event["event"] == "requeued"
        assert counts == {
            "action": "requeue",
            "matched": 1,
            "changed": 1,
            "suppressed": 0,
            "already": 0,
            "gone": 0,
            "refused": 0,
        }
    with contextlib.closing(open_view(f"sqlite:{world.folder}/queue.db")) as view:
        queued = view.find(Query(status=(Status.QUEUED,)), limit=99)
    assert sorted(row.address for row in queued) == ["a@x.test", "a@x.test", "b@x.test"]


NOT_REQUEUED = {
    "nothing said": ["requeue"],
    "all and an id": ["requeue", "--all", "0" * 13],
    "what waits": ["requeue", "--all", "--status", "queued"],
    "no id": ["requeue", "a@x.test"],
}


@pytest.mark.usefixtures("bounced")
@pytest.mark.parametrize("arguments", NOT_REQUEUED.values(), ids=NOT_REQUEUED)
async def test_nothing_is_requeued_by_a_slip(world: World, arguments: list[str]) -> None:
    async with daemon(world) as recorded:
        ran = await run(world, *arguments)
    assert (ran.status, ran.out, recorded) == (os.EX_USAGE, "", [])


async def test_content_that_is_gone_is_counted(world: World, bounced: list[NewMessage]) -> None:
    store = world.open_store()
    await registered(store, "worker")
    assert (await store.let_go(world.clock.now() + LEASE)).messages == len(bounced)
    await store.close()
    async with daemon(world):
        ran = await run(world, "requeue", "--all")
    left = "left alone: 2 whose content is deleted (store.keep_bounced)"
    assert (ran.status, ran.out) == (0, f"requeued 0 recipients; {left}\n")
