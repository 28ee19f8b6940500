"""All connections of a worker: how many, who gets one, who gives one up, and that waiting costs nothing."""

import asyncio

from structlog.testing import capture_logs

from relayd.deliverer.connections import Connections, Share
from relayd.ports.view import Status
from tests.support.builders import a_message
from tests.support.direct import A1, A2, FINE, a_direct_post, mx
from tests.support.dns_server import Zones
from tests.support.post import a_post, eventually
from tests.support.scripted_server import InTurn, ScriptedServer, Wait

FORTY: Zones = {
    **{f"d{number}.test": {"MX": [f"5 mx.d{number}.test."]} for number in range(40)},
    **{f"mx.d{number}.test": {"A": [A1]} for number in range(40)},
}


async def take(places: Connections, taken: list[str], who: str, *, first: bool = False) -> None:
    await places.acquire(first=first)
    taken.append(who)


async def test_places_are_given_in_the_order_in_which_they_were_asked_for() -> None:
    """But who is in the middle of an attempt goes before all others."""
    places, taken = Connections(1), list[str]()
    await places.acquire(first=False)
    async with asyncio.TaskGroup() as tasks:
        for who in "abc":
            tasks.create_task(take(places, taken, who, first=who == "c"))
        await asyncio.sleep(0)
        assert places.are_short
        for _ in range(3):
            places.release()
    assert taken == ["c", "a", "b"]
    assert not places.are_short


async def test_who_gives_up_waiting_leaves_the_place_to_the_next() -> None:
    places, taken = Connections(1), list[str]()
    await places.acquire(first=False)
    waiting = [asyncio.ensure_future(take(places, taken, who)) for who in "abc"]
    await asyncio.sleep(0)
    waiting[0].cancel()
    places.release()
    waiting[1].cancel()  # who has just been given it
    await eventually(lambda: taken == ["c"])
    places.release()
    assert not places.are_short
    await places.acquire(first=False)  # none was lost


async def test_the_one_without_work_for_longest_leaves_for_each_who_waits() -> None:
    places, left = Connections(3), list[str]()
    for who in "abc":
        await places.acquire(first=False)

        def leave(who: str = who) -> None:
            left.append(who)
            places.release()

        places.rest(leave)
    for count in range(3):
        await places.acquire(first=False)
        assert left == list("abc")[: count + 1]


async def test_one_that_has_work_again_stays_and_one_that_loses_it_while_others_wait_goes() -> None:
    places, left = Connections(1), list[str]()
    await places.acquire(first=False)

    def leave() -> None:
        left.append("gone")
        places.release()

    places.rest(leave)
    places.resume(leave)
    waiting = asyncio.ensure_future(places.acquire(first=False))
    await asyncio.sleep(0)
    assert not left
    places.rest(leave)
    await waiting
    assert left == ["gone"]


async def test_who_has_several_gives_way_while_somebody_waits() -> None:
    places = Connections(3)
    rich, poor = Share(places), Share(places)
    for _ in range(2):
        await rich.acquire()
    assert (rich.limit(10), rich.limit(2), rich.gives_way) == (3, 2, False)
    await rich.acquire()
    assert (rich.limit(10), rich.gives_way) == (3, False)
    waiting = asyncio.ensure_future(poor.acquire())
    await asyncio.sleep(0)
    assert (rich.limit(10), rich.limit(1), rich.gives_way) == (2, 1, True)
    assert (poor.limit(10), poor.gives_way) == (1, False)
    rich.release()
    await waiting
    assert (rich.limit(10), poor.limit(10)) == (2, 1)
    rich.release()
    assert (rich.limit(10), poor.limit(10)) == (2, 2)


# --- at work


async def test_no_more_connections_than_places_over_all_domains_and_idle_ones_go_first() -> None:
    async with a_direct_post(FORTY, {A1: FINE}, places=4) as direct:
        with capture_logs() as logs:
            for number in range(40):
                await direct.send(f"a@d{number}.test")
            await direct.post.settled()
        assert logs == []
        assert {(row.status, row.attempts) for row in direct.post.rows()} == {(Status.SENT, 1)}
        server = direct.server(A1)
        assert server.connections == 40
        assert server.most_open <= 4
        assert server.dialog.count("QUIT") >= 36


async def test_an_idle_connection_stays_while_there_are_places() -> None:
    async with a_direct_post(FORTY, {A1: FINE}, places=40) as direct:
        for _ in range(2):
            for number in range(10):
                await direct.send(f"a@d{number}.test")
            await direct.post.settled()
        assert direct.server(A1).connections == 10


async def test_a_smarthost_has_no_more_than_there_are() -> None:
    async with ScriptedServer() as server, a_post(server.port, connections=9, places=2) as post:
        for _ in range(200):
            await post.submit(a_message("a@x.test"))
        await post.settled()
        assert server.most_open == 2


async def test_a_domain_without_a_connection_comes_before_the_smarthosts_next() -> None:
    """The smarthost has all places and more work; one of its connections ends with its message."""
    first, second, others = asyncio.Event(), asyncio.Event(), asyncio.Event()
    async with a_direct_post(mx(A1), {A1: FINE}, places=2) as direct:
        gated = [Wait(gate, "250 ok") for gate in (first, second, others)]
        direct.smarthost.script = {"DOT": InTurn("250 ok", "250 ok", *gated)}
        for _ in range(2):
            await direct.send("a@x.test", is_test=True)
            await direct.post.settled()
        for _ in range(10):
            await direct.send("a@x.test", is_test=True)
        await eventually(lambda: direct.smarthost.connections == 2)
        await eventually(lambda: not direct.parts.sites.connections._free)
        message = await direct.send("a@x.test")
        await eventually(lambda: direct.parts.sites.connections.are_short)
        first.set()
        second.set()
        await direct.post.settled(message)
        others.set()
        await direct.post.settled()
        assert direct.smarthost.most_open == 2


async def test_a_stop_ends_the_wait_for_a_place_uncounted() -> None:
    async with a_direct_post(mx(A1), {A1: FINE}, places=9) as direct:
        places = direct.parts.sites.connections
        for _ in range(9):
            await places.acquire(first=False)
        waiting = await direct.send("a@x.test")
        await eventually(lambda: places.are_short)
        with capture_logs() as logs:
            await direct.post.scheduler.stop(within=1, dot_within=1)
        assert logs == []
        await direct.post.quiet()
        row = direct.post.row(waiting)
        assert (row.status, row.attempts) == (Status.QUEUED, 0)
        assert not places.are_short
        assert direct.server(A1).connections == 0


async def test_those_who_may_be_dead_have_half_of_the_places() -> None:
    """F-34: silent hosts must not take them all."""
    gate = asyncio.Event()
    zones: Zones = {**FORTY, **mx(A2, domain="good.test")}
    async with a_direct_post(
        zones, {A1: {"GREETING": Wait(gate, "220 ok")}, A2: FINE}, places=10
    ) as direct:
        await direct.post.settled(await direct.send("a@good.test"))
        for number in range(40):
            await direct.send(f"a@d{number}.test")
        await eventually(lambda: direct.server(A1).connections >= 5)
        good = await direct.send("b@good.test")
        await direct.post.settled(good)
        assert direct.server(A1).connections <= 6
        gate.set()
        await direct.post.settled()
