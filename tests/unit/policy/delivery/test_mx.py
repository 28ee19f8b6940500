"""Which hosts and addresses of a domain are tried, and what proves that there are none."""

from collections.abc import Mapping
from dataclasses import replace
from ipaddress import ip_address
from itertools import count

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relayd.mail.attempt import Breakdown
from relayd.mail.dns import (
    Addresses,
    DnsFailure,
    ImplicitMx,
    MxAnswer,
    MxHost,
    MxHosts,
    NoSuchDomain,
    NullMx,
)
from relayd.mail.words import Category, Fault
from relayd.policy.delivery.mx import (
    Candidates,
    HostPlan,
    MxRules,
    Undeliverable,
    choose,
    drop_self_and_worse,
    order_hosts,
    plan_hosts,
)
from tests.support.networks import DOCUMENTATION

RULES = MxRules(
    own_names=frozenset({"relay.test"}),
    own_addresses=frozenset({ip_address("198.51.100.1"), ip_address("2001:db8:1::1")}),
    allow_networks=DOCUMENTATION,
)
EMPTY = DnsFailure(reason="an empty answer to A a.test that proves nothing", is_empty=True)
NOT_NOW = DnsFailure(reason="10.0.0.1 answers SERVFAIL to A b.test")


def hosts(*listed: str) -> tuple[MxHost, ...]:
    """`hosts("10 a.test", ...)`."""
    pairs = [each.split(" ") for each in listed]
    return tuple(MxHost(preference=int(preference), name=name) for preference, name in pairs)


def found(*ips: str, failed: bool = False) -> Addresses:
    return Addresses(ips=tuple(ip_address(ip) for ip in ips), failures=(NOT_NOW,) if failed else ())


def planned(answer: MxAnswer, rules: MxRules = RULES) -> HostPlan | Undeliverable | Breakdown:
    return plan_hosts("a.test", answer, rules, chance=lambda: 0.0)


def the_plan(*listed: str, implicit: bool = False, cut_off: bool = False) -> HostPlan:
    return HostPlan(
        domain="a.test",
        names=frozenset(host.name for host in hosts(*listed)),
        site="a.test",
        hosts=hosts(*listed),
        implicit=implicit,
        cut_off=cut_off,
    )


FORBIDDEN = ("127.0.0.1", "10.0.0.1", "::1", "fc00::1", "::ffff:10.0.0.1", "2002:a00:1::")
OWN = ("198.51.100.1", "2001:db8:1::1", "64:ff9b::198.51.100.1")
USABLE = ("192.0.2.1", "192.0.2.2", "2001:db8::1", "64:ff9b::192.0.2.1")


def test_hosts_come_by_preference_and_equal_ones_by_chance() -> None:
    answer = MxHosts(hosts=hosts("20 c.test", "10 a.test", "10 b.test", "5 d.test"))
    falling = count(start=1, step=-0.1)
    ordered = order_hosts(answer, chance=lambda: next(falling))
    assert [host.name for host in ordered] == ["d.test", "b.test", "a.test", "c.test"]
    rising = count(step=0.1)
    ordered = order_hosts(answer, chance=lambda: next(rising))
    assert [host.name for host in ordered] == ["d.test", "a.test", "b.test", "c.test"]


def test_a_host_that_is_listed_twice_is_tried_once_at_its_best() -> None:
    answer = MxHosts(hosts=hosts("20 a.test", "10 b.test", "5 a.test"))
    assert order_hosts(answer, chance=lambda: 0) == hosts("5 a.test", "10 b.test")


@pytest.mark.parametrize(
    ("listed", "left"),
    [
        pytest.param(["10 b.test"], ["10 b.test"], id="not-there"),
        pytest.param(["10 b.test", "20 relay.test"], ["10 b.test"], id="backup"),
        pytest.param(["10 relay.test", "20 b.test"], [], id="best"),
        pytest.param(["10 b.test", "10 relay.test"], [], id="equal-ones-go-too"),
        pytest.param(["5 b.test", "10 relay.test", "20 relay.test"], ["5 b.test"], id="twice"),
    ],
)
def test_we_send_to_better_hosts_than_ourselves_only(listed: list[str], left: list[str]) -> None:
    """S-22, RFC 5321 §5.1."""
    assert drop_self_and_worse(hosts(*listed), RULES.own_names) == hosts(*left)


@pytest.mark.parametrize(
    ("answer", "status", "category"),
    [
        pytest.param(NullMx(), "5.1.10", Category.BAD_DOMAIN, id="null-mx"),
        pytest.param(NoSuchDomain(reason="no"), "5.1.2", Category.BAD_DOMAIN, id="nxdomain"),
        pytest.param(MxHosts(hosts=()), "5.4.4", Category.DNS_FAILURE, id="only-the-root"),
        pytest.param(
            MxHosts(hosts=hosts("10 relay.test", "20 b.test")),
            "5.4.6",
            Category.ROUTING_LOOP,
            id="we-are-the-best",
        ),
        pytest.param(
            ImplicitMx(domain="relay.test"), "5.4.6", Category.ROUTING_LOOP, id="implicit-loop"
        ),
    ],
)
def test_answers_that_prove_it_end_the_matter(
    answer: MxAnswer, status: str, category: Category
) -> None:
    """S-22, S-24, S-25."""
    ending = planned(answer)
    assert isinstance(ending, Undeliverable)
    assert (ending.status, ending.category) == (status, category)
    assert ending.reason


def test_a_denial_without_proof_is_looked_at_twice() -> None:
    """RFC 2308 §2.1: the SOA record shows who denies it."""
    ending = planned(NoSuchDomain(reason="a.test does not exist", proven=False))
    assert isinstance(ending, Undeliverable)
    assert (ending.status, ending.needs_second_look) == ("5.4.4", True)
    assert ending.reason == "a.test does not exist, by an answer without proof"


@pytest.mark.parametrize("fault", [Fault.DNS, Fault.LOCAL])
def test_a_failed_lookup_proves_nothing(fault: Fault) -> None:
    """A-64: the resolver is down, and nothing bounces."""
    ending = planned(DnsFailure(reason="no answer", fault=fault))
    assert ending == Breakdown(category=Category.DNS_FAILURE, fault=fault, reason="no answer")


def test_the_domain_is_its_own_host_for_want_of_others() -> None:
    assert planned(ImplicitMx(domain="a.test")) == the_plan("0 a.test", implicit=True)


@pytest.mark.parametrize(
    ("listed", "asked", "cut_off"),
    [pytest.param(10, 10, False, id="all"), pytest.param(5000, 10, True, id="capped")],
)
def test_ten_hosts_are_looked_up_at_most(listed: int, asked: int, *, cut_off: bool) -> None:
    """S-24, A-62."""
    answer = MxHosts(hosts=hosts(*(f"{n} m{n}.test" for n in range(listed))))
    plan = planned(answer)
    assert isinstance(plan, HostPlan)
    assert plan.hosts == answer.hosts[:asked]
    assert plan.cut_off is cut_off


CHOSEN: list[tuple[str, HostPlan, Mapping[str, Addresses], list[str]]] = [
    ("one", the_plan("10 b.test"), {"b.test": found("192.0.2.1")}, ["b.test 192.0.2.1"]),
    (
        "in-order",
        the_plan("10 b.test", "20 c.test"),
        {"b.test": found("192.0.2.1", "2001:db8::1"), "c.test": found("192.0.2.2")},
        ["b.test 192.0.2.1", "b.test 2001:db8::1", "c.test 192.0.2.2"],
    ),
    (
        "the-same-address-under-each-name",
        the_plan("10 b.test", "20 c.test"),
        {"b.test": found("192.0.2.1"), "c.test": found("192.0.2.1", "192.0.2.2")},
        ["b.test 192.0.2.1", "c.test 192.0.2.1", "c.test 192.0.2.2"],
    ),
    (
        "without-the-forbidden",
        the_plan("10 b.test"),
        {"b.test": found("127.0.0.1", "192.0.2.1", "::1")},
        ["b.test 192.0.2.1"],
    ),
    (
        "a-worse-host-while-a-better-one-fails",
        the_plan("10 b.test", "20 c.test"),
        {"b.test": found(failed=True), "c.test": found("192.0.2.2")},
        ["c.test 192.0.2.2"],
    ),
    (
        "half-an-answer",
        the_plan("10 b.test"),
        {"b.test": found("192.0.2.1", failed=True)},
        ["b.test 192.0.2.1"],
    ),
    (
        "better-than-ourselves",
        the_plan("10 b.test", "20 c.test", "30 d.test"),
        {
            "b.test": found("192.0.2.1"),
            "c.test": found("192.0.2.2", "198.51.100.1"),
            "d.test": found("192.0.2.3"),
        },
        ["b.test 192.0.2.1"],
    ),
    (
        "at-most-twenty",
        the_plan("10 b.test", "20 c.test"),
        {
            "b.test": found(*(f"192.0.2.{n}" for n in range(15))),
            "c.test": found(*(f"203.0.113.{n}" for n in range(15))),
        },
        [f"b.test 192.0.2.{n}" for n in range(15)] + [f"c.test 203.0.113.{n}" for n in range(5)],
    ),
    (
        "implicit",
        the_plan("0 a.test", implicit=True),
        {"a.test": found("192.0.2.1")},
        ["a.test 192.0.2.1"],
    ),
]


@pytest.mark.parametrize(
    ("plan", "addresses", "chosen"), [pytest.param(*row[1:], id=row[0]) for row in CHOSEN]
)
def test_usable_addresses_are_tried_in_order(
    plan: HostPlan, addresses: Mapping[str, Addresses], chosen: list[str]
) -> None:
    result = choose(plan, addresses, RULES)
    assert isinstance(result, Candidates)
    assert [f"{one.host} {one.ip}" for one in result.candidates] == chosen


@pytest.mark.parametrize(
    ("best", "unheard"),
    [
        pytest.param(found(failed=True), 10, id="failed"),
        pytest.param(found("10.0.0.1", failed=True), 10, id="failed-beside-a-forbidden-one"),
        pytest.param(found("192.0.2.9", failed=True), None, id="one-of-its-addresses-is-known"),
        pytest.param(found(), None, id="has-none"),
        pytest.param(found("10.0.0.1"), None, id="forbidden"),
    ],
)
def test_the_best_host_that_the_dns_hides_is_named(best: Addresses, unheard: int | None) -> None:
    """S-17: while it may be there, the refusals of worse ones are not final."""
    plan = the_plan("10 b.test", "20 c.test", "30 d.test")
    lookups = {"b.test": best, "c.test": found("192.0.2.1"), "d.test": found(failed=True)}
    result = choose(plan, lookups, RULES)
    assert isinstance(result, Candidates)
    assert result.unheard == (30 if unheard is None else unheard)


ALL_OF_THEM: list[tuple[str, HostPlan, Addresses, bool]] = [
    ("all", the_plan("10 b.test", "20 c.test"), found("192.0.2.1"), True),
    ("no-address", the_plan("10 b.test", "20 c.test"), found(), True),
    ("unheard", the_plan("10 b.test", "20 c.test"), found(failed=True), False),
    ("more-hosts", replace(the_plan("10 b.test", "20 c.test"), cut_off=True), found(), False),
    (
        "more-addresses",
        the_plan("10 b.test", "20 c.test"),
        found(*(f"203.0.113.{n}" for n in range(20))),
        False,
    ),
]


@pytest.mark.parametrize(
    ("plan", "best", "is_all"), [pytest.param(*row[1:], id=row[0]) for row in ALL_OF_THEM]
)
def test_they_speak_for_the_domain_when_nobody_is_left_out(
    plan: HostPlan, best: Addresses, *, is_all: bool
) -> None:
    """S-16, S-24: a cap and a failed lookup are no verdict."""
    result = choose(plan, {"b.test": best, "c.test": found("192.0.2.2")}, RULES)
    assert isinstance(result, Candidates)
    assert result.is_all is is_all


def test_what_is_left_out_is_explained() -> None:
    plan = the_plan("10 b.test", "20 c.test", "30 d.test")
    addresses = {
        "b.test": found("10.0.0.1", "192.0.2.1", failed=True),
        "c.test": found(),
        "d.test": found("198.51.100.1"),
    }
    result = choose(plan, addresses, RULES)
    assert isinstance(result, Candidates)
    assert result.skipped == (
        "d.test: this is ourselves",
        "b.test: 10.0.0.1 is private",
        f"b.test: {NOT_NOW.reason}",
        "c.test: no address",
    )


NOT_CHOSEN: list[tuple[str, HostPlan, Mapping[str, Addresses], str]] = [
    ("no-address", the_plan("10 b.test"), {"b.test": found()}, "5.4.4"),
    ("all-forbidden", the_plan("10 b.test"), {"b.test": found("127.0.0.1", "::1")}, "5.4.4"),
    (
        "implicit-and-forbidden",
        the_plan("0 a.test", implicit=True),
        {"a.test": found("10.0.0.1")},
        "5.4.4",
    ),
    ("own-address", the_plan("10 b.test"), {"b.test": found("198.51.100.1")}, "5.4.6"),
    (
        "own-address-behind-a-useless-host",
        the_plan("10 b.test", "20 c.test"),
        {"b.test": found(), "c.test": found("198.51.100.1")},
        "5.4.4",
    ),
    (
        "forbidden-and-failed",
        the_plan("10 b.test"),
        {"b.test": found("127.0.0.1", failed=True)},
        "unreachable",
    ),
    (
        "one-of-two-failed",
        the_plan("10 b.test", "20 c.test"),
        {"b.test": found(), "c.test": found(failed=True)},
        "unreachable",
    ),
    ("there-are-more", the_plan("10 b.test", cut_off=True), {"b.test": found()}, "unreachable"),
    ("neither-mx-nor-address", the_plan("0 a.test", implicit=True), {"a.test": found()}, "5.1.2"),
    (
        "neither-mx-nor-address-and-one-failed",
        the_plan("0 a.test", implicit=True),
        {"a.test": found(failed=True)},
        "unreachable",
    ),
]


@pytest.mark.parametrize(
    ("plan", "addresses", "ending"), [pytest.param(*row[1:], id=row[0]) for row in NOT_CHOSEN]
)
def test_without_an_address_only_proof_is_final(
    plan: HostPlan, addresses: Mapping[str, Addresses], ending: str
) -> None:
    """S-22, S-24, S-26: hard if every lookup was definite, else unreachable."""
    result = choose(plan, addresses, RULES)
    match result:
        case Undeliverable():
            assert result.status == ending
            assert result.needs_second_look is (ending == "5.1.2")
        case Breakdown():
            assert ending == "unreachable"
            assert result.category is Category.DNS_FAILURE
        case Candidates():
            pytest.fail(f"{result} of unusable hosts")


IPV4_ONLY = replace(RULES, unused={6: "direct.families"})
FAMILIES: list[tuple[str, HostPlan, Mapping[str, Addresses], str]] = [
    (
        "the-other-one",
        the_plan("10 b.test"),
        {"b.test": found("2001:db8::1", "192.0.2.1")},
        "192.0.2.1 all=True",
    ),
    (
        "the-other-host",  # a better one is out of reach: S-17
        the_plan("10 b.test", "20 c.test"),
        {"b.test": found("2001:db8::1"), "c.test": found("192.0.2.1")},
        "192.0.2.1 all=False",
    ),
    (
        "forbidden-and-unused",
        the_plan("10 b.test", "20 c.test"),
        {"b.test": found("::1"), "c.test": found("192.0.2.1")},
        "192.0.2.1 all=True",
    ),
    (
        "none",
        the_plan("10 b.test"),
        {"b.test": found("2001:db8::1", "10.0.0.1")},
        "a.test is reached by IPv6 only, and direct.families leaves that out",
    ),
    (
        "none-of-the-domain-itself",
        the_plan("0 a.test", implicit=True),
        {"a.test": found("2001:db8::1")},
        "a.test is reached by IPv6 only, and direct.families leaves that out",
    ),
    (
        "none-and-a-lookup-failed",
        the_plan("10 b.test"),
        {"b.test": found("2001:db8::1", failed=True)},
        NOT_NOW.reason,
    ),
    ("nothing-anyway", the_plan("10 b.test"), {"b.test": found("::1")}, "5.4.4"),
    ("ourselves", the_plan("10 b.test"), {"b.test": found("2001:db8:1::1")}, "5.4.6"),
]


@pytest.mark.parametrize(
    ("plan", "addresses", "ending"), [pytest.param(*row[1:], id=row[0]) for row in FAMILIES]
)
def test_a_family_that_is_not_used_proves_nothing(
    plan: HostPlan, addresses: Mapping[str, Addresses], ending: str
) -> None:
    """The settings leave it out, so the domain is not to blame."""
    result = choose(plan, addresses, IPV4_ONLY)
    if isinstance(result, Candidates):
        ips = " ".join(each.ip for each in result.candidates)
        assert f"{ips} all={result.is_all}" == ending
        assert "b.test: " in result.skipped[0]
    elif isinstance(result, Breakdown):
        assert result.reason == ending
        assert result.fault is (Fault.DNS if ending == NOT_NOW.reason else Fault.LOCAL)
    else:
        assert result.status == ending


def test_without_addresses_of_ours_no_host_is_ourselves() -> None:
    """A relay behind a translator of addresses does not know where it would come back to."""
    rules = replace(RULES, own_addresses=frozenset())
    result = choose(the_plan("10 b.test"), {"b.test": found("198.51.100.1")}, rules)
    assert isinstance(result, Candidates)
    assert [each.ip for each in result.candidates] == ["198.51.100.1"]


def test_an_unused_address_is_explained_by_its_setting() -> None:
    result = choose(the_plan("10 b.test"), {"b.test": found("192.0.2.1", "2001:db8::1")}, IPV4_ONLY)
    assert isinstance(result, Candidates)
    assert result.skipped == ("b.test: 2001:db8::1 is IPv6, which direct.families leaves out",)


def test_each_candidate_has_the_source_that_its_site_sees() -> None:
    rules = replace(RULES, sources=("192.0.2.71", "192.0.2.72", "2001:db8::7"))
    addresses = {"b.test": found("192.0.2.1", "2001:db8::1"), "c.test": found("192.0.2.2")}
    plan = the_plan("10 b.test", "20 c.test")
    result = choose(plan, addresses, rules)
    assert isinstance(result, Candidates)
    four, six, again = [each.source_ip for each in result.candidates]
    assert four == again
    assert six == "2001:db8::7"
    resting = choose(plan, addresses, replace(rules, resting=frozenset({str(four)})))
    assert isinstance(resting, Candidates)
    assert {four, resting.candidates[0].source_ip} == {"192.0.2.71", "192.0.2.72"}


@pytest.mark.parametrize(
    ("found_there", "status"),
    [
        pytest.param(found("1.1.1.1"), "", id="usable"),
        pytest.param(found("10.0.0.1"), "5.4.4", id="forbidden"),
        pytest.param(found("198.51.100.1"), "5.4.6", id="ourselves"),
    ],
)
def test_an_empty_answer_about_mx_records_proves_nothing_by_itself(
    found_there: Addresses, status: str
) -> None:
    """A-64: a broken name server may hide the mail hosts, and only them."""
    for proven in (True, False):
        plan = planned(ImplicitMx(domain="a.test", proven=proven))
        assert isinstance(plan, HostPlan)
        result = choose(plan, {"a.test": found_there}, RULES)
        if proven:
            assert isinstance(result, Undeliverable if status else Candidates)
            assert getattr(result, "status", "") == status
        else:
            assert isinstance(result, Breakdown)
            assert result.category is Category.DNS_FAILURE


@pytest.mark.parametrize(
    ("proven", "failures", "status"),
    [
        pytest.param(True, (), "5.1.2", id="proven"),
        pytest.param(False, (), "5.4.4", id="mx-unproven"),
        pytest.param(True, (EMPTY,), "5.4.4", id="addresses-unproven"),
        pytest.param(False, (EMPTY, EMPTY), "5.4.4", id="all-unproven"),
        pytest.param(True, (EMPTY, NOT_NOW), "", id="a-failed-lookup"),
    ],
)
def test_a_domain_without_anything_is_looked_at_twice(
    *, proven: bool, failures: tuple[DnsFailure, ...], status: str
) -> None:
    """Resolvers that leave out the SOA record are believed as to the mail, not as to the address."""
    plan = planned(ImplicitMx(domain="a.test", proven=proven))
    assert isinstance(plan, HostPlan)
    result = choose(plan, {"a.test": Addresses(failures=failures)}, RULES)
    if not status:
        assert isinstance(result, Breakdown)
        return
    assert isinstance(result, Undeliverable)
    assert (result.status, result.category) == (status, Category.BAD_DOMAIN)
    assert result.needs_second_look


def test_a_long_explanation_is_cut_short() -> None:
    forbidden = found(*(f"10.0.0.{n}" for n in range(50)))
    result = choose(the_plan("10 b.test"), {"b.test": forbidden}, RULES)
    assert isinstance(result, Undeliverable)
    assert result.reason == (
        "no mail host of a.test can be used: b.test: 10.0.0.0 is private; "
        "b.test: 10.0.0.1 is private; b.test: 10.0.0.2 is private; and 47 more"
    )


NAMES = ("b.test", "c.test", "d.test", "relay.test")
names = st.sampled_from(NAMES)
some_hosts = st.lists(st.builds(MxHost, preference=st.integers(0, 3), name=names), max_size=6).map(
    lambda listed: MxHosts(hosts=tuple(listed))
)
some_addresses = st.builds(
    Addresses,
    ips=st.lists(st.sampled_from((*FORBIDDEN, *OWN, *USABLE)).map(ip_address), max_size=6).map(
        tuple
    ),
    failures=st.sampled_from([(), (NOT_NOW,)]),
)


@given(some_hosts, st.fixed_dictionaries(dict.fromkeys(NAMES, some_addresses)))
def test_whatever_the_dns_says(answer: MxHosts, addresses: dict[str, Addresses]) -> None:
    """Chosen addresses are usable and better than ourselves; a failure never proves anything."""
    plan = planned(answer)
    if not isinstance(plan, HostPlan):
        assert isinstance(plan, Undeliverable)
        return
    result = choose(plan, addresses, RULES)
    if isinstance(result, Candidates):
        assert 0 < len(result.candidates) <= RULES.max_addresses
        preferences = [one.preference for one in result.candidates]
        assert preferences == sorted(preferences)
        for one in result.candidates:
            assert one.ip in {str(ip_address(ip)) for ip in USABLE}
            assert ip_address(one.ip) in addresses[one.host].ips
            assert one.host not in RULES.own_names
    elif isinstance(result, Undeliverable) and result.status == "5.4.4":
        better = [host for host in plan.hosts if host.preference < _ours(plan, addresses)]
        assert not any(addresses[host.name].failures for host in better)


def _ours(plan: HostPlan, addresses: dict[str, Addresses]) -> float:
    return min(
        (
            host.preference
            for host in plan.hosts
            for ip in addresses[host.name].ips
            if ip in map(ip_address, OWN)
        ),
        default=float("inf"),
    )


def test_the_best_host_has_the_lowest_preference() -> None:
    addresses = {"a.test": found("192.0.2.1"), "b.test": found("192.0.2.2")}
    chosen = choose(the_plan("10 a.test", "20 b.test"), addresses, RULES)
    assert isinstance(chosen, Candidates)
    assert chosen.best == 10
