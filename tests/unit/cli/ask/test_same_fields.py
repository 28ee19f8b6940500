"""Whoever tells of an event tells the same: the status log, `relayd log`, `relayd status show`; and the page."""

import json
import re
from collections import defaultdict
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from relayd.answers.status_line import FIELDS
from relayd.logs.status import StatusLog
from relayd.mail.words import EventKind
from relayd.metrics.counters import Counters
from relayd.store import open_view
from relayd.worker.events import Events
from tests.support.cli_world import World
from tests.support.every_event import write_every_event

EVENTS_PAGE = Path(__file__).parents[4] / "docs/events.md"
ONLY_IN_THE_LOG = {"node", "schema"}
TOP_LEVEL = {"ts", "event", "queue_id", "message_id", "from", "rcpt", "tag", "size"}
Lines = list[dict[str, Any]]


@pytest.fixture
async def lines(world: World) -> Lines:
    """The status log, after everything that can happen has happened."""
    store = world.open_store()
    try:
        with (
            closing(open_view(f"sqlite:{world.folder}/queue.db")) as view,
            closing(StatusLog(str(world.log), node="node1")) as log,
        ):
            await write_every_event(store, view, world.clock, Events(log, Counters()))
    finally:
        await store.close()
    return [json.loads(line) for line in world.log.read_bytes().splitlines()]


def by_recipient(events: Lines) -> dict[tuple[str, str], Lines]:
    """Events without what only the log has, for each recipient in their order."""
    found = defaultdict(list)
    for event in events:
        fields = {name: event[name] for name in event.keys() - ONLY_IN_THE_LOG}
        found[event["queue_id"], event["rcpt"]].append(fields)
    return found


def test_every_kind_of_event_is_there(lines: Lines) -> None:
    assert {line["event"] for line in lines} == {kind.value for kind in EventKind}


def test_an_event_has_the_same_fields_for_all_who_tell_it(world: World, lines: Lines) -> None:
    of_messages = [line for line in lines if line["event"] != EventKind.REFUSED]
    history: Lines = []
    for queue_id in sorted({line["queue_id"] for line in of_messages}):
        for row in world.run("status", "show", "--json", queue_id).rows:
            history += row["history"]
    assert by_recipient(history) == by_recipient(of_messages)
    assert world.run("log", "--json").rows == lines


def test_every_event_of_a_message_says_which_one(lines: Lines) -> None:
    for line in lines:
        if line["event"] != EventKind.REFUSED and line["from"] != "":  # a copy has no tag
            assert line.keys() >= TOP_LEVEL, line["event"]


def test_the_page_has_the_fields_that_are_written_and_no_others(lines: Lines) -> None:
    table = EVENTS_PAGE.read_text().partition("## Fields")[2]
    rows = re.findall(r"(?m)^\| (`\w+`(?:, `\w+`)*) \|", table)
    documented = {field for row in rows for field in re.findall(r"`(\w+)`", row)}
    written = {name for line in lines for name in line}
    assert written == documented == set(FIELDS)
    assert len(FIELDS) == len(documented)
