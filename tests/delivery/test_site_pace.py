"""A provider that says what it thinks of us: its site is given less, or is left alone, whoever has the mail."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from structlog.testing import capture_logs

from relayd.deliverer.nexthop.site_pace import SitePaces
from relayd.deliverer.site_news import SiteNews
from relayd.mail.reply import Reply, Stage
from relayd.policy.delivery.route import RouteRules
from relayd.policy.pace import FREE, Saw, Seen, SiteMode
from relayd.ports.sites import SiteKey
from relayd.ports.view import Status
from relayd.store.memory.queue import MemoryStore
from tests.support.clock import START, FakeClock
from tests.support.direct import A1, Direct, Script, a_direct_post
from tests.support.post import RETRY, eventually, rules
from tests.support.scripted_server import InTurn

SITE = SiteKey("big.test")
ZONES: dict[str, Any] = {
    **{f"{name}.test": {"MX": ["10 mx1.big.test."]} for name in "abcdef"},
    "mx1.big.test": {"A": [A1]},
}
FINE = "250 2.0.0 fine"
MISTRUST = "421 4.7.0 low reputation of your IP address"
BLOCKED = "550 5.7.1 Your IP has been blacklisted"
SLOW = "450 4.7.0 You are sending too fast"
MINUTES = timedelta(minutes=1)


async def in_time(direct: Direct, done: Callable[[], bool]) -> None:
    """Let time go by until it is done; but not while something is under way."""

    def is_done() -> bool:
        if not done() and not direct.post.leased():
            direct.post.advance(timedelta(seconds=20))
        return done()

    await eventually(is_done)


async def mode(direct: Direct) -> SiteMode:
    """As it is in the store: what was read a moment ago is not read again."""
    direct.post.clock.advance(timedelta(seconds=1))
    await direct.news.refresh()
    return direct.paces.state_of(SITE).mode


async def test_a_site_that_mistrusts_us_rests_and_is_asked_by_one_message() -> None:
    script: Script = {"MAIL": InTurn(MISTRUST, FINE)}
    async with a_direct_post(ZONES, {A1: script}) as direct:
        with capture_logs() as logs:
            refused = await direct.send("a@a.test")
            await direct.post.settled(refused)
            await eventually(lambda: direct.paces.state_of(SITE).mode is SiteMode.RESTING)
        [told] = [line for line in logs if line["event"] == "site_resting"]
        assert told["site"] == "big.test"
        assert MISTRUST in told["reason"]
        others = [await direct.send(f"a@{name}.test") for name in "bcdef"]
        await eventually(lambda: all(direct.post.row(each).paused_for for each in others))
        assert direct.server(A1).connections == 1, "nobody else asked"
        row = direct.post.row(others[0])
        assert (row.status, row.attempts) == (Status.QUEUED, 0), "waiting is no attempt"
        assert row.paused_for is not None
        assert "big.test rests until" in row.paused_for
        assert MISTRUST in row.paused_for
        everyone = (refused, *others)
        await in_time(
            direct, lambda: all(direct.post.row(each).status is Status.SENT for each in everyone)
        )
        assert direct.post.clock.now() - START >= 15 * MINUTES
        assert await mode(direct) is SiteMode.PACED


async def test_a_site_that_is_free_is_given_what_there_is() -> None:
    async with a_direct_post(ZONES, {A1: {}}) as direct:
        messages = [await direct.send(f"a@{name}.test") for name in "abcdef"]
        await direct.post.settled(*messages)
        assert not direct.post.view.sites.sites()


async def test_two_refusals_of_our_address_are_a_block() -> None:
    """Each bounces as today: only what comes after them waits."""
    async with a_direct_post(ZONES, {A1: {"RCPT": BLOCKED}}) as direct:
        first = await direct.send("a@a.test")
        await direct.post.settled(first)
        assert direct.post.row(first).status is Status.BOUNCED
        assert await mode(direct) is SiteMode.FREE
        second = await direct.send("a@b.test")
        await direct.post.settled(second)
        assert direct.post.row(second).status is Status.BOUNCED
        await eventually(lambda: direct.paces.state_of(SITE).mode is SiteMode.BLOCKED)
        third = await direct.send("a@c.test")
        await eventually(lambda: direct.post.row(third).paused_for)
        assert direct.post.row(third).status is Status.QUEUED
        assert direct.server(A1).connections <= 2


async def test_mail_that_is_too_old_is_given_up_though_nobody_may_ask() -> None:
    """Else it would wait as long as the site refuses us."""
    blocked = Seen(saw=Saw.BLOCKED, reply=BLOCKED, has_other_way=True)
    async with a_direct_post(ZONES, {A1: {}}) as direct:
        sites = direct.post.store.sites
        await sites.note_site(SITE, blocked)
        assert await mode(direct) is SiteMode.BLOCKED
        old = await direct.send("a@a.test")
        await eventually(lambda: direct.post.row(old).paused_for)
        direct.post.clock.advance(RETRY.give_up_after)
        await sites.note_site(SITE, blocked)
        assert await mode(direct) is SiteMode.BLOCKED
        direct.post.scheduler.wake()
        await eventually(lambda: direct.post.row(old).status is Status.BOUNCED)
        [(_, detail)] = direct.post.events(old)
        assert "given up after 5 days" in str(detail["reason"])
        assert "big.test refuses our address" in str(detail["reason"])
        young = await direct.send("a@b.test")
        await eventually(lambda: direct.post.row(young).paused_for)
        assert direct.server(A1).connections == 0


async def test_a_site_that_says_too_fast_is_given_less() -> None:
    script: Script = {"DOT": InTurn(FINE, SLOW, FINE)}
    async with a_direct_post(ZONES, {A1: script}) as direct:
        for name in "ab":
            await direct.post.settled(await direct.send(f"a@{name}.test"))
        await eventually(lambda: direct.paces.state_of(SITE).mode is SiteMode.PACED)
        later = await direct.send("a@c.test")
        await eventually(lambda: direct.post.row(later).paused_for)
        assert "messages a minute" in str(direct.post.row(later).paused_for)
        await in_time(direct, lambda: direct.post.row(later).status is Status.SENT)


async def test_another_worker_knows_what_one_saw() -> None:
    async with a_direct_post(ZONES, {A1: {"MAIL": MISTRUST}}) as direct:
        await direct.post.settled(await direct.send("a@a.test"))
        await eventually(lambda: direct.paces.state_of(SITE).mode is SiteMode.RESTING)
        async with a_direct_post(ZONES, {}, store=direct.post.store, name="2") as other:  # type: ignore[arg-type]
            assert await mode(other) is SiteMode.RESTING
            await direct.post.store.sites.free_site("big.test")
            assert await mode(other) is SiteMode.FREE
            assert other.paces.state_of(SITE) == FREE


async def test_a_message_that_asks_and_fails_otherwise_leaves_its_place() -> None:
    script: Script = {"MAIL": InTurn(MISTRUST, FINE), "RCPT": "550 5.1.1 no such user"}
    async with a_direct_post(ZONES, {A1: script}) as direct:
        await direct.post.settled(await direct.send("a@a.test"))
        await eventually(lambda: direct.paces.state_of(SITE).mode is SiteMode.RESTING)
        other = await direct.send("a@b.test")
        await eventually(lambda: direct.post.row(other).paused_for)
        await in_time(direct, lambda: direct.post.row(other).status is Status.BOUNCED)
        state = direct.paces.state_of(SITE)
        assert (state.mode, state.probe_until) == (SiteMode.PROBING, 0.0)


async def test_with_a_smarthost_the_mail_of_a_blocked_site_goes_by_it() -> None:
    """Also the mail of domains that were never refused: their site is the same."""
    auto = RouteRules(use_remote_smtp=True, falls_back=True)
    async with a_direct_post(ZONES, {A1: {"RCPT": BLOCKED}}, routes=auto) as direct:
        messages = [await direct.send(f"a@{name}.test") for name in "abcdef"]
        await eventually(
            lambda: all(direct.post.row(each).status is Status.RELAYED for each in messages)
        )
        assert direct.paces.state_of(SITE).mode is SiteMode.BLOCKED
        assert len(direct.server(A1).messages) == 0
        assert direct.server(A1).connections == 1
        assert len(direct.post.view.sites.fallbacks()) == 6


async def test_the_ceiling_is_what_all_workers_gave() -> None:
    store = MemoryStore(FakeClock())
    news = [SiteNews(store.sites, clock=store._clock) for _ in range(3)]
    one, _, other = (
        SitePaces(each, store.permits, clock=store._clock, rules=rules()) for each in news
    )
    fine, slow = Reply(250, "2.0.0", ("ok",)), Reply(450, "4.7.0", ("You are sending too fast",))
    for _ in range(151):
        await one.saw(SITE, [(fine, Stage.DOT)])
        await other.saw(SITE, [(fine, Stage.DOT)])
        await other.saw(SITE, [(fine, Stage.DOT)])
    await one.saw(SITE, [(slow, Stage.DOT)])
    alone = one.state_of(SITE).ceiling
    assert alone > 0
    for each in reversed(news):
        await each.refresh()
    assert one.state_of(SITE).ceiling == pytest.approx(3 * alone, rel=0.05)
