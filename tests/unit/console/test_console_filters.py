"""Filters of pages: read, refused, and told as a command."""

from datetime import UTC, datetime, timedelta
from ipaddress import ip_network

import pytest
from starlette.datastructures import QueryParams

from relayd.console.filters import meanings, place_of, queue_id_in, read_filters, read_place
from relayd.mail.ids import parse_id
from relayd.mail.words import BounceClass, Category
from relayd.ports.view import Query, Status

NOW = datetime(2026, 11, 28, 13, 42, tzinfo=UTC)
ID = "0CNSP4QE20400"


@pytest.mark.parametrize(
    ("params", "query"),
    [
        ({}, Query()),
        ({"status": "", "sender": "  "}, Query()),
        ({"recipient": "a@x.test"}, Query(recipient=("a@x.test",))),
        ({"sender": "<>"}, Query(sender=("",))),
        ({"sender": "<a@x.test>"}, Query(sender=("a@x.test",))),
        ({"domain": "@x.test"}, Query(domain=("x.test",))),
        ({"message_id": "<1@x.test>"}, Query(message_id_header=("<1@x.test>",))),
        ({"tag": "news", "user": "app"}, Query(tag=("news",), user=("app",))),
        ({"status": "bounced"}, Query(status=(Status.BOUNCED,))),
        ({"bounce_class": "hard"}, Query(bounce_class=(BounceClass.HARD,))),
        ({"category": "mailbox_full"}, Query(category=(Category.MAILBOX_FULL,))),
        ({"client": "10.1.2.3"}, Query(client=(ip_network("10.1.2.3"),))),
        ({"destination": "x.test"}, Query(destination=("x.test",))),
        ({"possible_duplicate": "1"}, Query(possible_duplicate=True)),
        ({"unfinished": "1"}, Query(unfinished=True)),
        ({"since": "7d"}, Query(since=NOW - timedelta(days=7))),
        ({"until": "2026-11-28"}, Query(until=datetime(2026, 11, 28, tzinfo=UTC))),
        ({"q": "a@x.test"}, Query(recipient=("a@x.test",))),
        ({"q": "<a@x.test>"}, Query(message_id_header=("<a@x.test>",))),
        ({"q": "x.test"}, Query(domain=("x.test",))),
        ({"nonsense": "x"}, Query()),
    ],
)
def test_filters_are_read(params: dict[str, str], query: Query) -> None:
    found = read_filters(QueryParams(params), NOW)
    assert found.query == query
    assert not found.mistakes


@pytest.mark.parametrize(
    ("params", "mistake"),
    [
        ({"status": "lost"}, "status: 'lost' is not one of its values"),
        ({"since": "soon"}, "since: 'soon' is none of 7d, 12h"),
        ({"client": "x"}, "client: 'x' is not"),
        ({"q": "two words"}, "'two words' is no address, domain, queue id or <Message-ID>"),
    ],
)
def test_what_cannot_be_read_is_named(params: dict[str, str], mistake: str) -> None:
    (found,) = read_filters(QueryParams(params), NOW).mistakes
    assert found.startswith(mistake)


def test_a_page_names_the_command_that_asks_the_same() -> None:
    params = QueryParams(sender="o'neil@x.test", since="7d", possible_duplicate="1", unfinished="1")
    words = ["--sender", "o'neil@x.test", "--possible-duplicate", "--since", "7d"]
    assert read_filters(params, NOW).command == ["relayd", "status", *words]


def test_an_address_may_be_a_recipient_a_sender_or_a_message_id() -> None:
    names = [name for name, _ in meanings("a@x.test")]
    assert names == ["recipient", "sender", "message_id"]
    assert not list(meanings("hello"))


def test_queue_ids_and_places() -> None:
    assert queue_id_in(f" {ID} ") == ID
    assert queue_id_in("a@x.test") is None
    assert read_place(f"{ID}.3") == (parse_id(ID), 3)
    assert read_place(place_of((parse_id(ID), -1))) == (parse_id(ID), -1)
    assert read_place("") is read_place(f"{ID}.x") is read_place("x.3") is None
