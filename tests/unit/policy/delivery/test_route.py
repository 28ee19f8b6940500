"""Where a recipient goes, and the key of that destination."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relayd.mail.address import Address, parse_address
from relayd.mail.envelope import Client, queued_message
from relayd.policy.delivery.route import (
    HOLD,
    SMARTHOST,
    HostPort,
    OnHold,
    Route,
    RouteFacts,
    RouteRule,
    RouteRules,
    TlsAsked,
    ViaHost,
    ViaMx,
    ViaSmarthost,
    asked_by,
    asked_of,
    decide,
    facts_of,
    fallback_of,
    forwarded,
    host_of,
    key_of,
    matches,
    mx_domain_of,
    names_of,
    only_smarthosts,
    route_of,
    smarthost_of,
    table_of,
    way_of,
)
from relayd.policy.delivery.senders import SenderPatterns
from tests.support.builders import a_message

HOST = HostPort(host="mail.internal.example", port=2525)
DIRECT = RouteRules(use_remote_smtp=True)
EXCEPTIONS = RouteRules(
    use_remote_smtp=True,
    rules=(
        RouteRule(pattern="held.example", route=OnHold("held.example")),
        RouteRule(pattern="vip.partner.example", route=ViaMx("")),
        RouteRule(pattern="*.partner.example", route=ViaHost(HOST)),
        RouteRule(pattern="Partner.example", route=ViaSmarthost()),
    ),
    test_recipients=frozenset({"qa@held.example"}),
)


def where(address: str, rules: RouteRules, *, is_test: bool = False) -> Route:
    return decide(parse_address(address), RouteFacts(is_test=is_test), rules).route


@pytest.mark.parametrize("domain", ["example.com", "EXAMPLE.com", "exämple.test", "[192.0.2.1]"])
def test_without_direct_mode_all_mail_goes_to_the_smarthost(domain: str) -> None:
    decision = decide(Address("user", domain), RouteFacts(), RouteRules())
    assert decision.route == ViaSmarthost()
    assert decision.reason == "use_remote_smtp = false"


@pytest.mark.parametrize(
    ("domain", "key"),
    [
        pytest.param("example.com", "mx:example.com", id="plain"),
        pytest.param("EXAMPLE.Com", "mx:example.com", id="any-case"),
        pytest.param("EXÄMPLE.test", "mx:exämple.test", id="u-labels"),
        pytest.param("[192.0.2.1]", "mx:[192.0.2.1]", id="literal"),
    ],
)
def test_in_direct_mode_mail_goes_to_its_own_domain(domain: str, key: str) -> None:
    """One key for one domain, however it is written."""
    assert way_of(parse_address(f"user@{domain}"), RouteFacts(), DIRECT).key == key
    assert mx_domain_of(key) == key[3:]
    reason = decide(Address("user", domain), RouteFacts(), DIRECT).reason
    assert reason == "use_remote_smtp = true"


@pytest.mark.parametrize(
    ("address", "route", "reason"),
    [
        pytest.param("a@held.example", OnHold("held.example"), '[routes] "held.', id="hold"),
        pytest.param("a@HELD.Example", OnHold("held.example"), '[routes] "held.', id="any-case"),
        pytest.param("a@sub.held.example", ViaMx("sub.held.example"), "use_", id="not-below"),
        pytest.param("a@x.partner.example", ViaHost(HOST), '"*.partner', id="below"),
        pytest.param("a@y.x.partner.example", ViaHost(HOST), '"*.partner', id="far-below"),
        pytest.param(
            "a@Vip.Partner.example", ViaMx("vip.partner.example"), '"vip.', id="the-first-counts"
        ),
        pytest.param("a@partner.example", ViaSmarthost(), '"Partner.', id="star-is-below-only"),
        pytest.param("a@xpartner.example", ViaMx("xpartner.example"), "use_", id="whole-labels"),
    ],
)
def test_exceptions_come_before_the_mode(address: str, route: Route, reason: str) -> None:
    """[routes] in its order; a pattern means that domain, or with a star all below it."""
    decision = decide(parse_address(address), RouteFacts(), EXCEPTIONS)
    assert decision.route == route
    assert reason in decision.reason


@pytest.mark.parametrize("domain", ["other.example", "held.example", "x.partner.example"])
def test_test_mail_always_goes_to_the_smarthost(domain: str) -> None:
    """Whatever else is set, by header or by address in any case."""
    decision = decide(Address("a", domain), RouteFacts(is_test=True), EXCEPTIONS)
    assert decision.route == ViaSmarthost()
    assert "X-Relayd-Test" in decision.reason
    assert where("QA@Held.Example", EXCEPTIONS) == ViaSmarthost()
    listed = decide(parse_address("QA@Held.Example"), RouteFacts(), EXCEPTIONS)
    assert "[test_mail]" in listed.reason


SENDERS = ("boss@news.example", "news.example", "*.news.example", "<>", "quiet.example")
CHOICE = RouteRules(
    use_remote_smtp=True,
    rules=(RouteRule(pattern="partner.example", route=ViaSmarthost("partner")),),
    logins={"shop": "by-login"},
    listeners={"127.0.0.1:2526": "by-listener"},
    senders={
        "boss@news.example": "by-address",
        "news.example": "by-domain",
        "*.news.example": "by-star",
        "<>": "by-null",
    },
    sender_patterns=SenderPatterns(SENDERS),
    smarthosts=frozenset({"partner", "by-login", "by-listener"}),
    test_recipients=frozenset({"qa@x.example"}),
)
SHOP, PORT = "shop", "127.0.0.1:2526"


@pytest.mark.parametrize(
    ("to", "facts", "route", "reason"),
    [
        pytest.param(
            "a@partner.example",
            RouteFacts(sender="a@news.example", user=SHOP, listener=PORT, is_test=True),
            ViaSmarthost(),
            "a test mail",
            id="test-mail",
        ),
        pytest.param(
            "a@partner.example",
            RouteFacts(user=SHOP, is_test=True, test_via="by-listener"),
            ViaSmarthost("by-listener"),
            "a test mail (X-Relayd-Test: smarthost:by-listener)",
            id="test-mail-by-a-named-one",
        ),
        pytest.param(
            "a@partner.example",
            RouteFacts(user=SHOP, is_test=True, test_via="gone"),
            ViaSmarthost(),
            "a test mail (X-Relayd-Test: yes)",
            id="test-mail-by-one-that-is-gone",
        ),
        pytest.param(
            "qa@x.example",
            RouteFacts(user=SHOP),
            ViaSmarthost(),
            "[test_mail]",
            id="test-recipient",
        ),
        pytest.param(
            "a@partner.example",
            RouteFacts(sender="a@news.example", user=SHOP, listener=PORT),
            ViaSmarthost("partner"),
            '[routes] "partner.example"',
            id="recipient",
        ),
        pytest.param(
            "a@x.example",
            RouteFacts(sender="a@news.example", user=SHOP, listener=PORT),
            ViaSmarthost("by-login"),
            '[logins] "shop"',
            id="login",
        ),
        pytest.param(
            "a@x.example",
            RouteFacts(sender="a@news.example", user="Shop", listener=PORT),
            ViaSmarthost("by-listener"),
            '[[listen]] "127.0.0.1:2526"',
            id="listener",
        ),
        pytest.param(
            "a@x.example",
            RouteFacts(sender="Boss@News.example", listener="127.0.0.1:25"),
            ViaSmarthost("by-address"),
            '[senders] "boss@news.example"',
            id="sender",
        ),
        pytest.param(
            "a@x.example",
            RouteFacts(sender="a@news.example"),
            ViaSmarthost("by-domain"),
            '[senders] "news.example"',
            id="domain-of-the-sender",
        ),
        pytest.param(
            "a@x.example",
            RouteFacts(sender="a@b.c.news.example"),
            ViaSmarthost("by-star"),
            '[senders] "*.news.example"',
            id="above-the-domain-of-the-sender",
        ),
        pytest.param(
            "a@x.example",
            RouteFacts(sender=""),
            ViaSmarthost("by-null"),
            '[senders] "<>"',
            id="null-reverse-path",
        ),
        pytest.param(
            "a@x.example",
            RouteFacts(sender="a@quiet.example"),
            ViaMx("x.example"),
            "use_remote_smtp = true",
            id="an-entry-that-names-none",
        ),
        pytest.param(
            "a@x.example",
            RouteFacts(),
            ViaMx("x.example"),
            "use_remote_smtp = true",
            id="nothing-known",
        ),
    ],
)
def test_the_first_that_fits_counts(to: str, facts: RouteFacts, route: Route, reason: str) -> None:
    decision = decide(parse_address(to), facts, CHOICE)
    assert (decision.route, reason in decision.reason) == (route, True)


def test_a_queued_message_is_decided_by_what_the_store_keeps_of_it() -> None:
    client = Client(ip="", helo="x", listener=PORT, auth_user=SHOP, account=f"login {SHOP}")
    queued = queued_message(replace(a_message(reverse_path="a@news.example"), client=client))
    assert facts_of(queued) == RouteFacts(sender="a@news.example", user=SHOP, listener=PORT)
    old = replace(queued, account="", listener="")
    assert facts_of(old) == RouteFacts(sender="a@news.example", user=None, listener="")


CATCH_ALL = parse_address("catch.all@staging.example")
STAGING = RouteRules(
    use_remote_smtp=True,
    rules=(RouteRule(pattern="staging.example", route=ViaHost(HOST)),),
    redirect_to=CATCH_ALL,
    redirect_allow=frozenset({"boss@example.org", "team.example"}),
)


@pytest.mark.parametrize(
    ("address", "goes_out"),
    [
        pytest.param("user@example.org", False, id="anybody"),
        pytest.param("Boss@Example.ORG", True, id="allowed-address"),
        pytest.param("boss.x@example.org", False, id="its-domain-is-not"),
        pytest.param("anybody@Team.example", True, id="allowed-domain"),
        pytest.param("anybody@sub.team.example", False, id="not-below-it"),
    ],
)
def test_redirection_lets_out_only_who_is_allowed(address: str, *, goes_out: bool) -> None:
    given = parse_address(address)
    assert forwarded(given, STAGING) == (given if goes_out else CATCH_ALL)
    assert forwarded(given, RouteRules()) == given


def test_a_redirected_recipient_goes_where_the_new_address_does() -> None:
    assert way_of(parse_address("user@example.org"), RouteFacts(), STAGING).key == f"host:{HOST}"
    assert way_of(parse_address("boss@example.org"), RouteFacts(), STAGING).key == "mx:example.org"
    assert (
        way_of(parse_address("user@example.org"), RouteFacts(is_test=True), STAGING).key
        == SMARTHOST
    )


@pytest.mark.parametrize(
    ("route", "key"),
    [
        pytest.param(ViaSmarthost(), SMARTHOST, id="smarthost"),
        pytest.param(ViaSmarthost("news-2"), "smarthost:news-2", id="named-smarthost"),
        pytest.param(ViaMx("a.test"), "mx:a.test", id="mx"),
        pytest.param(ViaHost(HOST), "host:mail.internal.example:2525", id="host"),
        pytest.param(
            ViaHost(HostPort(host="2001:db8::1", port=25)), "host:[2001:db8::1]:25", id="ipv6"
        ),
        pytest.param(OnHold("*.a.test"), HOLD, id="hold"),
    ],
)
def test_keys_are_stable(route: Route, key: str) -> None:
    """They are stored: their spelling is for ever, and leads back to where they came from."""
    assert key_of(route) == key
    assert mx_domain_of(key) == (route.domain if isinstance(route, ViaMx) else None)
    assert route_of(key) == (OnHold("") if isinstance(route, OnHold) else route)
    assert smarthost_of(key) == (route.name if isinstance(route, ViaSmarthost) else None)
    if isinstance(route, ViaHost):
        assert host_of(key) == route.host


def test_each_smarthost_has_a_table_of_the_settings() -> None:
    assert (table_of("default"), table_of("news")) == ("smarthost", "smarthosts.news")


@pytest.mark.parametrize(
    "key",
    [
        "",
        "x",
        "mx:",
        "host:",
        "host:x",
        "host:x:",
        "host:x:smtp",
        "host:x:025",
        "host:x:²",
        "MX:a",
        "hold:a",
        "smarthost:",
        "smarthost:default",
        "smarthost:News",
        "smarthost:25",
        "smarthost:-a",
        f"smarthost:{'a' * 41}",
    ],
)
def test_what_is_no_key_has_no_route(key: str) -> None:
    assert route_of(key) is None


@given(st.ip_addresses(), st.integers(1, 65535))
def test_a_host_survives_its_key(ip: object, port: int) -> None:
    host = HostPort(host=str(ip), port=port)
    assert host_of(key_of(ViaHost(host))) == host


labels = st.lists(st.sampled_from(["a", "b", "ab"]), min_size=1, max_size=4)


@given(labels, labels)
def test_a_star_stands_for_one_label_or_more(domain: list[str], below: list[str]) -> None:
    above = ".".join(below)
    meant = len(domain) > len(below) and domain[-len(below) :] == below
    assert matches(".".join(domain), f"*.{above}") is meant
    assert matches(".".join(domain), above) is (domain == below)


ONLY = {
    "no exceptions": (RouteRules(), {SMARTHOST}),
    "direct mode": (DIRECT, set()),
    "exceptions that stay": (
        RouteRules(
            rules=(
                RouteRule(pattern="a.example", route=OnHold("a.example")),
                RouteRule(pattern="b.example", route=ViaSmarthost()),
            )
        ),
        {SMARTHOST},
    ),
    "a direct route": (RouteRules(rules=(RouteRule(pattern="a.example", route=ViaMx("")),)), set()),
    "a host": (RouteRules(rules=(RouteRule(pattern="a.example", route=ViaHost(HOST)),)), set()),
    "several": (
        RouteRules(
            rules=(RouteRule(pattern="a.example", route=ViaSmarthost("a")),),
            logins={"shop": "b"},
            listeners={"127.0.0.1:25": "c"},
            senders={"x.example": "d"},
        ),
        {SMARTHOST, "smarthost:a", "smarthost:b", "smarthost:c", "smarthost:d"},
    ),
}


@pytest.mark.parametrize(("rules", "only"), ONLY.values(), ids=ONLY)
def test_which_smarthosts_stop_all_mail_when_none_of_them_takes_any(
    rules: RouteRules, only: set[str]
) -> None:
    assert only_smarthosts(rules) == only


@pytest.mark.parametrize(
    ("key", "names"),
    [
        (SMARTHOST, {SMARTHOST}),
        ("mx:Shop.example", {"mx:shop.example", "shop.example"}),
        ("host:MX.example:2525", {"host:mx.example:2525", "mx.example", "mx.example:2525"}),
    ],
)
def test_people_call_a_destination_by_these_names(key: str, names: set[str]) -> None:
    assert names_of(key) == names


AUTO = RouteRules(use_remote_smtp=True, falls_back=True, diverted={"x.test"})
BY_SMARTHOST = ViaSmarthost()
DIVERTED = {
    "the domain": ("a@X.test", AUTO, BY_SMARTHOST),
    "another domain": ("a@sub.x.test", AUTO, ViaMx("sub.x.test")),
    "switched off": ("a@x.test", replace(AUTO, falls_back=False), ViaMx("x.test")),
    "a rule sends it directly": (
        "a@x.test",
        replace(AUTO, rules=(RouteRule(pattern="x.test", route=ViaMx("")),)),
        ViaMx("x.test"),
    ),
}


@pytest.mark.parametrize(("address", "rules", "way"), DIVERTED.values(), ids=DIVERTED)
def test_mail_falls_back_where_only_the_mode_sends_it_directly(
    address: str, rules: RouteRules, way: Route
) -> None:
    assert way_of(parse_address(address), RouteFacts(), rules).route == way


def test_who_may_fall_back_is_who_does() -> None:
    """Whether the domain is diverted already or not: else mail would be moved to and fro."""
    address = parse_address("a@x.test")
    for _, rules, _ in DIVERTED.values():
        for known in (rules, replace(rules, diverted=frozenset())):
            found = fallback_of(address, RouteFacts(), known)
            diverted = way_of(address, RouteFacts(), rules)
            assert found == (diverted if diverted.route == BY_SMARTHOST else None)
    for facts in (RouteFacts(is_test=True), RouteFacts(user="app")):
        named = replace(AUTO, logins={"app": "other"}, smarthosts=frozenset({"other"}))
        assert fallback_of(address, facts, named) is None


@pytest.mark.parametrize(
    ("requires", "lifts", "key"),
    [
        (False, False, "mx:x.test"),
        (False, True, "mx-lax:x.test"),
        (True, False, "mx-tls:x.test"),
        (True, True, "mx-tls:x.test"),  # RFC 8689 §4.1
    ],
)
def test_what_a_message_asks_of_tls_has_a_destination_of_its_own(
    requires: bool,  # noqa: FBT001
    lifts: bool,  # noqa: FBT001
    key: str,
) -> None:
    asks = asked_by(requires=requires, lifts=lifts)
    way = decide(Address("a", "X.test"), RouteFacts(asks=asks), DIRECT)
    assert way.key == key
    assert (asked_of(key), mx_domain_of(key)) == (asks, "x.test")
    assert route_of(key) == way.route
    assert "x.test" in names_of(key)
    by_rule = RouteRules(rules=(RouteRule(pattern="x.test", route=ViaMx("")),))
    assert decide(Address("a", "X.test"), RouteFacts(asks=asks), by_rule).key == key
    other = decide(Address("a", "x.test"), RouteFacts(asks=asks), RouteRules())
    assert other.key == SMARTHOST


def test_what_has_to_be_safe_does_not_fall_back() -> None:
    rules = replace(DIRECT, falls_back=True, diverted=frozenset({"x.test"}))
    to = Address("a", "x.test")
    assert way_of(to, RouteFacts(), rules).key == SMARTHOST
    assert way_of(to, RouteFacts(asks=TlsAsked.PROOF), rules).key == "mx-tls:x.test"
    assert fallback_of(to, RouteFacts(asks=TlsAsked.PROOF), rules) is None


def test_some_mail_may_go_directly() -> None:
    assert RouteRules(use_remote_smtp=True).may_be_direct
    assert RouteRules(rules=(RouteRule(pattern="x.test", route=ViaMx("")),)).may_be_direct
    assert not RouteRules().may_be_direct
