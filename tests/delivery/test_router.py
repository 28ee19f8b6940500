"""Where mail goes by the settings: routes, test mail, redirection, and mail queued before a change."""

import asyncio
from collections.abc import Mapping
from datetime import timedelta

import pytest

from relayd.deliverer.nexthop.rates import Rates
from relayd.deliverer.nexthop.router import Router
from relayd.mail.address import parse_address
from relayd.mail.operator import Action
from relayd.policy.delivery.route import (
    DEFAULT,
    HostPort,
    OnHold,
    Route,
    RouteRule,
    RouteRules,
    ViaHost,
    ViaMx,
)
from relayd.policy.delivery.shares import Part, share_of
from relayd.ports.view import Query, Status
from relayd.store.memory.queue import MemoryStore
from relayd.worker.membership import DaemonMembership
from tests.support.builders import SMARTHOST, a_message, a_recipient
from tests.support.clock import FakeClock
from tests.support.direct import A1, A2, A3, DIRECT, FINE, Direct, a_direct_post, mx
from tests.support.dns_server import Zones
from tests.support.membership import ChangingMembership
from tests.support.post import eventually
from tests.support.scripted_server import ScriptedServer
from tests.support.workers import registered

BOTH: Zones = mx(A1) | mx(A2, domain="y.test")
VIA_SMARTHOST = RouteRules()


def exceptions(routes: Mapping[str, Route], *, remote: bool = True) -> RouteRules:
    return RouteRules(
        use_remote_smtp=remote,
        rules=tuple(RouteRule(pattern=name, route=route) for name, route in routes.items()),
    )


def got(server: ScriptedServer) -> list[str]:
    """Whom a server took mail for."""
    return [rcpt[4:-1] for message in server.messages for rcpt in message.rcpts]


# --- the settings


@pytest.mark.parametrize("remote", [False, True])
async def test_the_mode_decides_for_everybody(*, remote: bool) -> None:
    routes = RouteRules(use_remote_smtp=remote)
    async with a_direct_post(BOTH, {A1: FINE, A2: FINE}, routes=routes) as direct:
        message = await direct.send("a@x.test", "b@Y.test")
        await direct.post.settled()
        where = [got(one) for one in (direct.server(A1), direct.server(A2), direct.smarthost)]
        status = Status.SENT if remote else Status.RELAYED
        assert where == ([["a@x.test"], ["b@Y.test"], []] if remote else [[], [], [*where[2]]])
        assert sorted(where[2]) == ([] if remote else ["a@x.test", "b@Y.test"])
        assert {direct.post.row(message, number).status for number in (0, 1)} == {status}


async def test_routes_make_exceptions_by_domain() -> None:
    """A named host is used as a smarthost is, without its login: acceptance there is relayed."""
    async with ScriptedServer(host=A3) as inside:
        routes = exceptions(
            {
                "x.test": ViaHost(HostPort(host=A3, port=inside.port)),
                "*.x.test": ViaMx(""),
            },
            remote=False,
        )
        zones: Zones = {**BOTH, "sub.x.test": {"MX": ["10 mx1.x.test."]}}
        async with a_direct_post(zones, {A1: FINE, A2: FINE}, routes=routes) as direct:
            message = await direct.send("a@x.test", "b@sub.x.test", "c@y.test")
            await direct.post.settled()
            assert got(inside) == ["a@x.test"]
            assert got(direct.server(A1)) == ["b@sub.x.test"]
            assert got(direct.smarthost) == ["c@y.test"]
            statuses = [direct.post.row(message, number).status for number in range(3)]
            assert statuses == [Status.RELAYED, Status.SENT, Status.RELAYED]
            [(_, detail)] = direct.post.events(message)
            assert (detail["route"], detail["remote_port"]) == ("smarthost", inside.port)
            assert not direct.dns.count("x.test", "MX")


async def test_test_mail_goes_to_the_smarthost_though_the_domain_has_an_mx() -> None:
    """By its header or by its address, in direct mode and past any route."""
    rules = exceptions({"held.test": OnHold("held.test")})
    routes = RouteRules(
        use_remote_smtp=True,
        rules=rules.rules,
        test_recipients=frozenset({"qa@x.test", "qa@held.test"}),
    )
    async with a_direct_post(BOTH, {A1: FINE, A2: FINE}, routes=routes) as direct:
        await direct.send("by-header@x.test", "held@held.test", is_test=True)
        await direct.send("QA@X.test", "qa@held.test", "real@x.test")
        await direct.post.settled()
        assert sorted(got(direct.smarthost)) == [
            "QA@X.test",
            "by-header@x.test",
            "held@held.test",
            "qa@held.test",
        ]
        assert got(direct.server(A1)) == ["real@x.test"]


async def test_redirected_mail_reaches_nobody_else_and_the_history_keeps_whom_it_was_for() -> None:
    routes = RouteRules(
        use_remote_smtp=True,
        redirect_to=parse_address("Catch.All@x.test"),
        redirect_allow=frozenset({"boss@y.test"}),
    )
    async with a_direct_post(BOTH, {A1: FINE, A2: FINE}, routes=routes) as direct:
        message = await direct.send("customer@example.com", "boss@y.test", "other@y.test")
        await direct.post.settled()
        assert got(direct.server(A1)) == ["Catch.All@x.test", "Catch.All@x.test"]
        assert got(direct.server(A2)) == ["boss@y.test"]
        rows = [direct.post.row(message, number) for number in range(3)]
        assert [row.address for row in rows] == [
            "customer@example.com",
            "boss@y.test",
            "other@y.test",
        ]
        assert {row.status for row in rows} == {Status.SENT}
        assert {noted.address for noted in direct.post.sink.noted} == {row.address for row in rows}
        there = ["Catch.All@x.test", None, "Catch.All@x.test"]
        assert [row.redirected_to for row in rows] == there
        for number, where in enumerate(there):
            [(_, detail)] = direct.post.events(message, number)
            assert detail.get("redirected_to") == where


# --- mail that was queued under other settings


async def queued_before(*recipients: tuple[str, str]) -> MemoryStore:
    """A store with a message to these addresses, each with the route key it got at intake."""
    store = MemoryStore(FakeClock())
    worker = await registered(store, "earlier")
    message = a_message(*(a_recipient(one, destination=key) for one, key in recipients))
    await store.enqueue(message, worker=worker, lease_for=None)
    return store


async def all_in(direct: Direct, status: Status) -> None:
    await eventually(lambda: {row.status for row in direct.post.rows()} == {status})
    await direct.post.quiet()


@pytest.mark.parametrize(
    ("routes", "key", "addresses"),
    [
        pytest.param(DIRECT, SMARTHOST, [A1], id="direct-mode-was-switched-on"),
        pytest.param(VIA_SMARTHOST, "mx:x.test", [], id="direct-mode-was-switched-off"),
        pytest.param(DIRECT, "hold", [A1], id="the-hold-was-lifted-before-it-was-tried"),
        pytest.param(DIRECT, "host:192.0.2.1:25", [A1], id="a-route-was-deleted"),
        pytest.param(
            RouteRules(use_remote_smtp=True, redirect_to=parse_address("b@y.test")),
            "mx:x.test",
            [A2],
            id="redirection-was-switched-on",
        ),
    ],
)
async def test_queued_mail_follows_the_settings(
    routes: RouteRules, key: str, addresses: list[str]
) -> None:
    """At its next attempt, uncounted: moving is no try."""
    store = await queued_before(("a@x.test", key), ("b@x.test", key))
    async with a_direct_post(BOTH, {A1: FINE, A2: FINE}, routes=routes, store=store) as direct:
        await all_in(direct, Status.SENT if addresses else Status.RELAYED)
        servers = [direct.server(one) for one in addresses] or [direct.smarthost]
        [server] = servers
        assert len(got(server)) == 2
        assert len(server.messages) == 1, "one copy still"
        assert {row.attempts for row in direct.post.rows()} == {1}
        others = {*direct.servers.values(), direct.smarthost} - {server}
        assert not any(one.connections for one in others)


async def test_only_those_that_the_change_is_about_are_moved() -> None:
    routes = exceptions({"y.test": ViaMx("")}, remote=False)
    store = await queued_before(("a@x.test", SMARTHOST), ("b@y.test", SMARTHOST))
    async with a_direct_post(BOTH, {A1: FINE, A2: FINE}, routes=routes, store=store) as direct:
        await eventually(lambda: len(direct.post.logged()) == 2)
        assert got(direct.smarthost) == ["a@x.test"]
        assert got(direct.server(A2)) == ["b@y.test"]


@pytest.mark.parametrize("key", ["hold", SMARTHOST, "mx:x.test"])
async def test_a_hold_holds_what_is_new_and_what_was_queued(key: str) -> None:
    routes = exceptions({"x.test": OnHold("x.test")})
    store = await queued_before(("a@x.test", key), ("b@y.test", "mx:y.test"))
    async with a_direct_post(BOTH, {A1: FINE, A2: FINE}, routes=routes, store=store) as direct:
        await eventually(lambda: len(direct.post.logged()) == 2)
        await direct.post.quiet()
        row = next(row for row in direct.post.rows() if row.address == "a@x.test")
        assert (row.status, row.attempts) == (Status.HELD, 0)
        [held] = [one for one in direct.post.sink.noted if one.address == "a@x.test"]
        assert held.event.kind == "held"
        assert held.event.detail["by"] == "[routes]"
        stored = [one for one in direct.post.view.history(row.message_id) if one.kind == "held"]
        assert [dict(one.detail) for one in stored] == [dict(held.event.detail)]
        assert got(direct.server(A2)) == ["b@y.test"]
        assert direct.server(A1).connections == 0


async def test_what_is_held_goes_out_when_the_entry_is_gone_and_it_is_released() -> None:
    store = await queued_before(("a@x.test", "hold"))
    routes = exceptions({"x.test": OnHold("x.test")})
    async with a_direct_post(BOTH, {A1: FINE}, routes=routes, store=store) as direct:
        await all_in(direct, Status.HELD)
        await store.act(Query(), Action.RELEASE, by="test", reason="")
        direct.post.scheduler.wake()
        await eventually(lambda: len(direct.post.sink.noted) == 2)  # and held again
        await all_in(direct, Status.HELD)
    async with a_direct_post(BOTH, {A1: FINE}, store=store, name="2") as direct:
        await asyncio.sleep(0)
        assert direct.post.rows()[0].status is Status.HELD, "by itself it stays"
        await store.act(Query(), Action.RELEASE, by="test", reason="")
        direct.post.scheduler.wake()
        await all_in(direct, Status.SENT)


async def test_a_lost_lease_moves_nothing() -> None:
    """Whoever has the recipients now decides; nothing is sent under the old route."""
    store = await queued_before(("a@x.test", "mx:x.test"))
    stranger = await registered(store, "stranger")
    [work] = await store.claim(stranger, limit=1, lease_for=timedelta(seconds=60))
    async with a_direct_post(BOTH, {A1: FINE}, routes=VIA_SMARTHOST, store=store) as direct:
        await store.release(work.lease)
        assert await direct.post.scheduler._rerouter.reroute(work) is None
        direct.post.scheduler.wake()
        await all_in(direct, Status.RELAYED)
        assert direct.server(A1).connections == 0


# --- limits


async def test_how_many_connections_a_worker_may_use() -> None:
    """The smarthost's are shared by the workers; a host of `[routes]` is one worker's at a time."""
    async with a_direct_post({}, {}, connections_per_destination=7) as direct:
        smarthost = direct.post.scheduler._next_hop(SMARTHOST)
        assert direct.post.scheduler._next_hop(SMARTHOST) is smarthost, "it knows who is down"
        router = Router(
            {DEFAULT: smarthost._settings},  # type: ignore[attr-defined]
            transport=direct.parts.transport,
            clock=direct.parts.clock,
            mx=direct.parts,
            permits=direct.post.store.permits,
        )
        found = []
        for rank in range(3):
            router.divide_by(Part(rank, 3))
            for key in (SMARTHOST, "host:h:25"):
                hop = router.next_hop(key)
                for _ in range(20):
                    hop.answered()
                found.append(hop.allowed)
        assert smarthost._settings.connections == 4  # type: ignore[attr-defined]
        assert found == [2, 7, 1, 7, 1, 7]


async def test_a_change_of_membership_changes_the_limits_of_running_hops() -> None:
    """One worker more: fewer connections, and those in use count. One that ends gives its part back."""
    membership = ChangingMembership(1)
    async with a_direct_post({}, {}, connections_per_destination=6) as direct:
        router = Router(
            {DEFAULT: direct.post.scheduler._next_hop(SMARTHOST)._settings},  # type: ignore[attr-defined]
            transport=direct.parts.transport,
            clock=direct.parts.clock,
            mx=direct.parts,
            permits=direct.post.store.permits,
        )
        site = direct.parts.sites.of("mx.test")
        membership.watch(router.divide_by)
        membership.watch(direct.parts.sites.divide_by)
        hop = router.next_hop(SMARTHOST)
        for _ in range(20):
            hop.answered()
            site.slots.answered()
        all_of_it = hop.allowed
        site.slots.take()
        site.slots.take()
        site.slots.take()
        found = [(site.slots.allowed, site.slots.is_crowded)]
        for workers in (3, 2):
            membership.change(workers)
            hop.answered()
            site.slots.answered()
            assert hop.allowed == share_of(all_of_it, Part(0, workers))
            found.append((site.slots.allowed, site.slots.is_crowded))
        assert found == [(6, False), (2, True), (3, False)]
        assert direct.parts.sites.of("new.test").slots.allowed == 1


def test_a_change_of_membership_changes_the_rate_of_known_sites() -> None:
    rates = Rates(60, clock=FakeClock())
    waits = [rates.token("mx.test", name) for name in ("a", "b")]
    membership = ChangingMembership(1)
    membership.watch(rates.divide_by)
    membership.change(2)
    waits += [rates.token("mx.test", name) for name in ("c", "d")]
    assert waits == [0.0, 1.0, 2.0, 4.0], "what is given stays given"


def test_the_membership_of_one_daemon_is_that_of_its_settings() -> None:
    told: list[Part] = []
    DaemonMembership(3, 1).watch(told.append)
    assert told == [Part(1, 3)]
