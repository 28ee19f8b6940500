"""`relayd console webhook`: through a control server to a real store."""

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest
from structlog.testing import capture_logs

from relayd.cli.console import deliveries
from relayd.mail.words import EventKind
from relayd.policy.console.webhook_secret import secret_of
from relayd.ports.outbox import (
    TOLD,
    DeliveryQuery,
    DeliveryResult,
    EndpointId,
    Heard,
    OutboxView,
    Outgoing,
)
from relayd.ports.queue import QueueStore
from relayd.store import open_view
from tests.support.builders import a_message, settlements_of
from tests.support.cli_world import Ran, World
from tests.support.clock import START
from tests.support.control_server import a_control_server
from tests.support.stores import LEASE
from tests.support.workers import registered

URL = "https://app.test/hook"
FIRST = EndpointId(1)


class Console:
    """`relayd console webhook ...` beside a daemon, and what is in the store then."""

    def __init__(self, world: World, store: QueueStore, view: OutboxView) -> None:
        self.world = world
        self.store = store
        self.view = view

    async def run(self, *words: str) -> Ran:
        return await asyncio.to_thread(self.world.run, "console", "webhook", *words)

    async def happen(self, *addresses: str) -> None:
        worker = await registered(self.store, "worker")
        message = a_message(*addresses, at=START)
        for work in await self.store.enqueue(message, worker=worker, lease_for=LEASE):
            await self.store.settle(work.lease, settlements_of(work))

    async def claimed(self) -> list[Outgoing]:
        return [*await self.store.outbox.claim_deliveries(9, lease_for=LEASE)]

    async def answer(self, each: Outgoing, heard: Heard) -> None:
        result = DeliveryResult(
            endpoint=each.endpoint, number=each.number, claim=each.claim, heard=heard
        )
        await self.store.outbox.settle_deliveries([result], jitter=0.0)


@pytest.fixture
async def console(world: World) -> AsyncIterator[Console]:
    store = world.open_store()
    async with a_control_server(world.socket, store):
        with (
            capture_logs(),
            contextlib.closing(open_view(f"sqlite:{world.folder}/queue.db")) as view,
        ):
            yield Console(world, store, view.outbox)
    await store.close()


async def test_a_webhook_is_added_and_its_secret_shown_once(console: Console) -> None:
    ran = await console.run(
        *("add", URL, "--events", "bounced,complained", "--senders", "@app.test,a@x.test"),
        *("--tags", "news"),
    )
    secret = secret_of(1, 1, key=await console.store.secret())
    assert (ran.status, ran.out) == (0, f"{secret}\n")
    assert "added webhook 1" in ran.err
    [found] = console.view.endpoints()
    assert found.wanted.kinds == (EventKind.BOUNCED, EventKind.COMPLAINED)
    assert (found.wanted.senders, found.wanted.tags) == (("@app.test", "a@x.test"), ("news",))
    ran = await console.run("add", URL, "--json")
    assert ran.rows == [
        {
            "webhook": 2,
            "action": "added",
            "secret": secret_of(2, 1, key=await console.store.secret()),
        }
    ]
    assert console.view.endpoints()[1].wanted.kinds == TOLD
    for words in (["list"], ["show", "1"], ["list", "--json"], ["show", "1", "--json"]):
        assert "whsec" not in (await console.run(*words)).out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["http://app.test/"], "https"),
        (["https://127.0.0.1/"], "loopback"),
        ([URL, "--events", "received"], "is not one of"),
        ([URL, "--senders", "nonsense"], "expected senders"),
    ],
)
async def test_what_cannot_be_is_refused(console: Console, words: list[str], said: str) -> None:
    ran = await console.run("add", *words)
    assert ran.status
    assert said in ran.err
    assert console.view.endpoints() == []


async def test_a_webhook_is_changed_one_thing_at_a_time(console: Console) -> None:
    await console.run("add", URL, "--events", "bounced", "--tags", "news")
    for words, changed in (
        (["--url", f"{URL}2"], {"url": f"{URL}2"}),
        (["--events", "relayed"], {"kinds": (EventKind.RELAYED,)}),
        (["--events", ""], {"kinds": TOLD}),
        (["--tags", ""], {"tags": ()}),
        (["--senders", "@x.test"], {"senders": ("@x.test",)}),
        (["--disable"], {"is_on": False}),
        (["--tags", "other"], {"tags": ("other",), "is_on": False}),
        (["--enable"], {"is_on": True, "url": f"{URL}2", "senders": ("@x.test",)}),
    ):
        ran = await console.run("set", "1", *words)
        assert (ran.status, ran.out, ran.err) == (0, "changed 1\n", "")
        [found] = console.view.endpoints()
        assert {name: getattr(found.wanted, name) for name in changed} == changed
    assert (await console.run("set", "1")).status == os.EX_USAGE


async def test_a_webhook_is_rotated_and_removed(console: Console) -> None:
    await console.run("add", URL)
    ran = await console.run("rotate", "1")
    assert ran.out == f"{secret_of(1, 2, key=await console.store.secret())}\n"
    assert (await console.run("remove", "1", "--json")).rows == [{"name": "1", "action": "removed"}]
    assert console.view.endpoints() == []


@pytest.mark.parametrize(
    "words",
    [
        ["set", "7", "--disable"],
        ["remove", "7"],
        ["rotate", "7"],
        ["show", "7"],
        ["test", "7"],
        ["replay", "7", "--all"],
        ["deliveries", "7"],
    ],
)
async def test_what_is_not_there_is_named(console: Console, words: list[str]) -> None:
    ran = await console.run(*words)
    assert (ran.status, ran.out) == (os.EX_NOINPUT, "")
    assert "there is no webhook 7: relayd console webhook list" in ran.err


async def test_the_list_says_how_each_does(console: Console) -> None:
    for words in ([URL, "--events", "relayed"], [URL, "--events", "bounced"], [URL]):
        await console.run("add", *words)
    await console.run("set", "2", "--disable")
    await console.happen("a@x.test")
    first, third = await console.claimed()
    await console.answer(first, Heard(status=503))
    await console.answer(third, Heard(status=410))
    cells = (await console.run("list", "--columns", "webhook,events,state,waiting,failed")).cells
    assert cells[1:] == [
        ["1", "relayed", "fails: 503", "1", "0"],
        ["2", "bounced", "disabled", "0", "0"],
        ["3", "all", "disabled: gone", "1", "0"],
    ]
    shown = (await console.run("show", "1")).out
    assert "url                https://app.test/hook\n" in shown
    assert "status             503\n" in shown


async def test_deliveries_are_shown_and_sent_again(console: Console) -> None:
    await console.run("add", URL, "--events", "relayed")
    await console.happen("a@x.test", "b@x.test")
    first, second = await console.claimed()
    await console.answer(first, Heard(status=200, octets=2, took=timedelta(seconds=0.25)))
    await console.answer(second, Heard(trouble="time is up"))
    rows = (await console.run("deliveries", "1", "--json")).rows
    assert [(row["rcpt"], row["state"], row.get("reason")) for row in rows] == [
        ("b@x.test", "waiting", "time is up"),
        ("a@x.test", "done", None),
    ]
    assert rows[1]["id"] == first.webhook_id
    assert (rows[1]["status"], rows[1]["seconds"], rows[1]["type"]) == (
        200,
        0.25,
        "recipient.relayed",
    )
    cells = (await console.run("deliveries", "--columns", "recipient,state,heard")).cells
    assert cells[1:] == [["b@x.test", "waiting", "time is up"], ["a@x.test", "done", "200"]]
    assert len((await console.run("deliveries", "--waiting", "--json")).rows) == 1
    assert (await console.run("deliveries", "--failed", "--json")).rows == []
    ran = await console.run("replay", "1", "--delivery", first.webhook_id)
    assert (ran.status, ran.out) == (0, "1 to be sent again\n")
    ran = await console.run("replay", "1", "--since", "2020-01-01", "--json")
    assert ran.rows == [{"webhook": 1, "action": "replayed", "changed": 0}]
    assert (await console.run("replay", "1")).status == os.EX_USAGE
    assert (await console.run("replay", "1", "--delivery", "evt_x")).status == os.EX_USAGE


@pytest.mark.parametrize(("status", "exit_status"), [(204, 0), (500, 1)])
async def test_a_test_waits_for_the_answer(console: Console, status: int, exit_status: int) -> None:
    await console.run("add", URL)
    running = asyncio.ensure_future(console.run("test", "1"))
    async with asyncio.timeout(10):
        while not (sent := await console.claimed()):  # noqa: ASYNC110 -- the command tells nobody
            await asyncio.sleep(0.01)
        await console.answer(sent[0], Heard(status=status))
        ran = await running
    assert ran.status == exit_status
    assert ran.out == f"{sent[0].webhook_id} {'failed' if exit_status else 'done'}: {status}\n"


async def test_a_test_that_nobody_sends_is_told(
    console: Console, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deliveries, "_WITHIN", 0.1)
    await console.run("add", URL)
    ran = await console.run("test", "1")
    assert ran.status == 1
    assert "is `relayd console` running?" in ran.err
    [row] = console.view.deliveries(DeliveryQuery(endpoint=FIRST))
    assert row.event is None
