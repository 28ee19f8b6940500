"""`kill -9` of what sends webhooks, and of the worker that it asks, at each point where something is half done.

Two processes with a store between them; each kills itself at the points that it is told, and another one takes
its place. Every event arrives, under one id, and those of a recipient in their order.
"""

import asyncio
import contextlib
import os
import signal
import socket
import ssl
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from datetime import timedelta
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest

from relayd.console.hooks import dispatch
from relayd.console.hooks.dial import Caller
from relayd.console.hooks.dispatch import Dispatcher
from relayd.control import client
from relayd.control.protocol import Message
from relayd.control.server import serve_control
from relayd.control.verbs import webhooks
from relayd.mail.operator import Action
from relayd.mail.words import EventKind
from relayd.ports.outbox import Subscription
from relayd.ports.people import Author
from relayd.ports.view import Query
from relayd.settings import UrlRules, WebhookSettings
from relayd.store import open_store, open_view
from relayd.worker.system import SystemClock
from tests.support.builders import a_message
from tests.support.certificates import Authority
from tests.support.control_server import a_context
from tests.support.daemon import ROOT
from tests.support.fake_dns import FakeDns
from tests.support.webhook_receiver import Receiver
from tests.support.workers import registered

RECIPIENTS = 40
ACTIONS = (Action.HOLD, Action.RELEASE, Action.DROP)
KINDS = (EventKind.HELD, EventKind.RELEASED, EventKind.DROPPED)
OF_WORKER = ("before claim", "after claim", "before settle", "after settle")
OF_DISPATCHER = ("before post", "after post", "before settle", "after settle")
AFTER = 3  # times that a point was passed


class Killer:
    """Ends this process at one point."""

    def __init__(self, point: str) -> None:
        self._point = point
        self._left = AFTER

    def at(self, point: str) -> None:
        if point == self._point:
            self._left -= 1
            if not self._left:
                os.kill(os.getpid(), signal.SIGKILL)


def watched(killer: Killer, name: str, call: Callable[..., Awaitable[Any]]) -> Any:
    """Return a call with a point before and after it; one that does nothing passes none."""

    async def watch(*args: Any, **kwargs: Any) -> Any:
        killer.at(f"before {name}")
        result = await call(*args, **kwargs)
        if result:
            killer.at(f"after {name}")
        return result

    return watch


async def work(folder: Path, port: int, killer: Killer) -> None:
    """What the worker does: mail that is held, released and dropped, and answers on the control socket."""
    webhooks._LEASE_FOR = timedelta(seconds=0.5)
    url = f"sqlite:{folder / 'queue.db'}"
    store = open_store(url, clock=SystemClock(), slots={})
    worker = await registered(store, "1", boot=str(os.getpid()))
    with contextlib.closing(open_view(url)) as view:
        is_new = not view.outbox.endpoints()
    if is_new:
        wanted = Subscription(url=f"https://app.test:{port}/", kinds=KINDS)
        await store.outbox.put_endpoint(wanted, author=Author(by="root"))
        message = a_message(
            *(f"{number}@x.test" for number in range(RECIPIENTS)), at=SystemClock().now()
        )
        await store.enqueue(message, worker=worker, lease_for=None)
        for action in ACTIONS:
            await store.act(Query(), action, by="root", reason="")
    outbox: Any = store.outbox
    outbox.claim_deliveries = watched(killer, "claim", outbox.claim_deliveries)
    outbox.settle_deliveries = watched(killer, "settle", outbox.settle_deliveries)
    path = folder / "control.sock"
    path.unlink(missing_ok=True)
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(path))
        listening.listen()
        await serve_control(listening, a_context(store, now=SystemClock().now))


async def send(folder: Path, port: int, killer: Killer) -> None:
    """What the console does."""
    dispatch._LOOK, dispatch._AGAIN = 0.05, 0.2
    settings = WebhookSettings(
        url_rules=UrlRules(ports={port}), allow_networks=(ip_network("127.0.0.1"),)
    )
    trust = ssl.create_default_context(cafile=str(folder / "authority.pem"))
    caller: Any = Caller(FakeDns({"app.test": {"A": ["127.0.0.1"]}}), settings, trust)
    caller.post = watched(killer, "post", caller.post)

    async def ask(message: Message) -> Mapping[str, Any]:
        path = str(folder / "control.sock")
        if message["verb"] == "deliveries.settle":
            killer.at("before settle")
        reply = await asyncio.to_thread(client.ask, path, message, timeout=5)
        if message["verb"] == "deliveries.settle":
            killer.at("after settle")
        return reply

    await Dispatcher(ask, caller, SystemClock().now).run()


PARTS = {"worker": work, "dispatcher": send}


@contextlib.asynccontextmanager
async def running(part: str, folder: Path, port: int, point: str = "never") -> AsyncIterator[Any]:
    """Start one of the two; it is killed at the end if it has not been by then."""
    command = (sys.executable, "-m", "tests.crash.test_webhooks", part, str(folder), str(port))
    child = await asyncio.create_subprocess_exec(*command, point, cwd=ROOT)
    try:
        yield child
    finally:
        if child.returncode is None:
            child.kill()
            await child.wait()


# A dozen processes begin and are killed: half a minute without other work.
@pytest.mark.timeout(120)
async def test_every_event_arrives_whatever_is_killed(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    async with Receiver(authority.server_context("app.test")) as receiver, asyncio.timeout(100):
        async with running("worker", tmp_path, receiver.port):
            for point in OF_DISPATCHER:
                async with running("dispatcher", tmp_path, receiver.port, point) as child:
                    assert await child.wait() == -signal.SIGKILL
        async with running("dispatcher", tmp_path, receiver.port):
            for point in OF_WORKER:
                async with running("worker", tmp_path, receiver.port, point) as child:
                    assert await child.wait() == -signal.SIGKILL
            async with running("worker", tmp_path, receiver.port):
                await receiver.got(RECIPIENTS * len(KINDS))
                await _finished(tmp_path, receiver)
        seen: dict[str, list[str]] = {}
        ids: dict[tuple[str, str], set[str]] = {}
        for each in receiver.requests:
            who, kind = each.data["data"]["rcpt"], each.data["data"]["event"]
            seen.setdefault(who, []).append(kind)
            ids.setdefault((who, kind), set()).add(each.fields["webhook-id"])
    assert len(seen) == RECIPIENTS
    for kinds in seen.values():
        assert list(dict.fromkeys(kinds)) == [*KINDS]  # all of them
        assert kinds == sorted(
            kinds, key=[str(kind) for kind in KINDS].index
        )  # and none after a later one
    assert all(len(each) == 1 for each in ids.values())
    assert len(receiver.requests) > RECIPIENTS * len(KINDS)  # some twice: it was killed in between


async def _finished(folder: Path, receiver: Receiver) -> None:
    """Wait until nothing waits any more: each request may be the last."""
    with contextlib.closing(open_view(f"sqlite:{folder / 'queue.db'}")) as view:
        while view.outbox.endpoints()[0].waiting:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(0.1), receiver.arrived:
                    await receiver.arrived.wait()


if __name__ == "__main__":
    asyncio.run(PARTS[sys.argv[1]](Path(sys.argv[2]), int(sys.argv[3]), Killer(sys.argv[4])))
