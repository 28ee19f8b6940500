"""Which addresses clients may use, as the settings say it."""

from ipaddress import ip_network

from relayd.config import load as config
from relayd.policy.delivery.senders import SenderPatterns
from relayd.policy.intake.access import ANYTHING, AccessRules, Allowed, Networks
from relayd.policy.intake.quota import Quota, QuotaRules

TOML = {
    "fqdn": "relay.example.org",
    "listen": [
        {"allowed_senders": ["a@x.example", "<>"]},
        {"address": "127.0.0.1:2526"},
    ],
    "logins": {"shop": {"allowed_from": ["x.example", "*.x.example"]}, "other": {}},
    "networks": {
        "10.0.0.0/8": {"allowed_senders": ["*"]},
        "192.0.2.7": {},
    },
}


def test_listeners_logins_and_networks_have_lists() -> None:
    found = config.from_mapping(TOML)
    assert [each.allowed for each in found.listeners] == [
        Allowed(senders=SenderPatterns(("a@x.example", "<>"))),
        ANYTHING,
    ]
    assert found.access == AccessRules(
        logins={"shop": Allowed(header_from=SenderPatterns(("x.example", "*.x.example")))},
        networks=Networks(
            (("10.0.0.0/8", ip_network("10.0.0.0/8")), ("192.0.2.7", ip_network("192.0.2.7")))
        ),
        in_network={"10.0.0.0/8": Allowed(senders=SenderPatterns(("*",)))},
    )


def test_logins_and_networks_have_quotas() -> None:
    found = config.from_mapping(
        {
            "fqdn": "relay.example.org",
            "logins": {"shop": {"messages_per_day": 5}, "other": {}},
            "networks": {
                "10.0.0.0/8": {"messages_per_minute": 1, "messages_per_hour": 2},
                "::1": {},
            },
        }
    )
    networks = Networks(tuple((name, ip_network(name)) for name in ("10.0.0.0/8", "::1")))
    assert found.quotas == QuotaRules(
        logins={"shop": Quota(per_day=5)},
        networks=networks,
        in_network={"10.0.0.0/8": Quota(per_minute=1, per_hour=2)},
    )


def test_without_any_nothing_is_judged() -> None:
    found = config.from_mapping({"fqdn": "relay.example.org"})
    assert found.access == AccessRules()
    assert not found.quotas.are_set
    assert found.listeners[0].allowed is ANYTHING
