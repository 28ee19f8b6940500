"""Direct mode: an address that receivers do not know yet sends little."""

from datetime import date, timedelta
from functools import partial
from typing import Any

from structlog.testing import capture_logs

from relayd.deliverer.nexthop.warm_ups import WarmUps
from relayd.policy.delivery.route import RouteRules
from relayd.policy.delivery.shares import Part
from relayd.policy.delivery.source import Source, pool_named
from relayd.ports.view import Status
from tests.support.clock import START, FakeClock
from tests.support.direct import A1, FINE, a_direct_post, mx
from tests.support.post import eventually

NEW, OLD = "127.0.0.31", "127.0.0.32"
TODAY = START.date()


async def test_what_is_beyond_waits_uncounted() -> None:
    sources: dict[str, Any] = {"sources": (Source(address=NEW),), "warm_up": {NEW: TODAY}}
    async with a_direct_post(mx(A1), {A1: FINE}, **sources) as direct:
        first = await direct.send("a@x.test")
        await eventually(lambda: direct.post.row(first).status is Status.SENT)
        second = await direct.send("b@x.test")
        await eventually(lambda: direct.post.row(second).paused_until is not None)
        row = direct.post.row(second)
        assert (row.status, row.attempts) == (Status.QUEUED, 0)
        assert row.paused_until == direct.post.clock.now() + timedelta(minutes=5)
        assert direct.server(A1).connections == 1


async def test_another_source_sends_the_rest() -> None:
    sources: dict[str, Any] = {
        "sources": (Source(address=NEW), Source(address=OLD)),
        "warm_up": {NEW: TODAY},
    }
    zones: dict[str, Any] = {}
    for number in range(6):
        zones |= mx(A1, domain=f"d{number}.test")
    async with a_direct_post(zones, {A1: FINE}, **sources) as direct:
        messages = [
            await direct.send(f"{name}@d{number}.test") for number in range(6) for name in "abc"
        ]
        await eventually(
            lambda: {direct.post.row(each).status for each in messages} == {Status.SENT}
        )
        seen = [
            (direct.post.row(each).address.partition("@")[2], detail["local_ip"])
            for each in messages
            for _, detail in direct.post.events(each)
        ]
        new = [domain for domain, source in seen if source == NEW]
        assert new, "some of the sites see it first"
        assert len(new) == len(set(new)), "once each"


async def test_before_its_day_an_address_is_not_used() -> None:
    later: dict[str, Any] = {
        "sources": (Source(address=NEW), Source(address=OLD)),
        "warm_up": {NEW: TODAY + timedelta(days=1), OLD: TODAY - timedelta(days=20)},
    }
    zones: dict[str, Any] = {}
    for number in range(6):
        zones |= mx(A1, domain=f"d{number}.test")
    async with a_direct_post(zones, {A1: FINE}, **later) as direct:
        messages = [await direct.send(f"a@d{number}.test") for number in range(6)]
        await direct.post.settled()
        details = [detail for each in messages for _, detail in direct.post.events(each)]
        assert {detail["local_ip"] for detail in details} == {OLD}


def test_turns_that_are_over_are_dropped() -> None:
    clock = FakeClock()
    warm_ups = WarmUps({NEW: date(2026, 3, 1)}, clock=clock)
    warm_ups.divide_by(Part(1, 2))
    for number in range(10_000):
        warm_ups.take(f"{number}.test", NEW)
    assert warm_ups.wait("1.test", NEW) == 2 * 86400 / 50 - 60
    clock.advance(timedelta(hours=2))
    assert warm_ups.wait("1.test", NEW) == 0
    warm_ups.take("new.test", NEW)
    warm_ups.take("new.test", OLD)
    assert len(warm_ups._next) == 1
    assert warm_ups.is_warming(NEW)
    assert not warm_ups.is_warming(OLD)


async def test_what_is_beyond_goes_by_the_fall_back() -> None:
    """For a minute; then the site is given its next messages, as many as were due meanwhile."""
    began = TODAY - timedelta(days=12)  # 6487 a day: 4.5 in a minute
    warm: dict[str, Any] = {"sources": (Source(address=NEW),), "warm_up": {NEW: began}}
    routes = RouteRules(use_remote_smtp=True, falls_back=True)
    async with a_direct_post(mx(A1), {A1: FINE}, routes=routes, **warm) as direct:

        async def sent_directly() -> int:
            messages = [await direct.send(f"u{number}@x.test") for number in range(10)]
            await direct.post.settled(*messages)
            found = [direct.post.row(each).status for each in messages]
            assert set(found) <= {Status.SENT, Status.RELAYED}
            return found.count(Status.SENT)

        with capture_logs() as logs:
            assert 1 <= await sent_directly() <= 5, "also on several connections"
            [fallback] = direct.post.view.sites.fallbacks()
            assert fallback.reply == "our address is new to its mail hosts (direct.warm_up)"
            assert await sent_directly() == 0
            direct.post.advance(timedelta(seconds=61))
            assert 1 <= await sent_directly() <= 5
        assert "fallback_on" not in {line["event"] for line in logs}, "that would be each minute"


async def test_the_mail_of_other_senders_does_not_take_the_fall_back() -> None:
    """A new address for newsletters must not take the other mail off an address that is known for years."""
    sources = (Source(address=OLD), Source(address=NEW, senders=("news.test",)))
    warm: dict[str, Any] = {"sources": sources, "warm_up": {NEW: TODAY}}
    routes = RouteRules(use_remote_smtp=True, falls_back=True, pool=partial(pool_named, sources))
    async with a_direct_post(mx(A1), {A1: FINE}, routes=routes, **warm) as direct:
        first = await direct.send("a@x.test", sender="list@news.test")
        await eventually(lambda: direct.post.row(first).status is Status.SENT)
        beyond = await direct.send("b@x.test", sender="list@news.test")
        other = await direct.send("c@x.test", sender="app@app.test")
        await direct.post.settled(beyond, other)
        assert direct.post.row(beyond).status is Status.RELAYED
        assert direct.post.row(other).status is Status.SENT
        [fallback] = direct.post.view.sites.fallbacks()
        assert fallback.domain == f"x.test from {NEW}"
