"""Verbs about webhooks, and their messages."""

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest

from relayd.control import webhooks
from relayd.control.client import ask
from relayd.control.context import ControlContext
from relayd.control.peer import Peer
from relayd.control.protocol import BadMessage, Message, decode, encode
from relayd.control.verbs import admit, answer
from relayd.control.verbs.verb import Forbidden
from relayd.errors import WrongField
from relayd.mail.words import EventKind
from relayd.policy.console.access import Caller
from relayd.policy.console.webhook import Off
from relayd.policy.console.webhook_secret import secret_of
from relayd.ports.outbox import (
    TOLD,
    DeliveryQuery,
    DeliveryResult,
    EndpointId,
    Heard,
    Replay,
    Replayed,
    Settled,
    Subscription,
    SubscriptionChange,
)
from relayd.ports.people import AuditQuery
from relayd.settings import UrlRules, WebhookSettings
from relayd.store.memory.queue import MemoryStore
from tests.support.builders import a_message, settlements_of
from tests.support.clock import START, FakeClock
from tests.support.control_server import a_context, a_control_server
from tests.support.stores import LEASE
from tests.support.workers import registered

WANTED = Subscription(
    url="https://app.test/hook",
    kinds=(EventKind.RELAYED, EventKind.BOUNCED),
    senders=("shop@app.test", "@app.test"),
    tags=("news",),
)
ROOT = Peer(name="root", caller=Caller.OWNER)
CONSOLE = Peer(name="relayd-console", caller=Caller.CONSOLE)
FIRST = EndpointId(1)


class World:
    """A store with what its worker answers."""

    def __init__(self, **allowed: Any) -> None:
        self.clock = FakeClock()
        self.store = MemoryStore(self.clock)
        self.context: ControlContext = a_context(self.store, now=self.clock.now)
        rules = WebhookSettings(
            url_rules=UrlRules(allow_http=allowed.get("http", False)),
            allow_networks=tuple(map(ip_network, allowed.get("networks", ()))),
        )
        self.context = replace(
            self.context, settings=replace(self.context.settings, webhooks=rules)
        )

    async def ask(self, message: Message, peer: Peer = ROOT) -> dict[str, Any]:
        """Send a message as it goes over the socket, both ways."""
        request = decode(encode(message))
        answered = await answer(*await admit(request, peer, self.context))
        assert isinstance(answered, Mapping)
        return decode(encode(answered))

    async def relayed(self, *addresses: str) -> None:
        worker = await registered(self.store, "worker")
        message = a_message(*addresses, at=self.clock.now(), tag="news")
        works = await self.store.enqueue(message, worker=worker, lease_for=LEASE)
        for work in works:
            await self.store.settle(work.lease, settlements_of(work, at=self.clock.now()))

    async def claimed(self, limit: int = 8) -> list[webhooks.ToSend]:
        reply = await self.ask(webhooks.claim_to_json(limit), CONSOLE)
        return webhooks.claimed_from_json(reply)

    async def settle(self, each: webhooks.ToSend, status: int | None) -> None:
        result = DeliveryResult(
            endpoint=each.endpoint,
            number=each.number,
            claim=each.claim,
            heard=Heard(
                status=status,
                trouble="" if status else "no address",
                octets=3,
                took=timedelta(seconds=0.5),
            ),
            retry_after=timedelta(seconds=90),
        )
        reply = await self.ask(webhooks.settle_to_json([result]), CONSOLE)
        assert reply == {"ok": True, "settled": 1}


async def test_an_endpoint_comes_with_its_secret() -> None:
    world = World()
    reply = await world.ask(webhooks.put_to_json(WANTED))
    secret = secret_of(1, 1, key=await world.store.secret())
    assert reply == {"ok": True, "done": True, "endpoint": 1, "secret": secret}
    assert [each.wanted for each in world.store.view.outbox.endpoints()] == [WANTED]


async def test_the_secret_of_an_endpoint_that_was_there_is_not_told_again() -> None:
    world = World()
    await world.ask(webhooks.put_to_json(WANTED))
    changed = replace(WANTED, is_on=False)
    reply = await world.ask(webhooks.put_to_json(changed, FIRST))
    assert reply == {"ok": True, "done": True, "endpoint": 1}
    assert world.store.view.outbox.endpoints()[0].off is Off.BY_HAND
    reply = await world.ask(webhooks.put_to_json(WANTED, EndpointId(7)))
    assert reply == {"ok": True, "done": False}


@pytest.mark.parametrize("verb", ["endpoint.drop", "endpoint.rotate", "endpoint.test"])
async def test_what_is_not_there_is_not_done(verb: str) -> None:
    assert await World().ask(webhooks.about_to_json(verb, FIRST)) == {"ok": True, "done": False}


async def test_a_rotation_tells_the_new_secret_and_both_sign() -> None:
    world = World()
    await world.ask(webhooks.put_to_json(WANTED))
    reply = await world.ask(webhooks.about_to_json("endpoint.rotate", FIRST))
    key = await world.store.secret()
    assert reply["secret"] == secret_of(1, 2, key=key)
    await world.relayed("a@x.test")
    [sent] = await world.claimed()
    assert sent.secrets == (secret_of(1, 2, key=key), secret_of(1, 1, key=key))


async def test_the_console_is_told_what_to_send_and_tells_what_was_heard() -> None:
    world = World()
    await world.ask(webhooks.put_to_json(WANTED))
    await world.relayed("a@x.test")
    [sent] = await world.claimed()
    [row] = world.store.view.outbox.deliveries(DeliveryQuery(endpoint=FIRST))
    assert (sent.webhook_id, sent.at, sent.url) == (row.webhook_id, START, WANTED.url)
    assert sent.event is not None
    assert row.event is not None
    assert (sent.event.kind, sent.event.subject) == (row.event.kind, row.event.subject)
    await world.settle(sent, None)
    [row] = world.store.view.outbox.deliveries(DeliveryQuery(endpoint=FIRST))
    assert row.last == Heard(trouble="no address", octets=3, took=timedelta(seconds=0.5))
    [endpoint] = world.store.view.outbox.endpoints()
    assert endpoint.failures == 1
    world.clock.advance(timedelta(seconds=89))
    assert await world.claimed() == []
    world.clock.advance(timedelta(seconds=1))
    assert len(await world.claimed()) == 1


async def test_a_test_has_no_event() -> None:
    world = World()
    await world.ask(webhooks.put_to_json(WANTED))
    assert (await world.ask(webhooks.about_to_json("endpoint.test", FIRST)))["delivery"] == -1
    [sent] = await world.claimed()
    assert (sent.number, sent.event) == (-1, None)
    await world.settle(sent, 204)


async def test_a_replay_goes_on_where_it_ended() -> None:
    world = World()
    await world.ask(webhooks.put_to_json(WANTED))
    await world.relayed("a@x.test", "b@x.test")
    for each in await world.claimed():
        await world.settle(each, 200)
    wanted = Replay(endpoint=FIRST, since=START, until=START + timedelta(days=1))
    read = webhooks.replay_from_json(decode(encode(webhooks.replay_to_json(wanted))))
    assert read == wanted
    reply = await world.ask(webhooks.replay_to_json(wanted))
    assert webhooks.replayed_from_json(reply) == Replayed(changed=2)
    part = webhooks.replayed_to_json(Replayed(changed=1, more=5))
    assert webhooks.replayed_from_json(part) == Replayed(changed=1, more=5)
    other = Replay(endpoint=FIRST, number=3, only_failed=True, after=5)
    assert webhooks.replay_from_json(webhooks.replay_to_json(other)) == other


async def test_what_is_done_is_in_the_audit_by_who_did_it() -> None:
    world = World()
    await world.ask(webhooks.put_to_json(WANTED))
    [entry] = world.store.view.people.audit(AuditQuery(), limit=9)
    assert (entry.by, entry.action, entry.target) == ("root", "webhook_added", "1")


URLS = {
    "http://app.test/": "https",
    "https://user@app.test/": "user",
    "https://127.0.0.1/": "loopback",
    "https://10.0.0.1:8443/hook": "private",
    "https://[::1]/": "loopback",
    "https://[::ffff:10.0.0.1]/": "private",
    "https://[2002:7f00:1::]/": "loopback",
    "https://[64:ff9b:1::a9fe:a9fe]/": "link-local",
    "https://[2001:0:808:808::80ff:fffe]/": "loopback",
    "https://169.254.169.254/latest/meta-data": "link-local",
}


@pytest.mark.parametrize("url", URLS)
async def test_a_url_that_is_never_asked_is_refused_at_once(url: str) -> None:
    world = World()
    await world.ask(webhooks.put_to_json(WANTED))
    change = SubscriptionChange(url=url)
    for request in (
        webhooks.put_to_json(replace(WANTED, url=url)),
        webhooks.change_to_json(change, FIRST),
    ):
        with pytest.raises(WrongField, match=URLS[url]) as refused:
            await world.ask(request)
        assert refused.value.where == "url"
    assert [each.wanted for each in world.store.view.outbox.endpoints()] == [WANTED]


async def test_what_is_not_named_stays() -> None:
    world = World()
    await world.ask(webhooks.put_to_json(WANTED))
    change = SubscriptionChange(tags=("x",))
    assert (await world.ask(webhooks.change_to_json(change, FIRST)))["done"]
    assert not (await world.ask(webhooks.change_to_json(change, EndpointId(7))))["done"]
    [one] = world.store.view.outbox.endpoints()
    assert one.wanted == replace(WANTED, tags=("x",))


@pytest.mark.parametrize(
    "change",
    [
        SubscriptionChange(),
        SubscriptionChange(is_on=False, senders=(), tags=()),
        SubscriptionChange(url="https://x.test/", kinds=TOLD, senders=("@x.test",), tags=("a",)),
    ],
)
def test_a_change_is_read_as_it_was_asked(change: SubscriptionChange) -> None:
    assert webhooks.change_from_json(webhooks.change_to_json(change, FIRST)) == (change, FIRST)


async def test_the_settings_make_exceptions() -> None:
    world = World(http=True, networks=["10.0.0.0/8"])
    for url in ("http://app.test/", "https://10.0.0.1/", "https://[::ffff:10.0.0.1]/"):
        assert (await world.ask(webhooks.put_to_json(replace(WANTED, url=url))))["done"]


PUT = webhooks.put_to_json(WANTED)
SETTLE = {
    "endpoint": 1,
    "delivery": 1,
    "claim": 1,
    "status": 200,
    "trouble": "",
    "octets": 0,
    "took": 0,
}
BAD: list[Message] = [
    {"verb": "endpoint.change", "endpoint": 1, "events": []},
    {"verb": "endpoint.change", "endpoint": 1, "on": None},
    {"verb": "endpoint.change", "url": "https://x.test/"},
    {**PUT, "url": 7},
    {**PUT, "events": []},
    {**PUT, "events": ["received"]},
    {**PUT, "events": ["nonsense"]},
    {**PUT, "events": "bounced"},
    {**PUT, "senders": ["nonsense"]},
    {**PUT, "senders": ["@x.test"] * 51},
    {**PUT, "tags": [""]},
    {**PUT, "tags": ["x" * 201]},
    {**PUT, "on": 1},
    {**PUT, "endpoint": 0},
    {**PUT, "endpoint": True},
    {**PUT, "endpoint": "1"},
    {**PUT, "secret": "mine"},
    {"verb": "endpoint.drop"},
    {"verb": "endpoint.drop", "endpoint": 1, "all": True},
    {"verb": "deliveries.replay", "endpoint": 1, "delivery": -1},
    {"verb": "deliveries.replay", "endpoint": 1, "since": "yesterday"},
    {"verb": "deliveries.replay", "endpoint": 1, "since": "2026-01-01T00:00:00"},
    {"verb": "deliveries.replay", "endpoint": 1, "only_failed": "yes"},
    {"verb": "deliveries.replay", "endpoint": 1, "limit": 10**9},
    {"verb": "deliveries.claim", "limit": 0},
    {"verb": "deliveries.claim"},
    {"verb": "deliveries.settle", "results": {}},
    {"verb": "deliveries.settle", "results": [7]},
    {"verb": "deliveries.settle", "results": [SETTLE] * 65},
    *(
        {"verb": "deliveries.settle", "results": [{**SETTLE, **wrong}]}
        for wrong in (
            {"body": "kept nowhere"},
            {"status": "200"},
            {"took": -1},
            {"took": "1"},
            {"octets": None},
            {"retry_after": -1},
            {"claim": 1.5},
            {"trouble": None},
        )
    ),
]


@pytest.mark.parametrize("message", BAD, ids=lambda each: str(each)[:100])
async def test_what_is_not_understood_is_refused(message: Message) -> None:
    with pytest.raises(BadMessage):
        await World().ask(message)


@pytest.mark.parametrize(
    "message",
    [
        {"deliveries": None},
        {"deliveries": [{}]},
        {"deliveries": [{"endpoint": 1, "delivery": 1, "claim": 1, "id": "evt", "ts": "now"}]},
    ],
)
def test_a_strange_answer_is_told_apart(message: Message) -> None:
    with pytest.raises(BadMessage):
        webhooks.claimed_from_json(message)


async def test_nobody_claims_for_an_account() -> None:
    with pytest.raises(Forbidden):
        await World().ask(webhooks.put_to_json(WANTED), CONSOLE)
    with pytest.raises(Forbidden):
        await World().ask(webhooks.claim_to_json(1), Peer(name="ann", caller=Caller.GROUP))


def test_every_kind_that_may_be_told_can_be_asked_for() -> None:
    wanted = replace(WANTED, kinds=TOLD)
    assert webhooks.put_from_json(webhooks.put_to_json(wanted)) == (wanted, None)


async def test_an_endpoint_is_made_over_the_socket(tmp_path: Path) -> None:
    world = World()
    path = tmp_path / "control.sock"
    async with a_control_server(path, world.store):
        reply = await asyncio.to_thread(ask, str(path), webhooks.put_to_json(WANTED), timeout=10)
    assert reply["endpoint"] == 1


@pytest.mark.parametrize(("status", "reason"), [(410, "gone"), (503, "")])
async def test_it_is_logged_when_an_endpoint_is_disabled(
    status: int, reason: str, capsys: pytest.CaptureFixture[str]
) -> None:
    world = World()
    await world.ask(webhooks.put_to_json(WANTED))
    await world.relayed("a@x.test")
    [sent] = await world.claimed()
    await world.settle(sent, status)
    assert ("webhook_disabled" in "".join(capsys.readouterr())) == bool(reason)


async def test_a_mail_about_a_webhook_wakes_deliveries_and_is_told() -> None:
    world = World()
    woken: list[bool] = []
    told: list[Settled] = []
    mail = a_message("ops@example.org", reverse_path="", count=500)
    world.context = replace(
        world.context,
        on_change=lambda: woken.append(True),
        told=told.extend,
        tell_disabled=lambda _: mail,
    )
    await world.ask(webhooks.put_to_json(WANTED))
    await world.relayed("a@x.test", "b@x.test")
    first, second = await world.claimed()
    await world.settle(first, 200)
    assert not woken
    await world.settle(second, 410)
    assert woken == [True]
    assert [each.mail for each in told] == [None, mail]
