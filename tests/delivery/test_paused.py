"""Mail that a worker has in hand when a pause rule begins."""

import asyncio

import pytest

from relayd.errors import CommitUnknown
from relayd.mail.pause import Named, PauseRule, Scope, Side
from relayd.policy.pausing import Pausing
from relayd.store.memory.queue import MemoryStore
from tests.support.builders import a_message
from tests.support.clock import START, FakeClock
from tests.support.faulty_store import FaultyStore
from tests.support.post import a_post, eventually
from tests.support.scripted_server import Action, InTurn, ScriptedServer, Wait

SHOP = "shop@app.test"
OF_SHOP = Named(Scope.SENDER, SHOP)


def a_rule(named: Named) -> PauseRule:
    delivery = frozenset({Side.DELIVERY})
    return PauseRule(named=named, sides=delivery, since=START, until=None, by="ann", reason="")


async def test_what_waits_for_a_connection_is_put_back() -> None:
    """It was leased before. Nothing of it is attempted, and nothing is counted."""
    gate = asyncio.Event()
    store = MemoryStore(FakeClock())
    stamp = [0]
    pausing = Pausing(stamp, read=store.pause_rules)
    script: dict[str, Action | list[str]] = {"DOT": InTurn(Wait(gate, "250 ok"), "250 ok")}
    async with (
        ScriptedServer(script) as server,
        a_post(server.port, store=store, connections=1, pausing=pausing) as post,
    ):
        first = await post.submit(a_message("first@x.test"), leased=True)
        await server.received(1)
        paused = [
            await post.submit(a_message(f"{number}@x.test", reverse_path=SHOP), leased=True)
            for number in range(5)
        ]
        last = await post.submit(a_message("last@x.test"), leased=True)
        [rule] = await store.pause([a_rule(OF_SHOP)])
        stamp[0] += 1
        gate.set()
        await post.settled(first, last)
        await eventually(lambda: post.leased() == 0)
        assert [one.rcpts for one in server.messages] == [
            ("TO:<first@x.test>",),
            ("TO:<last@x.test>",),
        ]
        assert all((post.row(one).attempts, post.kinds(one)) == (0, []) for one in paused)
        await store.unpause([rule.number], list(Side))
        stamp[0] += 1
        post.scheduler.wake()
        await post.settled(*paused)
        assert len(server.messages) == 7
        assert server.connections == 1


@pytest.mark.parametrize(
    "named", [OF_SHOP, Named(Scope.ALL), Named(Scope.DESTINATION, "smarthost")]
)
async def test_no_connection_is_opened_for_paused_mail(named: Named) -> None:
    store = MemoryStore(FakeClock())
    pausing = Pausing([1], read=lambda: [a_rule(named)])
    async with (
        ScriptedServer() as server,
        a_post(server.port, store=store, pausing=pausing) as post,
    ):
        message = await post.submit(a_message("a@x.test", reverse_path=SHOP), leased=True)
        await eventually(lambda: post.row(message).attempts == 0)
        await store.pause([a_rule(named)])
        await post.quiet()
        assert server.connections == 0


@pytest.mark.parametrize("is_done", [True, False], ids=["it-was-written", "it-was-not"])
async def test_paused_mail_is_put_back_although_nobody_knows_of_the_commit(
    *, is_done: bool
) -> None:
    """S-55. It may not be asked for again, so the lease is handed back. The others go out as before."""
    gate = asyncio.Event()
    store = FaultyStore(FakeClock())
    stamp = [0]
    pausing = Pausing(stamp, read=store.pause_rules)
    script: dict[str, Action | list[str]] = {"EHLO": Wait(gate, "250 mx.test")}
    async with (
        ScriptedServer(script) as server,
        a_post(server.port, store=store, pausing=pausing) as post,
    ):
        paused = await post.submit(a_message("a@x.test"), leased=True)
        other = await post.submit(a_message("b@y.test"), leased=True)
        await eventually(lambda: server.connections == 1)
        [rule] = await store.pause([a_rule(Named(Scope.DOMAIN, "x.test"))])
        stamp[0] += 1
        if is_done:
            store.forget_answer("settle")
        else:
            store.fail("settle", times=1, error=CommitUnknown("who knows"))
        gate.set()
        await post.settled(other)
        await post.quiet()
        assert (post.row(paused).attempts, post.kinds(paused)) == (0, [])
        await store.unpause([rule.number], list(Side))
        stamp[0] += 1
        post.scheduler.wake()
        await post.settled(paused)
        assert len(server.messages) == 2


async def test_a_rule_that_comes_while_a_connection_is_opened_counts() -> None:
    """One recipient of a message is paused; the other gets it."""
    gate = asyncio.Event()
    store = MemoryStore(FakeClock())
    stamp = [0]
    pausing = Pausing(stamp, read=store.pause_rules)
    script: dict[str, Action | list[str]] = {"EHLO": Wait(gate, "250 mx.test")}
    async with (
        ScriptedServer(script) as server,
        a_post(server.port, store=store, pausing=pausing) as post,
    ):
        message = await post.submit(a_message("a@x.test", "b@y.test"), leased=True)
        await eventually(lambda: server.connections == 1)
        await store.pause([a_rule(Named(Scope.DOMAIN, "x.test"))])
        stamp[0] += 1
        gate.set()
        await server.received(1)
        await post.quiet()
        assert [one.rcpts for one in server.messages] == [("TO:<b@y.test>",)]
        assert (post.kinds(message), post.kinds(message, 1)) == ([], ["relayed"])
