"""The dispatcher between a store and a receiver: each event arrives, in order, whatever breaks in between."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from datetime import timedelta
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest
from standardwebhooks.webhooks import Webhook

from relayd.console.hooks import dispatch, sign
from relayd.console.hooks.dial import Caller
from relayd.console.hooks.dispatch import Dispatcher
from relayd.control.context import ControlContext
from relayd.control.peer import Peer
from relayd.control.protocol import Message, decode, encode
from relayd.control.verbs import admit, answer
from relayd.control.webhooks import ToSend
from relayd.errors import DaemonUnreachable
from relayd.mail.operator import Action
from relayd.policy.console.access import Caller as Who
from relayd.policy.console.webhook import AT_ONCE, Off
from relayd.policy.console.webhook_secret import secret_of
from relayd.ports.outbox import TOLD, DeliveryQuery, DeliveryState, EndpointId, Subscription
from relayd.ports.people import Author
from relayd.ports.queue import QueueStore
from relayd.ports.view import Query, QueueView
from relayd.settings import UrlRules, WebhookSettings
from relayd.worker.system import SystemClock
from tests.support.builders import a_message, settlements_of
from tests.support.certificates import Authority
from tests.support.control_server import a_context
from tests.support.fake_dns import FakeDns
from tests.support.stores import LEASE, OPENERS
from tests.support.webhook_receiver import Behaviour, Receiver, Reply, die
from tests.support.workers import registered

ANNA = Author(by="anna (console)")
CONSOLE = Peer(name="relayd-console", caller=Who.CONSOLE)
DNS = FakeDns({"app.test": {"A": ["127.0.0.1"]}})
FIRST = EndpointId(1)


class World:
    """A store with a clock that is moved by hand, one endpoint, and its receiver."""

    def __init__(self, folder: Path, receiver: Receiver, caller: Caller) -> None:
        self.caller = caller
        self.box = OPENERS["sqlite"](folder)
        self.store: QueueStore = self.box.store
        self.view: QueueView = self.box.view
        self.receiver = receiver
        self.context: ControlContext = a_context(self.store, now=self.box.clock.now)
        self.is_away = False  # the daemon
        self.refused = asyncio.Event()
        self.lost: set[str] = set()  # verbs whose answers get lost
        self.settled = asyncio.Condition()

    async def ask(self, message: Message) -> Mapping[str, Any]:
        """Answer as a worker does, over a socket that may fail."""
        if self.is_away:
            self.refused.set()
            raise DaemonUnreachable("no daemon answers")
        asked = await admit(decode(encode(message)), CONSOLE, self.context)
        reply = await answer(*asked)
        assert isinstance(reply, Mapping)
        verb = str(message["verb"])
        if verb in self.lost:
            self.lost.discard(verb)
            raise DaemonUnreachable("it died before it answered")
        async with self.settled:
            self.settled.notify_all()
        return decode(encode(reply))

    async def until(self, state: DeliveryState, number: int) -> None:
        """Wait until so many deliveries are in a state; the clock goes on meanwhile."""
        async with asyncio.timeout(20):
            while self.count(state) < number:
                async with self.settled:
                    await self.settled.wait()
                if not self.count(DeliveryState.SENDING):  # no lease ends by that
                    self.box.advance(10)

    def count(self, state: DeliveryState) -> int:
        query = DeliveryQuery(endpoint=FIRST, states=(state,), limit=1000)
        return len(self.view.outbox.deliveries(query))

    async def happen(self, *addresses: str) -> None:
        """Have mail to each address relayed."""
        worker = await registered(self.store, "worker")
        message = a_message(*addresses, at=self.box.clock.now())
        for work in await self.store.enqueue(message, worker=worker, lease_for=LEASE):
            await self.store.settle(work.lease, settlements_of(work, at=self.box.clock.now()))

    def arrived(self) -> list[tuple[str, str]]:
        """Whom each request was about, and what happened."""
        return [(each.data["data"]["rcpt"], each.data["type"]) for each in self.receiver.requests]


@asynccontextmanager
async def a_world(folder: Path, *script: Behaviour) -> AsyncIterator[World]:
    authority = Authority(folder)
    context = authority.server_context("app.test")
    async with Receiver(context, script=list(script) or [Reply(200)]) as receiver:
        rules = UrlRules(ports={receiver.port})
        settings = WebhookSettings(url_rules=rules, allow_networks=(ip_network("127.0.0.1"),))
        trust = ssl.create_default_context(cafile=authority.cafile)
        world = World(folder, receiver, Caller(DNS, settings, trust))
        url = f"https://app.test:{receiver.port}/hook"
        wanted = Subscription(url=url, kinds=TOLD)
        assert await world.store.outbox.put_endpoint(wanted, author=ANNA) == FIRST
        yield world
        await world.box.close()


@asynccontextmanager
async def dispatching(world: World) -> AsyncIterator[Dispatcher]:
    """Run a dispatcher; it ends as the console's does."""
    dispatcher = Dispatcher(world.ask, world.caller, SystemClock().now)
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(dispatcher.run())
        yield dispatcher
        dispatcher.stop()
        await running


@pytest.fixture(autouse=True)
def _hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("_LOOK", "_AGAIN"):
        monkeypatch.setattr(dispatch, name, 0.02)


def each_once(world: World, addresses: Iterable[str]) -> bool:
    return sorted(who for who, _ in world.arrived()) == sorted(addresses)


async def test_what_happens_is_told_with_a_signature(tmp_path: Path) -> None:
    async with a_world(tmp_path) as world, dispatching(world):
        await world.happen("a@x.test")
        [request] = await world.receiver.got(1)
        secret = secret_of(FIRST, 1, key=await world.store.secret())
        body = Webhook(secret).verify(request.body, request.fields)
        assert (body["type"], body["data"]["rcpt"]) == ("recipient.relayed", "a@x.test")
        await world.until(DeliveryState.DONE, 1)
        [row] = world.view.outbox.deliveries(DeliveryQuery(endpoint=FIRST))
    assert request.fields["webhook-id"] == row.webhook_id
    assert row.last is not None
    assert (row.last.status, row.last.octets) == (200, len("thank you"))


async def test_eight_at_once_and_all_of_them(tmp_path: Path) -> None:
    addresses = [f"{number:03}@x.test" for number in range(100)]
    async with a_world(tmp_path) as world:
        await world.happen(*addresses)
        async with dispatching(world):
            await world.until(DeliveryState.DONE, 100)
        assert each_once(world, addresses)
        assert 1 < world.receiver.most_at_once <= AT_ONCE


async def test_events_of_a_recipient_arrive_in_order(tmp_path: Path) -> None:
    """Though the receiver fails now and then."""
    script: list[Behaviour] = [
        Reply(200),
        Reply(503),
        die,
        Reply(400),
        Reply(429, ["Retry-After: 7"]),
        Reply(200),
    ]
    async with a_world(tmp_path, *script) as world, dispatching(world):
        worker = await registered(world.store, "worker")
        message = a_message("a@x.test", "b@x.test", at=world.box.clock.now())
        await world.store.enqueue(message, worker=worker, lease_for=None)
        for action in (Action.HOLD, Action.RELEASE, Action.DROP):
            await world.store.act(Query(), action, by="ann", reason="")
        await world.until(DeliveryState.DONE, 6)
        for who in ("a@x.test", "b@x.test"):
            kinds = list(dict.fromkeys(kind for rcpt, kind in world.arrived() if rcpt == who))
            assert kinds == [f"recipient.{each}" for each in ("held", "released", "dropped")]
            seen = [kind for rcpt, kind in world.arrived() if rcpt == who]
            assert seen == sorted(seen, key=kinds.index)


async def test_a_dead_receiver_costs_one_request_at_a_time(tmp_path: Path) -> None:
    script: list[Behaviour] = [Reply(503)] * 10
    async with a_world(tmp_path, *script, Reply(200)) as world:
        await world.happen(*(f"{number}@x.test" for number in range(10)))
        async with dispatching(world):
            await world.until(DeliveryState.DONE, 10)
        [endpoint] = world.view.outbox.endpoints()
        assert endpoint.failures == 0
        assert len(world.receiver.requests) == 20  # 8 at first, then one for each rest


async def test_no_retry_after_ends_the_dispatcher(tmp_path: Path) -> None:
    """A receiver says what it likes: the console goes on."""
    far = "Retry-After: Thu, 01 Jan 99999999999999999999 00:00:00 GMT"
    async with a_world(tmp_path, Reply(503, [far]), Reply(200)) as world, dispatching(world):
        await world.happen("a@x.test")
        await world.until(DeliveryState.DONE, 1)


async def test_gone_is_heard_and_nothing_is_sent_any_more(tmp_path: Path) -> None:
    async with a_world(tmp_path, Reply(410)) as world:
        await world.happen("a@x.test")
        async with dispatching(world):
            await world.receiver.got(1)
            async with world.settled:
                await world.settled.wait_for(lambda: bool(world.view.outbox.endpoints()[0].off))
            await world.happen("b@x.test")
        [endpoint] = world.view.outbox.endpoints()
        assert (endpoint.off, endpoint.waiting) == (Off.GONE, 2)
        assert len(world.receiver.requests) == 1


@pytest.mark.parametrize("verb", ["deliveries.claim", "deliveries.settle"])
async def test_an_answer_of_the_daemon_that_gets_lost_loses_nothing(
    tmp_path: Path, verb: str
) -> None:
    async with a_world(tmp_path) as world:
        await world.happen("a@x.test")
        world.lost.add(verb)
        async with dispatching(world):
            async with asyncio.timeout(20):
                while not world.receiver.requests:
                    world.box.advance(30)  # the lease of what was lost ends
                    await asyncio.sleep(0.02)
            await world.until(DeliveryState.DONE, 1)
        assert set(world.arrived()) == {("a@x.test", "recipient.relayed")}


async def test_one_that_cannot_be_made_stops_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """An error of ours is told, and the console goes on."""
    made: list[ToSend] = []

    def body_of(delivery: ToSend) -> bytes:
        made.append(delivery)
        if len(made) == 1:
            raise KeyError("a bug")
        return sign.body_of(delivery)

    monkeypatch.setattr(dispatch, "body_of", body_of)
    async with a_world(tmp_path) as world, dispatching(world):
        await world.happen("a@x.test")
        await world.until(DeliveryState.DONE, 1)
    assert len(made) == 2
    assert "webhook_failed" in capsys.readouterr().out


async def test_a_daemon_that_is_away_is_waited_for(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async with a_world(tmp_path) as world:
        await world.happen("a@x.test")
        world.is_away = True
        async with dispatching(world):
            async with asyncio.timeout(10):
                await world.refused.wait()
            world.is_away = False
            await world.until(DeliveryState.DONE, 1)
    assert "webhooks_wait" in capsys.readouterr().out


async def test_the_end_waits_for_what_is_under_way(tmp_path: Path) -> None:
    """What a receiver has taken is on record when the console has ended."""
    may_answer = asyncio.Event()

    async def slowly(writer: asyncio.StreamWriter) -> None:
        await may_answer.wait()
        await Reply(200)(writer)

    async with a_world(tmp_path, slowly) as world:
        await world.happen("a@x.test")
        async with dispatching(world) as dispatcher:
            await world.receiver.got(1)
            dispatcher.stop()
            asyncio.get_running_loop().call_later(0.05, may_answer.set)
        [row] = world.view.outbox.deliveries(DeliveryQuery(endpoint=FIRST))
        assert row.state is DeliveryState.DONE


async def test_the_end_does_not_wait_for_a_daemon_that_is_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dispatch, "_FINISH", 0.1)
    async with a_world(tmp_path) as world:
        await world.happen("a@x.test")
        async with asyncio.timeout(5), dispatching(world):
            await world.receiver.got(1)
            world.is_away = True
        world.box.advance(61)
        claimed = await world.store.outbox.claim_deliveries(9, lease_for=timedelta(seconds=1))
        assert len(claimed) <= 1  # it was settled at the last moment, or is sent again
