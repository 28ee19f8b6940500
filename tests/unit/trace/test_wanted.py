"""Who wants to see what, and how that is asked."""

from ipaddress import ip_network

import pytest

from relayd.errors import RelaydError
from relayd.mail.ids import parse_id
from relayd.policy.delivery.route import names_of
from relayd.trace.wanted import (
    Subject,
    Wanted,
    subject_of,
    wanted_from_json,
    wanted_to_json,
)

ID = "0CNA0NJ6E0401"
SUBJECT = subject_of(parse_id(ID), "mx:example.org", ["A@Example.NET"], client_ip="192.0.2.7")


@pytest.mark.parametrize(
    ("wanted", "fits"),
    [
        (Wanted(queue_id=ID), True),
        (Wanted(queue_id="0CNA0NJ6E0402"), False),
        (Wanted(clients=(ip_network("192.0.2.0/24"),)), True),
        (Wanted(clients=(ip_network("192.0.3.0/24"),)), False),
        (Wanted(clients=(ip_network("2001:db8::/32"),)), False),
        (Wanted(destinations=frozenset(["example.org"])), True),
        (Wanted(destinations=frozenset(["mx:example.org"])), True),
        (Wanted(destinations=frozenset(["example.net"])), True),
        (Wanted(destinations=frozenset(["net"])), False),
        (Wanted(destinations=frozenset(["net", "example.net"])), True),
        (Wanted(clients=(ip_network("192.0.3.0/24"), ip_network("192.0.2.7/32"))), True),
    ],
)
def test_it_is_about_one_thing(wanted: Wanted, *, fits: bool) -> None:
    assert wanted.fits(SUBJECT) is fits
    assert not wanted.fits(Subject())
    assert wanted_from_json(wanted_to_json(wanted)) == wanted


def test_one_value_is_written_as_older_daemons_read_it() -> None:
    wanted = wanted_from_json({"verb": "trace", "destination": ["B.test", "a.test"]})
    assert wanted.destinations == {"a.test", "b.test"}
    assert wanted_to_json(wanted)["destination"] == ["a.test", "b.test"]
    one = Wanted(clients=(ip_network("192.0.2.7/32"),))
    assert wanted_to_json(one)["client"] == "192.0.2.7/32"


def test_a_host_of_routes_has_three_names() -> None:
    names = {"host:Mail.example:26", "mail.example:26", "mail.example"}
    assert names_of("host:Mail.example:26") == {name.lower() for name in names}
    assert names_of("smarthost") == {"smarthost"}


@pytest.mark.parametrize(
    "request_",
    [
        {},
        {"queue_id": ID, "client": "192.0.2.1"},
        {"queue_id": ""},
        {"queue_id": 7},
        {"queue_id": "nonsense"},
        {"client": "nonsense"},
        {"client": []},
        {"client": ["192.0.2.1", ""]},
        {"destination": ["x", 7]},
        {"queue_id": [ID]},
        {"destination": "x", "content": "yes"},
        {"destination": "x", "for": 5},
    ],
)
def test_what_is_not_understood_is_refused(request_: dict[str, object]) -> None:
    with pytest.raises(RelaydError):
        wanted_from_json({"verb": "trace", **request_})
