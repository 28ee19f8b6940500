"""Which mail hosts count as one site."""

import re
import tomllib
from collections.abc import Sequence
from importlib import resources

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relayd.policy.delivery.site import site_key

KEYS = {
    "google: Workspace": ("google", "aspmx.l.google.com alt1.aspmx.l.google.com"),
    "google: old and new names": ("google", "aspmx.l.google.com aspmx2.googlemail.com"),
    "google: one record": ("google", "smtp.google.com"),
    "outlook": ("outlook", "hotmail-com.olc.protection.outlook.com"),
    "office365: a customer": ("office365", "x-test.mail.protection.outlook.com"),
    "office365: with DNSSEC": ("office365", "x-test.q-v1.mx.microsoft"),
    "yahoo": ("yahoo", "mta5.am0.yahoodns.net mx-eu.mail.am0.yahoodns.net"),
    "apple": ("apple", "mx01.mail.icloud.com mx02.mail.icloud.com"),
    "mimecast": ("mimecast", "eu-smtp-inbound-1.mimecast.com eu-smtp-inbound-2.mimecast.com"),
    "proofpoint": ("proofpoint", "mx0a-001.pphosted.com mx0b-001.gslb.pphosted.com"),
    "barracuda": (
        "barracuda",
        "d1.a.ess.barracudanetworks.com d1.b.ess.barracudanetworks.com",
    ),
    "two providers": (
        "aspmx.l.google.com,x-test.mail.protection.outlook.com",
        "x-test.mail.protection.outlook.com aspmx.l.google.com",
    ),
    "a provider, and a host of the customer": (
        "aspmx.l.google.com,mx.x.test",
        "mx.x.test aspmx.l.google.com",
    ),
    "only like a provider": ("notl.google.com.evil.test", "mx.notl.google.com.evil.test"),
    "a suffix in the middle of a label": ("notpphosted.com", "mx.notpphosted.com"),
    "one parent": ("prov.test", "mx1.prov.test mx2.prov.test"),
    "a host for each customer": ("in.prov.test", "x-test.in.prov.test"),
    "two parents": ("mx.a.test,mx.b.test", "mx.b.test mx.a.test"),
    "two depths": ("mx.eu.a.test,mx.us.a.test", "mx.us.a.test mx.eu.a.test"),
    "the parent is the domain": ("x.test", "mx.x.test"),
    "the domain itself": ("x.test", "x.test"),
    "the domain itself, and another": ("mx.x.test,x.test", "x.test mx.x.test"),
    "another domain": ("other.test", "other.test"),
    "a parent of one label": ("mx.test", "mx.test"),
    "one label": ("localhost", "localhost"),
    "below co.uk": ("shop.co.uk", "shop.co.uk"),
    "below com.br": ("loja.com.br", "loja.com.br"),
    "below gob.mx": ("x.gob.mx", "x.gob.mx"),
    "a company below co.uk": ("shop.co.uk", "mx1.shop.co.uk mx2.shop.co.uk"),
    "a short name of a country": ("wb.de", "wb.de"),
    "a name of a country": ("web.example.de", "mx1.web.example.de mx2.web.example.de"),
}


@pytest.mark.parametrize(("key", "hosts"), KEYS.values(), ids=KEYS)
def test_the_key_of_a_site(key: str, hosts: str) -> None:
    assert site_key(hosts.split(), "x.test") == key


def test_a_domain_that_is_its_own_host_is_alone() -> None:
    """Above it is the zone where it was registered: `dyn.test` is no receiver."""
    assert site_key(["me.dyn.test"], "me.dyn.test") == "me.dyn.test"
    assert site_key(["mx.me.dyn.test"], "me.dyn.test") == "me.dyn.test"


def test_a_key_is_never_long() -> None:
    many = [f"mx{number}.d{number}.test" for number in range(100)]
    key = site_key(many, "x.test")
    assert re.fullmatch(r"mx0\.d0\.test,\+99,[0-9a-f]{16}", key)
    assert key != site_key(many[1:], "x.test")
    assert len(site_key(["a" * 150 + "." + "b" * 100, "c.d.test"], "x.test")) < 200


labels = st.sampled_from(("a", "mx", "co", "uk", "com", "test", "google", "l"))
names = st.lists(labels, min_size=1, max_size=5).map(".".join)


@given(st.lists(names, min_size=1, max_size=5, unique=True), names, st.data())
def test_hosts_alone_count_in_any_order(
    hosts: Sequence[str], domain: str, data: st.DataObject
) -> None:
    """Domains with the same hosts are one site, but for one that is its own only host."""
    other = data.draw(names)
    key = site_key(hosts, domain)
    assert key
    assert site_key(data.draw(st.permutations(hosts)), domain) == key
    assert hosts in ([domain], [other]) or site_key(hosts, other) == key


@given(names, st.lists(st.sampled_from(("a", "b", "c", "d")), min_size=1, max_size=4, unique=True))
def test_hosts_of_one_parent_are_one_site(parent: str, firsts: Sequence[str]) -> None:
    """However many of them a domain has."""
    keys = {site_key([f"{first}.{parent}.prov.test"], "x.test") for first in firsts}
    keys.add(site_key([f"{first}.{parent}.prov.test" for first in firsts], "x.test"))
    assert len(keys) == 1


def test_the_table_of_providers_is_in_order() -> None:
    """No name of a provider can be one of a host, no suffix is there twice or below another."""
    file = resources.files("relayd.policy.delivery").joinpath("providers.toml")
    table = tomllib.loads(file.read_text(encoding="utf-8"))
    suffixes = [suffix for entry in table.values() for suffix in entry["suffixes"]]
    assert len(suffixes) > 20
    for name, entry in table.items():
        assert re.fullmatch(r"[a-z0-9-]+", name)
        assert entry.keys() == {"suffixes", "source"}
        assert entry["source"].startswith("https://")
    for suffix in suffixes:
        assert re.fullmatch(r"[a-z0-9-]+(\.[a-z0-9-]+)+", suffix)
        assert not any(suffix.endswith(f".{other}") for other in suffixes)
        assert suffixes.count(suffix) == 1
