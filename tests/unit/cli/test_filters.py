import os
from datetime import UTC, datetime, timedelta
from typing import Any

import click
import pytest
from click.testing import CliRunner

from relayd.cli.filters import EVERY_FILTER, parse_instant, takes_query
from relayd.mail.words import BounceClass, Category
from relayd.ports.view import Query, Status

NOW = datetime(2026, 11, 8, 12, 0, tzinfo=UTC)
INSTANTS = {
    "7d": NOW - timedelta(days=7),
    "90s": NOW - timedelta(seconds=90),
    "15m": NOW - timedelta(minutes=15),
    "12h": NOW - timedelta(hours=12),
    "2w": NOW - timedelta(weeks=2),
    "2026-11-01": datetime(2026, 11, 1, tzinfo=UTC),
    "2026-11-01T09:30": datetime(2026, 11, 1, 9, 30, tzinfo=UTC),
    "2026-11-01T09:30:00Z": datetime(2026, 11, 1, 9, 30, tzinfo=UTC),
    "2026-11-01 09:30:00+02:00": datetime(2026, 11, 1, 7, 30, tzinfo=UTC),
}


@pytest.mark.parametrize(("text", "instant"), INSTANTS.items(), ids=INSTANTS)
def test_instants(text: str, instant: datetime) -> None:
    assert parse_instant(text, NOW) == instant


@pytest.mark.parametrize("text", ["", "7", "d", "7y", "-7d", "yesterday", "2026-13-01", "999999w"])
def test_what_is_no_instant(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 -- each has its own words
        parse_instant(text, NOW)


def query_of(*arguments: str) -> tuple[int, Query | None]:
    """What the options make; the exit status and the query."""
    got: list[Query] = []

    @click.command()
    @takes_query(*EVERY_FILTER)
    def command(*, query: Query) -> None:
        got.append(query)

    result = CliRunner().invoke(command, arguments)
    return result.exit_code, got[0] if got else None


OPTIONS: dict[str, tuple[list[str], dict[str, Any]]] = {
    "none": ([], {}),
    "recipient": (["--recipient", "A@example.org"], {"recipient": "A@example.org"}),
    "recipient in brackets": (["--recipient", "<a@example.org>"], {"recipient": "a@example.org"}),
    "null sender": (["--sender", "<>"], {"sender": ""}),
    "message-id": (["--message-id", "<1@a.test>"], {"message_id_header": "<1@a.test>"}),
    "words in any case": (
        ["--status", "Bounced", "--bounce-class", "HARD", "--category", "bad_mailbox"],
        {
            "status": Status.BOUNCED,
            "bounce_class": BounceClass.HARD,
            "category": Category.BAD_MAILBOX,
        },
    ),
    "times": (
        ["--since", "2026-11-01", "--until", "2026-11-02"],
        {
            "since": datetime(2026, 11, 1, tzinfo=UTC),
            "until": datetime(2026, 11, 2, tzinfo=UTC),
        },
    ),
    "the rest": (["--domain", "a.test", "--tag", "t 1"], {"domain": "a.test", "tag": "t 1"}),
}


@pytest.mark.parametrize(("arguments", "fields"), OPTIONS.values(), ids=OPTIONS)
def test_options_become_a_query(arguments: list[str], fields: dict[str, Any]) -> None:
    assert query_of(*arguments) == (0, Query(**fields))


BAD = [
    ["--recipient", ""],
    ["--sender", ""],
    ["--domain", ""],
    ["--tag", "a\x1b"],
    ["--tag", "a\udcff"],
    ["--status", "lost"],
    ["--since", "soon"],
]


@pytest.mark.parametrize("arguments", BAD, ids=repr)
def test_filter_that_means_nothing_is_refused(arguments: list[str]) -> None:
    """An empty filter above all: it must never mean everybody."""
    status, query = query_of(*arguments)
    assert status != os.EX_OK
    assert query is None
