"""What names of this machine stand for, and which addresses mean one."""

from collections.abc import Mapping, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relayd.mail.address import Address, parse_address
from relayd.policy.intake.aliases import Aliases, aliases_of, flaws_of, receivers_of, resolved

YOU, TWO, ANY = (parse_address(f"{name}@x.test") for name in ("you", "two", "any"))
WRITTEN: Mapping[str, Sequence[str]] = {
    "Root": ["you@x.test"],
    "postmaster": ["ROOT", "two@x.test"],
    "abuse": ["postmaster", "you@X.Test"],
    "loopless": ["loopless@relay.test"],
    "*": ["any@x.test"],
}


def aliases(
    written: Mapping[str, Sequence[str]] = WRITTEN, *, verp_domain: str = "verp.test"
) -> Aliases:
    found = aliases_of(
        resolved(written), fqdn="Relay.test", host_name="WEB1", verp_domain=verp_domain
    )
    assert found is not None
    return found


TARGETS = {
    "a name": ("root@relay.test", (YOU,)),
    "case does not matter": ("ROOT@RELAY.TEST", (YOU,)),
    "quotes do not either": ('"root"@relay.test', (YOU,)),
    "localhost": ("root@localhost", (YOU,)),
    "with a domain for it": ("root@localhost.localdomain", (YOU,)),
    "the host name": ("root@web1", (YOU,)),
    "a name that leads to a name": ("postmaster@relay.test", (YOU, TWO)),
    "each address once": ("abuse@relay.test", (YOU, TWO)),
    "an address is the end": ("loopless@web1", (Address("loopless", "relay.test"),)),
    "every other name": ("cron@relay.test", (ANY,)),
    "somebody else's root": ("root@x.test", ()),
    "a name below ours": ("root@a.relay.test", ()),
    "the star is no user": ("*@x.test", ()),
}


@pytest.mark.parametrize(("address", "targets"), TARGETS.values(), ids=TARGETS)
def test_an_address_leads_to(address: str, targets: tuple[Address, ...]) -> None:
    assert aliases().targets(parse_address(address)) == targets


def test_without_an_entry_for_every_other_name_it_stays() -> None:
    found = aliases({"root": ["you@x.test"]})
    assert found.targets(parse_address("cron@localhost")) == ()
    assert found.targets(parse_address("root@localhost")) == (YOU,)


def test_return_paths_are_not_caught() -> None:
    """Where the VERP domain is our own name, a token is no user's name; but a name is one."""
    found = aliases(verp_domain="relay.test")
    assert found.targets(parse_address("b+token@relay.test")) == ()
    assert found.targets(parse_address("root@relay.test")) == (YOU,)
    assert found.targets(parse_address("cron@localhost")) == (ANY,)


def test_no_aliases_cost_nothing() -> None:
    assert aliases_of({}, fqdn="relay.test", host_name="web1", verp_domain="") is None


FLAWS = {
    "none": (WRITTEN, {}),
    "itself": ({"root": ["root"]}, {"root": "root -> root"}),
    "a loop": (
        {"a": ["B"], "B": ["c", "you@x.test"], "c": ["a"]},
        {"a": "a -> b -> c -> a"},
    ),
    "a loop further on": ({"first": ["a"], "a": ["b"], "b": ["a"]}, {"a": "a -> b -> a"}),
    "no such name": ({"root": ["you@x.test", "nobody"]}, {"root": '"nobody" has no domain'}),
    "the star is no target": ({"root": ["*"], "*": ["you@x.test"]}, {"root": '"*" has no domain'}),
    "twice": (
        {"root": ["you@x.test"], "ROOT": ["two@x.test"]},
        {"ROOT": '"root" is the same name'},
    ),
}


@pytest.mark.parametrize(("written", "flaws"), FLAWS.values(), ids=FLAWS)
def test_what_is_wrong_is_told_at_its_entry(
    written: Mapping[str, Sequence[str]], flaws: Mapping[str, str]
) -> None:
    found = flaws_of(written)
    assert found.keys() == flaws.keys()
    for name, text in flaws.items():
        assert text in found[name]


def test_who_has_no_alias_gets_the_mail_itself() -> None:
    root, other = parse_address("root@relay.test"), parse_address("root@other.test")
    found = aliases_of({"root": (YOU,)}, fqdn="relay.test", host_name="relay", verp_domain="")
    assert receivers_of(root, found) == (YOU,)
    assert receivers_of(other, found) == (other,)
    assert receivers_of(root, None) == (root,)


def test_a_long_chain_has_an_end() -> None:
    chain: dict[str, Sequence[str]] = {f"n{each}": [f"n{each + 1}"] for each in range(500)}
    chain["n500"] = ["you@x.test"]
    assert flaws_of(chain) == {}
    assert resolved(chain)["n0"] == (YOU,)


NAMES = st.sampled_from("abcdeABCDE")


@given(
    st.dictionaries(
        NAMES, st.lists(NAMES | st.just("you@x.test") | st.just("two@x.test"), min_size=1)
    )
)
def test_what_has_no_flaw_ends_at_addresses(written: Mapping[str, Sequence[str]]) -> None:
    if not flaws_of(written):
        found = resolved(written)
        assert found.keys() == {name.lower() for name in written}
        assert all(found.values())
