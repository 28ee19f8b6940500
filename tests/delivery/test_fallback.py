"""Direct mode falls back to the smarthost where the mail hosts refuse our address."""

from datetime import timedelta
from functools import partial
from typing import Any

import pytest
from structlog.testing import capture_logs

from relayd.mail.words import EventKind
from relayd.policy.delivery.route import RouteRule, RouteRules, ViaMx
from relayd.policy.delivery.source import Source, pool_named
from relayd.ports.sites import Fallback
from relayd.ports.view import Status
from relayd.store.memory.queue import MemoryStore
from tests.support.clock import FakeClock
from tests.support.direct import A1, DIRECT, Direct, Script, a_direct_post, mx
from tests.support.post import eventually
from tests.support.scripted_server import InTurn

AUTO = RouteRules(use_remote_smtp=True, falls_back=True)
LISTED = "550 5.7.1 Service unavailable; client host [192.0.2.1] blocked using zen.spamhaus.org"


def refusing(reply: str = LISTED) -> Script:
    return {"RCPT": reply}


async def sent_to(direct: Direct, *addresses: str) -> list[Status]:
    messages = [await direct.send(each) for each in addresses]
    await eventually(
        lambda: all(
            direct.post.row(each).status in (Status.RELAYED, Status.SENT, Status.BOUNCED)
            for each in messages
        )
    )
    return [direct.post.row(each).status for each in messages]


async def test_a_refusal_of_our_address_moves_the_message_itself() -> None:
    async with a_direct_post(mx(A1), {A1: refusing()}, routes=AUTO) as direct:
        with capture_logs() as logs:
            message = await direct.send("a@x.test")
            await eventually(lambda: direct.post.row(message).status is Status.RELAYED)
        (first, seen), (last, _) = direct.post.events(message)
        assert (first, last) == (EventKind.ATTEMPTED, EventKind.RELAYED)
        assert str(seen["reason"]).startswith("moved to smarthost (direct.fallback")
        assert (seen["code"], seen["remote_host"]) == (550, "mx1.x.test")
        assert direct.post.row(message).attempts == 1, "what was refused does not count"
        [on] = [line for line in logs if line["event"] == "fallback_on"]
        assert (on["domain"], on["site"], on["reason"]) == ("x.test", "x.test", LISTED)


async def test_the_next_mail_is_not_even_offered() -> None:
    """Until that is over: then it goes directly again."""
    script: Script = {"RCPT": InTurn(LISTED, "250 ok")}
    async with a_direct_post(mx(A1), {A1: script}, routes=AUTO) as direct:
        assert await sent_to(direct, "a@x.test") == [Status.RELAYED]
        assert await sent_to(direct, "b@x.test", "c@X.test") == [Status.RELAYED] * 2
        assert direct.server(A1).connections == 1
        direct.post.advance(timedelta(hours=6, seconds=1))
        with capture_logs() as logs:
            assert await sent_to(direct, "d@x.test") == [Status.SENT]
        assert "fallback_off" in [line["event"] for line in logs]


async def test_what_waits_for_the_same_domain_is_moved_with_it() -> None:
    async with a_direct_post(mx(A1), {A1: refusing()}, routes=AUTO) as direct:
        assert await sent_to(direct, *(f"u{number}@x.test" for number in range(30))) == (
            [Status.RELAYED] * 30
        )
        refused = sum(line.startswith("RCPT") for line in direct.server(A1).dialog)
        assert refused < 10, "the others were not offered to a host that refuses us"


OTHERS = {
    "about the recipient": ("550 5.1.1 no such user", AUTO),
    "about the sender's domain": (
        "550 5.7.1 the domain app.test is listed at dbl.spamhaus.org",
        AUTO,
    ),
    "about the message": ("550 5.7.1 message looks like spam", AUTO),
    "switched off, or no smarthost": (LISTED, DIRECT),
    "sent directly by a rule": (
        LISTED,
        RouteRules(
            use_remote_smtp=True,
            falls_back=True,
            rules=(RouteRule(pattern="x.test", route=ViaMx("")),),
        ),
    ),
}


@pytest.mark.parametrize(("reply", "routes"), OTHERS.values(), ids=OTHERS)
async def test_other_refusals_bounce(reply: str, routes: RouteRules) -> None:
    async with a_direct_post(mx(A1), {A1: refusing(reply)}, routes=routes) as direct:
        assert await sent_to(direct, "a@x.test") == [Status.BOUNCED]
        assert direct.smarthost.connections == 0


async def test_a_refusal_of_one_address_leaves_the_mail_of_other_senders() -> None:
    """The site said nothing of the address that they send from."""
    own, news = "127.0.0.32", "127.0.0.31"
    sources = (Source(address=own), Source(address=news, senders=("news.test",)))
    routes = RouteRules(use_remote_smtp=True, falls_back=True, pool=partial(pool_named, sources))
    script: Script = {"RCPT TO:<a@x.test>": LISTED}
    async with a_direct_post(mx(A1), {A1: script}, routes=routes, sources=sources) as direct:
        refused = await direct.send("a@x.test", sender="list@news.test")
        await eventually(lambda: direct.post.row(refused).status is Status.RELAYED)
        next_one = await direct.send("b@x.test", sender="list@news.test")
        other = await direct.send("c@x.test", sender="app@app.test")
        await direct.post.settled(next_one, other)
        assert direct.post.row(next_one).status is Status.RELAYED
        assert direct.post.row(other).status is Status.SENT
        [fallback] = direct.post.view.sites.fallbacks()
        assert fallback.domain == f"x.test from {news}"


async def test_what_the_smarthost_says_is_final() -> None:
    async with a_direct_post(mx(A1), {A1: refusing()}, routes=AUTO) as direct:
        direct.smarthost.script = {"RCPT": LISTED}
        assert await sent_to(direct, "a@x.test") == [Status.BOUNCED]
        assert direct.server(A1).connections == 1


async def test_a_fall_back_that_another_worker_noted_counts() -> None:
    """Mail is not moved to and fro between them."""
    store = MemoryStore(FakeClock())
    async with a_direct_post(mx(A1), {A1: refusing()}, routes=AUTO, store=store) as direct:
        until = (store._clock.now() + timedelta(hours=1)).timestamp()
        await store.sites.note_fallback(Fallback(domain="x.test", site="x.test", until=until))
        direct.post.advance(timedelta(seconds=2))  # within which nobody looks again
        assert await sent_to(direct, "a@x.test") == [Status.RELAYED]
        assert direct.server(A1).connections == 0


async def test_mail_for_a_site_that_is_left_alone_goes_another_way_at_once() -> None:
    """Whatever domain it is for: nobody asks that site again before its time, and then one message does."""
    zones: dict[str, Any] = {"prov.test": {}, "mx.prov.test": {"A": [A1]}}
    zones |= {f"d{number}.test": {"MX": ["10 mx.prov.test."]} for number in range(5)}
    script: Script = {"RCPT": InTurn(LISTED, "250 ok")}
    async with a_direct_post(zones, {A1: script}, routes=AUTO) as direct:
        assert await sent_to(direct, "a@d0.test") == [Status.RELAYED]
        others = [f"a@d{number}.test" for number in range(1, 5)]
        assert await sent_to(direct, *others) == [Status.RELAYED] * 4
        assert direct.server(A1).connections == 1
        direct.post.advance(timedelta(hours=6, seconds=2))
        assert await sent_to(direct, "b@d1.test") == [Status.SENT]


async def test_mail_waits_for_a_site_that_rests_for_a_short_while() -> None:
    script: Script = {"RCPT": "451 4.7.1 client host [192.0.2.1] blocked using zen.spamhaus.org"}
    async with a_direct_post(mx(A1), {A1: script}, routes=AUTO) as direct:
        first = await direct.send("a@x.test")
        await eventually(lambda: direct.post.row(first).status is Status.DEFERRED)
        second = await direct.send("b@x.test")
        await eventually(lambda: direct.post.row(second).paused_until is not None)
        assert direct.smarthost.connections == 0
