"""Whose word is taken for who somebody is."""

from dataclasses import replace
from ipaddress import ip_address, ip_network

import pytest

from relayd.policy.console.proxy_login import Claim, Doubt, ProxyRules, name_claimed

SECRET = "correct horse"
RULES = ProxyRules(header="remote-user", networks=(ip_network("127.0.0.1/32"),))
GOOD = Claim(names=["anna"], secrets=[SECRET], peer=ip_address("127.0.0.1"), is_unix=False)


def test_the_proxy_is_believed() -> None:
    assert name_claimed(GOOD, RULES, SECRET) == "anna"


@pytest.mark.parametrize("names", [[], [""], ["", ""]])
def test_nobody_is_named(names: list[str]) -> None:
    assert name_claimed(replace(GOOD, names=names), RULES, SECRET) is None


@pytest.mark.parametrize(
    ("changed", "doubt"),
    [
        ({"peer": ip_address("127.0.0.2")}, Doubt.PEER),
        ({"peer": ip_address("::1")}, Doubt.PEER),
        ({"peer": None}, Doubt.PEER),
        ({"secrets": []}, Doubt.SECRET),
        ({"secrets": [""]}, Doubt.SECRET),
        ({"secrets": ["wrong"]}, Doubt.SECRET),
        ({"secrets": ["\xff\ud800"]}, Doubt.SECRET),
        ({"secrets": [SECRET, SECRET]}, Doubt.SECRET),
        ({"names": ["anna", "anna"]}, Doubt.TWICE),
        ({"names": ["", "anna"]}, Doubt.TWICE),
        ({"names": ["anna", "admin"]}, Doubt.TWICE),
        ({"names": ["Anna"]}, Doubt.NAME),
        ({"names": ["anna,admin"]}, Doubt.NAME),
        ({"names": ["anna\x00"]}, Doubt.NAME),
        ({"names": ["änna"]}, Doubt.NAME),
        ({"names": ["a" * 65]}, Doubt.NAME),
        ({"names": ["../admin"]}, Doubt.NAME),
    ],
)
def test_what_is_not_beyond_doubt(changed: dict[str, object], doubt: Doubt) -> None:
    assert name_claimed(replace(GOOD, **changed), RULES, SECRET) is doubt  # type: ignore[arg-type]


@pytest.mark.parametrize("secret", [None, ""])
def test_without_a_secret_an_address_proves_nothing(secret: str | None) -> None:
    for shown in ([], [""]):
        assert name_claimed(replace(GOOD, secrets=shown), RULES, secret) is Doubt.SECRET


def test_on_a_unix_socket_no_secret_is_needed() -> None:
    claim = Claim(names=["anna"], secrets=[], peer=None, is_unix=True)
    rules = ProxyRules(header="remote-user")
    assert name_claimed(claim, rules, None) == "anna"
    assert name_claimed(replace(claim, names=["Anna"]), rules, None) is Doubt.NAME
