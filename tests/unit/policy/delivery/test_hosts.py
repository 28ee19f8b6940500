"""What follows when no host could be used: every pair of what hosts do, and the rules one by one."""

from dataclasses import replace
from itertools import product

import pytest

from relayd.policy.delivery.hosts import FailedHost, decide_no_host, turned_away
from relayd.policy.delivery.mx import Candidate, Candidates
from relayd.policy.delivery.route import HostPort

DOWN = FailedHost(host=HostPort(host="a.test", port=25), at_door=True, is_direct=True)
KINDS = {
    "silent": DOWN,
    "421": replace(DOWN, code=421),
    "521": replace(DOWN, code=521),
    "556": replace(DOWN, code=556),
    "554": replace(DOWN, code=554),
    "login": replace(DOWN, code=535, login_refused=True),
    "broke": replace(DOWN, at_door=False),
    "lacks": replace(DOWN, at_door=False, lacks=True),
    "proof": replace(DOWN, is_proof=True),
}


def named(*kinds: str) -> list[FailedHost]:
    """Each on a host of its own."""
    return [
        replace(KINDS[kind], host=HostPort(host=f"{index}.test", port=25))
        for index, kind in enumerate(kinds)
    ]


@pytest.mark.parametrize("has_others", [False, True])
@pytest.mark.parametrize("all_asked", [False, True])
@pytest.mark.parametrize(("first", "last"), [*product(KINDS, KINDS)])
def test_every_pair(first: str, last: str, *, all_asked: bool, has_others: bool) -> None:
    found = decide_no_host(named(first, last), all_asked=all_asked, has_others=has_others)
    pair = (first, last)
    let_us_in = {"broke", "lacks"}
    is_down = not let_us_in & set(pair)
    refuse = all_asked and set(pair) <= {"521", "556"}
    assert found.all_hosts_refuse == refuse
    assert found.login_refused == (is_down and "login" in pair)
    assert found.closes == (
        is_down and last != "proof" and not refuse and not (has_others and pair == ("421", "421"))
    )
    decides = {"login"} if is_down else let_us_in
    deciding = 0 if first in decides and last not in decides else 1
    assert found.deciding == deciding
    assert found.other_host_may_take_it == (
        pair[deciding] == "lacks" and not (all_asked and pair == ("lacks", "lacks"))
    )


def test_one_host_of_two_addresses_lacks_it_whichever_said_so() -> None:
    """The silent address is of the host that does not offer it: there is no other host."""
    silent, lacks = named("silent", "lacks")
    two_hosts, one_host = [silent, lacks], [replace(silent, host=lacks.host), lacks]
    assert decide_no_host(two_hosts, all_asked=True, has_others=False).other_host_may_take_it
    assert not decide_no_host(one_host, all_asked=True, has_others=False).other_host_may_take_it


def test_only_mail_hosts_of_the_domain_can_refuse_for_it() -> None:
    smarthost = [replace(each, is_direct=False) for each in named("521", "521")]
    found = decide_no_host(smarthost, all_asked=True, has_others=False)
    assert found.closes
    assert not found.all_hosts_refuse


def test_the_last_of_several_decides() -> None:
    found = decide_no_host(
        named("login", "silent", "login", "silent"), all_asked=True, has_others=False
    )
    assert found.deciding == 2


def test_a_login_that_another_host_wants_at_mail_is_not_the_last_word() -> None:
    """S-53: it says nothing of this mail. The one that put it off does (S-59)."""
    put_off, wants = replace(DOWN, at_door=False, code=451), replace(DOWN, at_door=False, code=530)
    failed = [put_off, replace(wants, wants_login=True), DOWN]
    assert decide_no_host(failed, all_asked=True, has_others=False).deciding == 0


def test_turned_away_is_who_has_too_many_clients() -> None:
    assert turned_away(named("421", "421"))
    assert not turned_away(named("421", "silent"))


@pytest.mark.parametrize(
    ("preference", "lacking", "unheard", "expected"),
    [
        pytest.param(10, (), None, False, id="best"),
        pytest.param(20, (), None, True, id="backup"),
        pytest.param(20, ("best.test",), None, False, id="best-lacks"),
        pytest.param(20, ("best.test", "backup.test"), None, False, id="all-lack"),
        pytest.param(10, (), 5, True, id="best-cannot-be-asked"),
        pytest.param(10, (), 10, False, id="equal-cannot-be-asked"),
        pytest.param(20, ("best.test",), 15, True, id="lacks-and-cannot-be-asked"),
    ],
)
def test_a_better_host_is_out_of_reach(
    preference: int, lacking: tuple[str, ...], unheard: int | None, *, expected: bool
) -> None:
    """S-17."""
    chosen = Candidates(
        names=frozenset({"best.test", "backup.test"}),
        site="backup.test,best.test",
        candidates=(
            Candidate(preference=10, host="best.test", ip="192.0.2.1"),
            Candidate(preference=20, host="backup.test", ip="192.0.2.2"),
        ),
        skipped=(),
        unheard=unheard,
    )
    assert chosen.has_better(preference, lacking=lacking) is expected
