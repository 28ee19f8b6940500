from datetime import UTC, datetime
from ipaddress import ip_network
from typing import Any

import click
import pytest
from click.testing import CliRunner

from relayd.cli.filters import EVERY_FILTER, takes_query
from relayd.mail.words import BounceClass, Category
from relayd.ports.view import Query, Status


def query_of(*arguments: str) -> tuple[int, Query | None, str]:
    """What the options make: the exit status, the query, and what is said."""
    got: list[Query] = []

    @click.command()
    @takes_query(*EVERY_FILTER)
    def command(*, query: Query) -> None:
        got.append(query)

    result = CliRunner().invoke(command, arguments)
    return result.exit_code, got[0] if got else None, result.output


OPTIONS: dict[str, tuple[list[str], dict[str, Any]]] = {
    "none": ([], {}),
    "recipient": (["--recipient", "A@example.org"], {"recipient": ("A@example.org",)}),
    "recipient in brackets": (
        ["--recipient", "<a@example.org>"],
        {"recipient": ("a@example.org",)},
    ),
    "a star in an address": (["--recipient", "a*b@x.test"], {"recipient": ("a*b@x.test",)}),
    "null sender": (["--sender", "<>"], {"sender": ("",)}),
    "message-id": (["--message-id", "<1@a.test>"], {"message_id_header": ("<1@a.test>",)}),
    "words in any case": (
        ["--status", "Bounced", "--bounce-class", "HARD", "--category", "bad_mailbox"],
        {
            "status": (Status.BOUNCED,),
            "bounce_class": (BounceClass.HARD,),
            "category": (Category.BAD_MAILBOX,),
        },
    ),
    "times": (
        ["--since", "2026-11-01T00:00Z", "--until", "2026-11-02T00:00Z"],
        {
            "since": datetime(2026, 11, 1, tzinfo=UTC),
            "until": datetime(2026, 11, 2, tzinfo=UTC),
        },
    ),
    "the rest": (["--domain", "a.test", "--tag", "t *"], {"domain": ("a.test",), "tag": ("t *",)}),
    "clients": (
        ["--client", "192.0.2.7", "--client", "2001:db8::1/32"],
        {"client": (ip_network("192.0.2.7/32"), ip_network("2001:db8::/32"))},
    ),
    "doubles": (["--possible-duplicate"], {"possible_duplicate": True}),
    "changed": (
        ["--changed-since", "2026-11-01T00:00Z"],
        {"changed_since": datetime(2026, 11, 1, tzinfo=UTC)},
    ),
    "a domain with its dot": (["--domain", "a.test."], {"domain": ("a.test",)}),
    "a domain with its sign": (["--domain", "@a.test"], {"domain": ("a.test",)}),
}


@pytest.mark.parametrize(("arguments", "fields"), OPTIONS.values(), ids=OPTIONS)
def test_options_become_a_query(arguments: list[str], fields: dict[str, Any]) -> None:
    assert query_of(*arguments) == (0, Query(**fields), "")


SEVERAL = {
    "recipient": ("recipient", ("a@x.test", "b@x.test")),
    "domain": ("domain", ("x.test", "y.test")),
    "sender": ("sender", ("a@x.test", "b@x.test")),
    "message_id": ("message_id_header", ("1@x.test", "2@x.test")),
    "tag": ("tag", ("a", "b")),
    "status": ("status", (Status.SENT, Status.BOUNCED)),
    "bounce_class": ("bounce_class", (BounceClass.HARD, BounceClass.SOFT)),
    "category": ("category", (Category.POLICY, Category.VIRUS)),
    "user": ("user", ("shop", "app")),
    "destination": ("destination", ("a.test", "smarthost")),
}
ONCE = ("since", "until", "changed_since")  # refused when given twice: test_options
OTHERS = ("client", "possible_duplicate")


@pytest.mark.parametrize(("name", "expected"), SEVERAL.items(), ids=SEVERAL)
def test_a_repeated_filter_means_any_of_its_values(
    name: str, expected: tuple[str, tuple[str, ...]]
) -> None:
    field, values = expected
    option = f"--{name.replace('_', '-')}"
    given = [word for value in values for word in (option, value)]
    assert query_of(*given) == (0, Query(**{field: values}), "")  # type: ignore[arg-type]


def test_no_filter_silently_means_its_last_value() -> None:
    assert {*SEVERAL, *ONCE, *OTHERS} == set(EVERY_FILTER)


BAD = {
    "empty recipient": (["--recipient", ""], "leave it out"),
    "empty sender": (["--sender", ""], "leave it out"),
    "empty domain": (["--domain", ""], "leave it out"),
    "empty, beside another one": (["--tag", "a", "--tag", ""], "leave it out"),
    "control character": (["--tag", "a\x1b"], "not printable"),
    "surrogate": (["--tag", "a\udcff"], "not printable"),
    "unknown status": (["--status", "lost"], "'lost' is not one of"),
    "no time": (["--since", "soon"], "monday"),
    "domain as recipient": (["--recipient", "@example.org"], "--domain DOMAIN"),
    "anybody of a domain": (["--recipient", "*@example.org"], "--domain DOMAIN"),
    "pattern as recipient": (["--recipient", "a@*.example"], "--domain DOMAIN"),
    "local part alone": (["--recipient", "bob"], "LOCAL@DOMAIN"),
    "no domain": (["--recipient", "bob@"], "LOCAL@DOMAIN"),
    "null recipient": (["--recipient", "<>"], "LOCAL@DOMAIN"),
    "domain as sender": (["--sender", "@example.org"], "--sender A --sender B"),
    "pattern as sender": (["--sender", "*@example.org"], "--sender A --sender B"),
    "pattern as domain": (["--domain", "*.example"], "name each domain"),
    "subdomains": (["--domain", ".example.org"], "name each domain"),
    "sign alone": (["--domain", "@"], "name each domain"),
    "blank in a domain": (["--domain", "a.test b.test"], "name each domain"),
    "address as domain": (["--domain", "a@b.test"], "--recipient a@b.test"),
    "queue id as header": (["--message-id", "0CNA0NJ6E0401"], "relayd status"),
    "no address of a client": (["--client", "192.0.2.*"], "such as 192.0.2.0/24"),
    "pattern as destination": (["--destination", "*.example"], "no patterns"),
    "address as destination": (["--destination", "a@x.test"], "a domain, a host"),
    "no span": (["--since", "1d", "--until", "2d"], "Nothing lies between"),
}


@pytest.mark.parametrize(("arguments", "advice"), BAD.values(), ids=BAD)
def test_filter_that_means_nothing_is_refused_with_what_to_write(
    arguments: list[str], advice: str
) -> None:
    """An empty filter above all: it must never mean everybody."""
    status, query, said = query_of(*arguments)
    assert (status, query) == (2, None)
    assert advice in " ".join(said.split())
