"""Which of our addresses a site sees: always the same one."""

from collections.abc import Sequence
from functools import partial
from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relayd.mail.address import parse_address
from relayd.policy.delivery.route import RouteFacts, RouteRules, ViaMx, ViaSmarthost, decide
from relayd.policy.delivery.source import (
    IpFamily,
    Source,
    pick_source,
    pool_named,
    pool_of,
    unused_families,
)

TO, TO6 = ip_address("203.0.113.1"), ip_address("2001:db8::25")
FOUR = ("192.0.2.1", "192.0.2.2", "192.0.2.3", "192.0.2.4")
SITES = [f"d{n}.test" for n in range(1000)]

sites = st.sampled_from("abcdefgh")
sources = st.lists(
    st.sampled_from((*FOUR, "2001:db8::1", "2001:db8::2")), unique=True, max_size=6
).map(tuple)


@given(sites, sources, st.data())
def test_the_order_of_the_settings_does_not_count(
    site: str, sources: Sequence[str], data: st.DataObject
) -> None:
    shuffled = data.draw(st.permutations(sources))
    assert pick_source(site, TO, shuffled) == pick_source(site, TO, sources)


@given(sites, sources, st.frozensets(st.sampled_from(FOUR)))
def test_another_source_only_while_the_first_one_rests(
    site: str, sources: Sequence[str], resting: frozenset[str]
) -> None:
    first, now = (pick_source(site, TO, sources, resting=each) for each in ((), resting))
    usable = [each for each in sources if ":" not in each and each not in resting]
    if first in usable or not usable:
        assert now == first
    else:
        assert now in usable


@pytest.mark.parametrize(
    ("to", "sources", "picked"),
    [
        pytest.param(TO, (), None, id="none"),
        pytest.param(TO, ("192.0.2.1",), "192.0.2.1", id="one"),
        pytest.param(TO, ("2001:db8::1", "192.0.2.1"), "192.0.2.1", id="of-its-family"),
        pytest.param(TO6, ("2001:db8::1", "192.0.2.1"), "2001:db8::1", id="of-its-family-ipv6"),
        pytest.param(TO6, ("192.0.2.1",), None, id="none-of-its-family"),
    ],
)
def test_sources_of_the_right_family_count(
    to: object, sources: Sequence[str], picked: str | None
) -> None:
    assert pick_source("mx.a.test", ip_address(str(to)), sources) == picked


def test_the_choice_outlives_every_process_and_version() -> None:
    """These may never change: mail that waits would come from another address."""
    known = ("google", "office365", "prov.test", "mx1.a.test", "mx.a.test,mx.b.test")
    picked = [pick_source(site, TO, FOUR) for site in known]
    assert picked == [f"192.0.2.{number}" for number in (2, 2, 2, 1, 1)]
    assert pick_source("mx.a.test", TO6, ("2001:db8::1", "2001:db8::2")) == "2001:db8::1"


def test_sites_are_spread_evenly() -> None:
    picked = [pick_source(site, TO, FOUR) for site in SITES]
    for source in FOUR:
        assert 200 < picked.count(source) < 300


def test_a_source_more_or_less_moves_no_other_site() -> None:
    for site in SITES:
        before, after = pick_source(site, TO, FOUR), pick_source(site, TO, FOUR[:3])
        assert before in {after, FOUR[3]}


NEWS = Source(address="192.0.2.1", senders=("News.example", "*.news.example", "app"))
ONE = Source(address="192.0.2.2", senders=("a@b.example", "<>", "news.example"))
ALL = Source(address="192.0.2.3")
POOLS = {
    "nobody known": (RouteFacts(), {ALL}),
    "another sender": (RouteFacts(sender="x@b.example"), {ALL}),
    "a domain, of two": (RouteFacts(sender="x@NEWS.example"), {NEWS, ONE}),
    "below a domain": (RouteFacts(sender="x@a.news.example"), {NEWS}),
    "an address": (RouteFacts(sender="A@b.example"), {ONE}),
    "the null reverse-path": (RouteFacts(sender=""), {ONE}),
    "a login": (RouteFacts(sender="x@b.example", user="app"), {NEWS}),
    "a login is spelt in one way": (RouteFacts(sender="x@b.example", user="App"), {ALL}),
    "a login like a domain": (RouteFacts(sender="x@b.example", user="news.example"), {ONE}),
}


@pytest.mark.parametrize(("facts", "pool"), POOLS.values(), ids=POOLS)
def test_senders_have_sources_of_their_own(facts: RouteFacts, pool: set[Source]) -> None:
    assert set(pool_of((NEWS, ONE, ALL), facts)) == pool


def test_without_senders_all_sources_are_for_everybody() -> None:
    sources = tuple(Source(address=each) for each in FOUR)
    assert pool_of(sources, RouteFacts(sender="a@b.example", user="app")) == sources
    assert pool_of((), RouteFacts(sender="a@b.example")) == ()


V4, V6 = IpFamily.IPV4, IpFamily.IPV6
SETTINGS, SOURCES = "direct.families", "direct.source_addresses"


@pytest.mark.parametrize(
    ("families", "sources", "unused"),
    [
        pytest.param((V4, V6), (), {}, id="the-system-chooses"),
        pytest.param((V4, V6), ("192.0.2.1", "2001:db8::1"), {}, id="both"),
        pytest.param((V4,), (), {6: SETTINGS}, id="ipv4"),
        pytest.param((V6,), (), {4: SETTINGS}, id="ipv6"),
        pytest.param((V4, V6), ("192.0.2.1",), {6: SOURCES}, id="ipv4-sources"),
        pytest.param((V4, V6), ("2001:db8::1",), {4: SOURCES}, id="ipv6-sources"),
        pytest.param((V4,), ("192.0.2.1",), {6: SETTINGS}, id="the-setting-says-it-first"),
    ],
)
def test_which_families_are_used(
    families: Sequence[IpFamily], sources: Sequence[str], unused: dict[int, str]
) -> None:
    assert unused_families(families, sources) == unused


def test_only_the_mail_of_a_pool_goes_another_way() -> None:
    sources = (Source(address="192.0.2.1"), Source(address="192.0.2.2", senders=("news.test",)))
    rules = RouteRules(
        use_remote_smtp=True,
        falls_back=True,
        pool=partial(pool_named, sources),
        diverted={"x.test from 192.0.2.2"},
    )
    to = parse_address("a@x.test")
    assert decide(to, RouteFacts(sender="a@news.test"), rules).route == ViaSmarthost()
    assert decide(to, RouteFacts(sender="a@app.test"), rules).route == ViaMx("x.test")
