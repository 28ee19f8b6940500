"""The lines of the status log, and their fields."""

import json
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from relayd.logs.status import StatusLog
from relayd.mail.attempt import AttemptFacts, Peer, RouteKind, TlsFacts
from relayd.mail.event import Event, attempt_detail, kind_of, subject_of
from relayd.mail.ids import format_id
from relayd.mail.outcome import Outcome, Relayed
from relayd.mail.reply import Reply, Stage
from relayd.mail.words import EventKind
from tests.support.builders import a_bounce, a_deferral, a_message, a_queued_message
from tests.support.clock import START

# interface.md section 4, and what an outcome adds in words.
_FIELDS = """
    ts event node queue_id message_id envelope_id from rcpt orig_rcpt tag size attempt route
    remote_host remote_ip remote_port local_ip helo tls tls_problem stage code enhanced reply
    status bounce_class category suppress possible_duplicate next_attempt_at delay_queue
    delay_connect delay_transaction client_ip auth_user listener fault schema reason by
"""
FIELDS = set(_FIELDS.split())


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "status.log"


def read(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_bytes().splitlines()]


def the_detail(outcome: Outcome) -> Any:
    facts = AttemptFacts(
        peer=Peer(
            route=RouteKind.SMARTHOST,
            host="mx.test",
            ip="192.0.2.1",
            port=25,
            local_ip="192.0.2.9",
            helo="relay.test",
            tls=TlsFacts(version="TLSv1.3", cipher="TLS_AES", verified=False, problem="expired"),
        ),
        stage=Stage.DOT,
        reply=Reply(250, "2.0.0", ("2.0.0 ok",)),
        breakdown=None,
        dot_sent=True,
        started_at=START,
        connect_for=timedelta(seconds=0.25),
        transaction_for=timedelta(seconds=1.5),
    )
    return attempt_detail(facts, outcome, attempt=2, queued_for=timedelta(seconds=3))


@pytest.mark.parametrize(
    ("outcome", "status", "more"),
    [
        pytest.param(Relayed(), "relayed", set(), id="relayed"),
        pytest.param(
            a_deferral(possible_duplicate=True),
            "deferred",
            {"category", "fault", "reason", "next_attempt_at", "possible_duplicate"},
            id="deferred",
        ),
        pytest.param(
            a_bounce(),
            "bounced",
            {"bounce_class", "category", "fault", "suppress", "reason"},
            id="bounced",
        ),
    ],
)
def test_an_event_has_the_fields_of_the_interface(
    path: Path, outcome: Outcome, status: str, more: set[str]
) -> None:
    message = a_queued_message()
    event = Event(
        kind=kind_of(outcome),
        at=START,
        message_id=message.id,
        recipient=0,
        detail=the_detail(outcome),
    )
    with closing(StatusLog(str(path), node="node1")) as log:
        log.record(event, message, "a@x.test")
    [line] = read(path)
    assert line["ts"] == "2026-03-01T12:00:00.000Z"
    assert (line["event"], line["status"], line["node"]) == (status, status, "node1")
    assert line["queue_id"] == format_id(message.id)
    assert (line["from"], line["rcpt"]) == ("app@app.test", "a@x.test")
    assert (line["attempt"], line["route"], line["stage"]) == (2, "smarthost", "dot")
    assert (line["code"], line["enhanced"], line["reply"]) == (250, "2.0.0", "250 2.0.0 ok")
    assert line["tls"] == "TLSv1.3 TLS_AES unverified"
    assert (line["delay_queue"], line["delay_connect"], line["delay_transaction"]) == (3, 0.25, 1.5)
    assert line["schema"] == 1
    assert set(line) <= FIELDS
    assert more <= set(line)


def test_reception_gives_a_line_for_each_recipient(path: Path) -> None:
    message = a_message(
        "a@x.test", "b@x.test", message_id_header="<1@app.test>", tag="news", reverse_path=""
    )
    with closing(StatusLog(str(path), node="node1")) as log:
        log.received(message)
    lines = read(path)
    assert [line["rcpt"] for line in lines] == ["a@x.test", "b@x.test"]
    assert {line["event"] for line in lines} == {"received"}
    first = lines[0]
    assert set(first) <= FIELDS
    assert (first["from"], first["message_id"], first["tag"]) == ("", "<1@app.test>", "news")
    assert (first["client_ip"], first["status"], first["size"]) == (
        "127.0.0.1",
        "queued",
        len(message.content),
    )
    assert "auth_user" not in first, "what is not known is left out"


def test_refusals_and_operators_acts_are_lines_too(path: Path) -> None:
    message = a_message("a@x.test")
    dropped = Event(
        kind=EventKind.DROPPED,
        at=START,
        message_id=message.id,
        recipient=0,
        detail={"by": "me", "reason": "spam"},
        subject=subject_of(message, 0),
    )
    with closing(StatusLog(str(path), node="node1")) as log:
        log.refused(START, {"rcpt": "a@x.test", "code": 550, "enhanced": None})
        log.acted(dropped)
    refused, acted = read(path)
    assert (refused["event"], refused["code"]) == ("refused", 550)
    assert "enhanced" not in refused
    assert (acted["event"], acted["status"], acted["by"]) == ("dropped", "dropped", "me")
    assert (acted["from"], acted["rcpt"]) == ("app@app.test", "a@x.test")
    assert acted["size"] == len(message.content)
    assert set(refused) | set(acted) <= FIELDS
