"""What domains with the same MX hosts share: slots, the slow start, and tokens at a limited rate."""

import asyncio
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from structlog.testing import capture_logs

from relayd.deliverer import destination_queue, leases, scheduler
from relayd.deliverer.connections import Connections
from relayd.deliverer.nexthop import admittance
from relayd.deliverer.nexthop.hosts import NotYet
from relayd.deliverer.nexthop.rates import Rates
from relayd.deliverer.nexthop.sites import Sites
from relayd.deliverer.nexthop.slots import ConnectionSlots, SentAway
from relayd.mail.operator import Action as Act
from relayd.policy.delivery import throttle
from relayd.policy.delivery.admission import SLOW_WINDOW
from relayd.policy.delivery.shares import ALONE, NOTHING, Part
from relayd.ports.view import Query, Status
from tests.support.clock import FakeClock
from tests.support.direct import A1, A2, FINE, Direct, Script, a_direct_post, mx
from tests.support.dns_server import Zones
from tests.support.faulty_store import FaultyStore
from tests.support.post import eventually
from tests.support.scripted_server import InTurn, Wait

SHARED: Zones = mx(A1) | {"y.test": {"MX": ["5 mx1.x.test."]}} | mx(A2, domain="other.test")


# --- slots


async def take(slots: ConnectionSlots, taken: list[int], number: int) -> None:
    await slots.acquire()
    taken.append(number)


async def test_places_are_given_in_turn_as_many_as_are_allowed() -> None:
    slots, taken = ConnectionSlots(3), list[int]()
    async with asyncio.TaskGroup() as tasks:
        for number in range(5):
            tasks.create_task(take(slots, taken, number))
        await eventually(lambda: taken == [0])
        slots.answered()
        await eventually(lambda: taken == [0, 1])
        slots.release()
        await eventually(lambda: taken == [0, 1, 2])
        slots.turned_away()
        await eventually(lambda: slots.is_crowded)
        slots.release()
        slots.release()
        await eventually(lambda: taken == [0, 1, 2, 3])
        slots.release()
    assert taken == [0, 1, 2, 3, 4]


async def test_who_gives_up_waiting_leaves_the_place_to_the_next() -> None:
    slots, taken = ConnectionSlots(1), list[int]()
    await slots.acquire()
    waiting = [asyncio.ensure_future(take(slots, taken, number)) for number in range(3)]
    await asyncio.sleep(0)
    waiting[0].cancel()
    slots.release()
    waiting[1].cancel()  # who has just been given it
    await eventually(lambda: taken == [2])
    assert [one.cancelled() for one in waiting] == [True, True, False]


async def test_who_is_sent_away_and_gives_up_at_once_had_no_place() -> None:
    """Its queue may be closed at the moment in which others need the room."""
    slots = ConnectionSlots(1)
    await slots.acquire()
    waiting = [asyncio.ensure_future(slots.acquire()) for _ in range(throttle.LINE_KEPT + 2)]
    await asyncio.sleep(0)
    slots.shorten_line(asyncio.get_running_loop().time(), to_seconds=1)
    waiting[-1].cancel()  # who has just been sent away
    gone = await asyncio.gather(*waiting[-2:], return_exceptions=True)
    assert [type(each) for each in gone] == [SentAway, asyncio.CancelledError]
    assert not any(each.done() for each in waiting[:-2]), "the place is taken still"
    for each in waiting:
        each.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)
    assert slots.taken == 1


# --- the slow start


async def test_all_domains_of_a_site_begin_with_one_connection_together() -> None:
    gate = asyncio.Event()
    script: Script = {"DOT": InTurn(Wait(gate, "250 ok"), "250 ok")}
    async with a_direct_post(SHARED, {A1: script}) as direct:
        for number in range(6):
            await direct.send(f"u{number}@x.test")
            await direct.send(f"u{number}@y.test")
        await direct.server(A1).received(1)
        await eventually(lambda: direct.post.leased() == 12)
        assert direct.server(A1).connections == 1
        gate.set()
        await direct.post.settled()
        assert direct.server(A1).most_open > 1


async def test_a_421_halves_the_places_of_a_site() -> None:
    script: Script = {"DOT": InTurn(*["250 ok"] * 3, "421 4.7.0 slow down", "250 ok")}
    async with a_direct_post(SHARED, {A1: script}) as direct:
        hop = direct.hop()
        await hop.give_back(await hop.connect())
        for _ in range(4):
            await direct.send("a@x.test")
            await direct.post.settled()
            await direct.post.quiet()
        assert hop.allowed == 2


async def test_one_connection_less_is_kept_when_fewer_are_allowed() -> None:
    async with a_direct_post(SHARED, {A1: FINE}) as direct:
        hop = direct.hop()
        first = await hop.connect()
        hop.answered()
        second = await hop.connect()
        hop.turned_away()
        await hop.give_back(second)
        assert direct.server(A1).dialog[-1] == "QUIT"
        await hop.give_back(first)
        again = await hop.connect()
        assert again.connection is first.connection
        await hop.give_back(again)


async def test_a_hop_that_has_met_nobody_yet_begins_with_one() -> None:
    async with a_direct_post({}, {}) as direct:
        hop = direct.hop()
        hop.answered()
        hop.turned_away()
        assert hop.allowed == 1


async def test_who_waited_while_somebody_found_no_host_ready_comes_again_later() -> None:
    """F-34: a thousand domains at dead hosts must not find that out one after the other."""
    gate = asyncio.Event()
    zones: Zones = {**SHARED, **{f"d{number}.test": SHARED["x.test"] for number in range(9)}}
    async with a_direct_post(zones, {A1: {"GREETING": Wait(gate, "554 no")}, A2: FINE}) as direct:
        await direct.send("first@x.test")
        await eventually(lambda: direct.server(A1).connections)
        others = [await direct.send(f"a@d{number}.test") for number in range(9)]
        [site] = direct.parts.sites._sites.values()
        await eventually(lambda: len(site.slots._waiting) == 9)
        with capture_logs() as logs:
            gate.set()
            await direct.post.quiet()
        assert direct.server(A1).connections == 1
        assert [line["event"] for line in logs] == ["destination_down"]
        for one in others:
            row = direct.post.row(one)
            assert (row.status, row.attempts) == (Status.QUEUED, 0)
            assert row.paused_until == direct.post.clock.now() + timedelta(seconds=30)


async def test_a_long_line_of_domains_gives_way_when_others_need_the_room(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """F-34: a slow site with few connections and many domains. The first stay; the others come again, uncounted."""
    monkeypatch.setattr(throttle, "LINE_KEPT", 2)
    gate = asyncio.Event()
    zones: Zones = {**SHARED, **{f"d{number}.test": SHARED["x.test"] for number in range(9)}}
    script: Script = {"GREETING": InTurn(Wait(gate, "220 mx"), "220 mx")}
    async with a_direct_post(zones, {A1: script, A2: FINE}) as direct:
        await direct.send("first@x.test")
        await eventually(lambda: direct.server(A1).connections)
        others = [await direct.send(f"a@d{number}.test") for number in range(9)]
        sites = direct.parts.sites
        [site] = sites._sites.values()
        await eventually(lambda: len(site.slots._waiting) == 9)
        sites.shorten_lines(to_seconds=30)
        await eventually(lambda: len(direct.post.scheduler._queues) == 3)
        for one in others[2:]:
            row = direct.post.row(one)
            assert (row.status, row.attempts, row.leased) == (Status.QUEUED, 0, False)
            assert row.paused_until == direct.post.clock.now() + timedelta(seconds=30)
        gate.set()
        await direct.server(A1).received(3)
        direct.post.advance(timedelta(seconds=31))
        await direct.server(A1).received(10)


async def test_customers_with_a_host_name_each_share_the_limit_of_their_provider() -> None:
    """Their provider counts our connections, and not those to one of its names."""
    gate = asyncio.Event()
    zones: dict[str, Any] = {}
    for number in range(60):
        host = f"t{number}.in.prov.test"
        zones |= {f"d{number}.test": {"MX": [f"10 {host}."]}, host: {"A": [A1]}}
    script: Script = {"DOT": InTurn(*["250 ok"] * 3, Wait(gate, "250 ok"))}
    async with a_direct_post(zones, {A1: script}, connections_per_destination=2) as direct:
        for number in range(60):
            await direct.send(f"a@d{number}.test")
        await eventually(lambda: direct.server(A1).connections == 5)
        assert set(direct.parts.sites._sites) == {"in.prov.test"}
        gate.set()
        await direct.post.settled()
        assert {row.status for row in direct.post.rows()} == {Status.SENT}
        assert direct.server(A1).most_open == 2


async def test_a_customer_whose_host_is_down_does_not_speak_for_the_others() -> None:
    gate = asyncio.Event()
    zones: Zones = {
        "dead.test": {"MX": ["10 dead.in.prov.test."]},
        "dead.in.prov.test": {"A": [A1]},
        "also.test": {"MX": ["10 dead.in.prov.test."]},
        "live.test": {"MX": ["10 live.in.prov.test."]},
        "live.in.prov.test": {"A": [A2]},
    }
    async with a_direct_post(zones, {A1: {"GREETING": Wait(gate, "554 no")}, A2: FINE}) as direct:
        await direct.send("a@dead.test")
        await eventually(lambda: direct.server(A1).connections)
        also, live = await direct.send("a@also.test"), await direct.send("a@live.test")
        [site] = direct.parts.sites._sites.values()
        await eventually(lambda: len(site.slots._waiting) == 2)
        gate.set()
        await direct.post.settled(live)
        assert direct.post.row(live).status is Status.SENT
        assert direct.post.row(also).paused_until is not None
        assert direct.server(A1).connections == 1


async def test_the_searches_that_failed_are_not_kept_for_ever() -> None:
    async with asyncio.TaskGroup() as tasks:
        site = Sites(1, tasks, clock=FakeClock(), connections=Connections(1)).of("prov.test")
        for number in range(2500):
            began = site.searches_failed
            site.note_failed(frozenset({f"t{number}.prov.test"}))
            assert site.has_failed(frozenset({f"t{number}.prov.test"}), since=began)
        assert len(site.failed) <= 1000
        assert not site.has_failed(frozenset({"t0.prov.test"}), since=0), "it is asked once more"


# --- turns


def sent(direct: Direct, *domains: str) -> Callable[[], int]:
    return lambda: sum(
        row.status is Status.SENT and row.address.partition("@")[2] in domains
        for row in direct.post.rows()
    )


async def test_a_limited_rate_spreads_the_messages_and_keeps_the_connection() -> None:
    async with a_direct_post(SHARED, {A1: FINE}, messages_per_minute=1200) as direct:
        loop = asyncio.get_running_loop()
        began = loop.time()
        for number in range(4):
            await direct.send(f"u{number}@x.test")
        await direct.post.settled()
        assert loop.time() - began >= 3 * 0.05
        assert sent(direct, "x.test")() == 4
        assert direct.server(A1).connections == 1


async def test_who_has_to_wait_long_waits_in_the_queue_uncounted() -> None:
    """And holds nothing meanwhile; nobody failed, so nothing is logged as if."""
    async with a_direct_post(SHARED, {A1: FINE, A2: FINE}, messages_per_minute=1) as direct:
        clock = direct.post.clock
        with capture_logs() as logs:
            messages = [await direct.send(f"u{number}@x.test") for number in range(3)]
            for minute in range(3):
                await eventually(lambda minute=minute: sent(direct, "x.test")() == minute + 1)  # type: ignore[misc]
                await direct.post.quiet()
                waiting = [row for row in direct.post.rows() if row.status is Status.QUEUED]
                assert len(waiting) == 2 - minute
                for row in waiting:
                    assert row.attempts == 0
                    assert row.paused_until == clock.now() + timedelta(minutes=1)
                    assert "rate limit" in row.paused_for
                direct.post.advance(timedelta(minutes=1))
        assert logs == []
        assert [direct.post.kinds(one) for one in messages] == [["sent"]] * 3


async def test_who_has_a_token_uses_it_though_others_are_sent_away(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """With many connections and few tokens, none of these is lost."""
    for module in (admittance, throttle):
        monkeypatch.setattr(module, "TOKEN_WAIT", 0.12)
    async with a_direct_post(SHARED, {A1: FINE}, messages_per_minute=1200) as direct:
        for number in range(5):
            await direct.send("proof@x.test")
            await eventually(lambda seen=number: sent(direct, "x.test")() > seen)  # type: ignore[misc]
            direct.post.clock.advance(timedelta(seconds=1))
        for _ in range(6):
            await direct.send("a@x.test", leased=True)
        await eventually(lambda: sent(direct, "x.test")() == 5 + 3)
        await direct.post.quiet()
        waiting = [row for row in direct.post.rows() if row.status is Status.QUEUED]
        assert [row.attempts for row in waiting] == [0, 0, 0]
        until = direct.post.clock.now() + 3 * timedelta(seconds=0.05)
        assert {row.paused_until for row in waiting} == {until}


async def test_the_domains_of_a_site_share_its_rate_and_others_have_their_own() -> None:
    async with a_direct_post(SHARED, {A1: FINE, A2: FINE}, messages_per_minute=1) as direct:
        first = await direct.send("a@x.test")
        await direct.post.settled(first)
        second = await direct.send("a@y.test")
        other = await direct.send("a@other.test")
        await direct.post.settled(other)
        await direct.post.quiet()
        assert direct.post.row(other).status is Status.SENT
        assert direct.post.row(second).status is Status.QUEUED
        assert len(direct.server(A1).messages) == 1


async def test_a_turn_is_waited_for_also_when_an_operator_ends_the_pause() -> None:
    async with a_direct_post(SHARED, {A1: FINE}, messages_per_minute=1) as direct:
        for _ in range(2):
            await direct.send("a@x.test")
        await eventually(lambda: sent(direct, "x.test")() == 1)
        await direct.post.quiet()
        direct.post.clock.advance(timedelta(seconds=20))
        await direct.post.store.act(Query(unfinished=True), Act.EXPEDITE, by="me", reason="")
        direct.post.scheduler.wake()
        end = direct.post.clock.now() + timedelta(seconds=40)
        await eventually(lambda: end in {row.paused_until for row in direct.post.rows()})
        assert len(direct.server(A1).messages) == 1


async def test_the_next_host_of_an_attempt_needs_no_turn_of_its_own() -> None:
    async with a_direct_post(
        mx(A1, A2), {A1: {"RCPT": "421 4.3.2 bye"}, A2: FINE}, messages_per_minute=1
    ) as direct:
        message = await direct.send("a@x.test")
        await direct.post.settled()
        assert direct.post.kinds(message) == ["attempted", "sent"]


async def test_a_stop_does_not_wait_for_a_turn() -> None:
    async with a_direct_post(SHARED, {A1: FINE}, messages_per_minute=15) as direct:
        first = await direct.send("a@x.test")
        await direct.post.settled(first)
        second = await direct.send("b@x.test")  # 4 s later
        await eventually(lambda: direct.post.row(second).leased)
        with capture_logs() as logs:
            await direct.post.scheduler.stop(within=1, dot_within=1)
        assert logs == []
        await direct.post.quiet()
        assert (direct.post.row(second).status, direct.post.row(second).attempts) == ("queued", 0)


async def test_a_lease_is_renewed_while_its_mail_waits_for_a_turn(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(leases, "LEASE_FOR", timedelta(seconds=0.15))
    store = FaultyStore(FakeClock())
    async with a_direct_post(SHARED, {A1: FINE}, messages_per_minute=15, store=store) as direct:
        first = await direct.send("a@x.test")
        await direct.post.settled(first)
        second = await direct.send("b@x.test")
        await eventually(lambda: direct.post.row(second).leased)
        for _ in range(5):
            direct.post.clock.advance(timedelta(seconds=0.1))
            renewals = store.calls["extend"]
            await eventually(lambda seen=renewals: store.calls["extend"] >= seen + 2)  # type: ignore[misc]
        assert await store.reap() == 0
        assert direct.post.row(second).leased


async def test_a_turn_that_was_spent_waiting_for_a_place_is_no_turn() -> None:
    """Else those who pile up behind a slow server would all begin at once."""
    gate = asyncio.Event()
    script: Script = {"DOT": InTurn(Wait(gate, "250 ok"), "250 ok")}
    async with a_direct_post(
        SHARED, {A1: script}, messages_per_minute=6000, connections_per_destination=1
    ) as direct:
        await direct.send("first@x.test")
        await direct.server(A1).received(1)
        hop = direct.hop("y.test")
        waiting = asyncio.ensure_future(hop.connect())
        [site] = direct.parts.sites._sites.values()
        await eventually(lambda: len(site.slots._waiting) == 1)
        direct.post.clock.advance(timedelta(minutes=1))
        spent = direct.parts.sites.rates.token(site.key, "x.test")
        gate.set()
        await hop.give_back(await waiting)
        assert direct.parts.sites.rates.token(site.key, "x.test") >= spent + 2 * 0.01 - 1e-9, (
            "it took another"
        )


async def test_a_queue_in_use_is_kept_and_one_without_work_is_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The lease ends a while after the last message, not after any message before."""
    async with a_direct_post(SHARED, {A1: FINE}) as direct:
        queues = direct.post.scheduler._queues
        await direct.post.settled(await direct.send("a@x.test"))
        kept = queues["mx:x.test"]
        await eventually(lambda: kept._expiry is not None)
        first = kept._expiry
        assert first is not None
        monkeypatch.setattr(destination_queue, "_KEPT_FOR", 0.0)
        await direct.post.settled(await direct.send("b@x.test"))
        assert first.cancelled()
        await eventually(lambda: not queues)


async def test_of_too_many_queues_those_without_work_are_closed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Each has a lease to renew; new domains come as strangers like."""
    monkeypatch.setattr(scheduler, "_FEW_QUEUES", 1)
    async with a_direct_post(SHARED, {A1: FINE, A2: FINE}) as direct:
        await direct.send("a@x.test")
        await direct.send("a@y.test")
        await direct.send("a@other.test")
        await direct.post.settled()
        await eventually(lambda: len(direct.post.scheduler._queues) <= 1)


async def test_a_limited_destination_leases_little() -> None:
    """Its mail has to wait anyway; the window is for others."""
    async with a_direct_post(
        SHARED, {A1: FINE}, messages_per_minute=15, connections_per_destination=1
    ) as direct:
        first = await direct.send("a@x.test")
        await direct.post.settled(first)
        for number in range(SLOW_WINDOW + 5):
            await direct.send(f"u{number}@x.test")
        assert direct.post.scheduler._queues["mx:x.test"].is_verified
        await eventually(lambda: direct.post.leased() >= SLOW_WINDOW)
        assert not direct.post.scheduler.has_room(0, ["mx:x.test"])


def test_a_rate_is_kept_also_after_the_site_was_forgotten() -> None:
    clock = FakeClock()
    rates = Rates(1, clock=clock)
    key = "mx.test"
    assert rates.token(key, "x.test") == 0
    assert rates.token(key, "x.test") == 60
    for number in range(1500):
        rates.token(str(number), "x.test")
    assert rates.token(key, "x.test") == 60
    clock.advance(timedelta(hours=1))
    rates.token("new", "x.test")
    assert len(rates._throttles) == 1, "those who owe nothing are forgotten"


async def test_without_a_limit_nobody_waits() -> None:
    async with a_direct_post(SHARED, {A1: FINE}) as direct:
        hop = direct.hop()
        assert not hop.is_limited
        session = await hop.connect()
        [site] = direct.parts.sites._sites.values()
        assert {direct.parts.sites.rates.token(site.key, "x.test") for _ in range(99)} == {0.0}
        await hop.give_back(session)


async def test_a_hop_says_how_long_to_wait() -> None:
    async with a_direct_post(SHARED, {A1: FINE}, messages_per_minute=2) as direct:
        hop = direct.hop()
        await hop.give_back(await hop.connect())
        with pytest.raises(NotYet) as soon:
            await hop.connect()
        assert soon.value.until == direct.post.clock.now() + timedelta(seconds=30)


async def test_idle_connections_leave_when_the_part_gets_smaller() -> None:
    """The one who joins uses its own at once; those in use end with the message they carry."""
    gate = asyncio.Event()
    script: Script = {"DOT": InTurn("250 ok", *[Wait(gate, "250 ok")] * 3, "250 ok")}
    async with a_direct_post(SHARED, {A1: script}, connections_per_destination=4) as direct:
        await direct.send("first@x.test")
        await direct.post.settled()
        for number in range(3):
            await direct.send(f"u{number}@x.test")
        site = next(iter(direct.parts.sites._sites.values()))
        await eventually(lambda: site.share.held >= 2)
        gate.set()
        await direct.post.settled()
        await eventually(lambda: len(site.idle) == site.share.held >= 2)
        direct.parts.sites.divide_by(Part(3, 4))
        await eventually(lambda: len(site.idle) == site.share.held == 1)
        direct.parts.sites.divide_by(NOTHING)
        await eventually(lambda: site.share.held == 0)
        assert site.slots.given == direct.parts.sites.of("new.test").slots.given == 0
        direct.parts.sites.divide_by(ALONE)
        assert site.slots.given == direct.parts.sites.of("new.test").slots.given == 1
