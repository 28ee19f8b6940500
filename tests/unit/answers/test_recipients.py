"""What a recipient waits for, in words, and how recipients are found page by page."""

from datetime import timedelta
from typing import Any

import pytest

from relayd.answers.recipients import find_rows, waits_for
from relayd.mail.words import EventKind
from relayd.ports.view import HistoryEntry, Query, Status
from relayd.store.memory.queue import MemoryStore
from tests.support.builders import a_message
from tests.support.cli_world import enqueue
from tests.support.clock import START, FakeClock
from tests.support.recipient_rows import a_row


@pytest.mark.parametrize(
    ("limit", "count"), [(0, 1201), (1, 1), (500, 500), (501, 501), (1000, 1000), (5000, 1201)]
)
async def test_pages_are_put_together(limit: int, count: int) -> None:
    store = MemoryStore(FakeClock())
    await enqueue(store, a_message(*(f"u{n}@example.org" for n in range(1000))))
    await enqueue(store, a_message(*(f"v{n}@example.org" for n in range(201))))
    found = list(find_rows(store.view, Query(), limit=limit))
    assert len(found) == len({(row.message_id, row.recipient) for row in found}) == count


HOUR = timedelta(hours=1)
WAITS: dict[str, tuple[dict[str, Any], str]] = {
    "due": ({}, "it is due now"),
    "running": ({"leased": True, "next_attempt_at": START + HOUR}, "a running attempt"),
    "running, at a server that does not greet": (
        {
            "leased": True,
            "next_attempt_at": START + HOUR,
            "paused_for": "a connection to mx.test [192.0.2.1]:465, waiting for its greeting",
        },
        "a connection to mx.test [192.0.2.1]:465, waiting for its greeting",
    ),
    "retry": (
        {"status": Status.DEFERRED, "next_attempt_at": START + HOUR},
        "the retry at 2026-03-01 13:00:00Z",
    ),
    "paused": (
        {"paused_until": START + HOUR},
        "destination smarthost, paused until 2026-03-01 13:00:00Z",
    ),
    "paused for a reason": (
        {"paused_until": START + HOUR, "paused_for": "the rate limit of its mail hosts"},
        "until 2026-03-01 13:00:00Z: the rate limit of its mail hosts",
    ),
    "in line": ({"served": True}, "its turn after others for smarthost"),
    "pause over": ({"paused_until": START}, "it is due now"),
    "retry behind the pause": (
        {"paused_until": START + HOUR, "next_attempt_at": START + 2 * HOUR},
        "the retry at 2026-03-01 14:00:00Z",
    ),
    "pause behind the retry": (
        {"paused_until": START + 2 * HOUR, "next_attempt_at": START + HOUR},
        "paused until 2026-03-01 14:00:00Z",
    ),
    "held": ({"status": Status.HELD}, "held by alice since 2026-03-01 12:00:00Z: a look"),
    **{
        status.value: ({"status": status, "next_attempt_at": None}, "nothing")
        for status in (Status.RELAYED, Status.SENT, Status.BOUNCED, Status.DROPPED)
    },
}


@pytest.mark.parametrize(("fields", "words"), WAITS.values(), ids=WAITS)
def test_what_it_waits_for(fields: dict[str, Any], words: str) -> None:
    held = [
        HistoryEntry(
            kind=EventKind.HELD.value, at=START, recipient=0, detail={"by": by, "reason": why}
        )
        for by, why in (("bob", ""), ("alice", "a look"))
    ]
    assert words in waits_for(a_row(**fields), held, START)


def test_held_by_nobody_known() -> None:
    assert waits_for(a_row(status=Status.HELD), [], START) == "somebody to release it"


DEFERRED = {"status": Status.DEFERRED, "next_attempt_at": START + HOUR, "attempts": 1}
PAUSED = DEFERRED | {"paused_until": START + 2 * HOUR}
RETRY = "the retry at 2026-03-01 13:00:00Z"
PAUSE = "destination smarthost, paused until 2026-03-01 14:00:00Z"
FULL = {"remote_host": "mx.a.test", "category": "mailbox_full", "reply": "452 4.2.2 full"}
DEAD = {"remote_host": "mx.a.test", "category": "connection_failure", "reason": "refused"}
NO_DNS = {"category": "dns_failure", "reason": "192.0.2.53 answers SERVFAIL to MX a.test"}
NO_HOST = {"category": "bad_domain", "reason": "a.test has neither MX nor address records"}
NOT_THERE = NO_HOST | {"remote_host": "mx.a.test", "code": 450, "reply": "450 4.1.2 no MX"}
NO_LOGIN = {"remote_host": "hub.test", "code": 535, "reply": "535 5.7.8 wrong password"}
TROUBLES: dict[str, tuple[dict[str, Any], EventKind, dict[str, Any], str]] = {
    "refused for now": (
        DEFERRED,
        EventKind.DEFERRED,
        FULL,
        f"{RETRY}: mx.a.test says 452 4.2.2 full",
    ),
    "no answer": (
        DEFERRED,
        EventKind.DEFERRED,
        DEAD,
        f"{RETRY}: no session with mx.a.test, refused",
    ),
    "DNS failure": (
        DEFERRED,
        EventKind.DEFERRED,
        NO_DNS,
        f"{RETRY}: DNS failure, 192.0.2.53 answers SERVFAIL to MX a.test",
    ),
    "a domain without a mail host": (
        DEFERRED,
        EventKind.DEFERRED,
        NO_HOST,
        f"{RETRY}: a second look at the DNS: a.test has neither MX nor address records",
    ),
    "a server that does not know the domain": (
        DEFERRED,
        EventKind.DEFERRED,
        NOT_THERE,
        f"{RETRY}: mx.a.test says 450 4.1.2 no MX",
    ),
    "a fault of ours": (
        DEFERRED,
        EventKind.DEFERRED,
        {"remote_host": "hub.test", "fault": "local", "reason": "cannot be read"},
        f"{RETRY}: a fault of this machine: cannot be read",
    ),
    "a login that we cannot make": (
        {"paused_until": START + 2 * HOUR},
        EventKind.ATTEMPTED,
        {"fault": "local", "reason": "we cannot log in: no file"},
        f"{PAUSE}: a fault of this machine: we cannot log in: no file",
    ),
    "nothing known": (
        DEFERRED,
        EventKind.DEFERRED,
        {},
        f"{RETRY}: relayd says no reason is known",
    ),
    "dead destination": (
        PAUSED,
        EventKind.DEFERRED,
        DEAD,
        f"{PAUSE}: no session with mx.a.test, refused",
    ),
    "paused without an answer of the DNS": (
        PAUSED,
        EventKind.DEFERRED,
        NO_DNS,
        f"{PAUSE}: DNS failure, 192.0.2.53 answers SERVFAIL to MX a.test",
    ),
    "login refused": (
        {"paused_until": START + 2 * HOUR},
        EventKind.ATTEMPTED,
        NO_LOGIN,
        f"{PAUSE}: hub.test refuses our login, 535 5.7.8 wrong password",
    ),
    "a full mailbox is no reason for a pause": (PAUSED, EventKind.DEFERRED, FULL, PAUSE),
}


@pytest.mark.parametrize(("fields", "kind", "detail", "words"), TROUBLES.values(), ids=TROUBLES)
def test_what_it_failed_on(
    fields: dict[str, Any], kind: EventKind, detail: dict[str, Any], words: str
) -> None:
    """The last attempt counts, whatever an operator did since."""
    history = [
        HistoryEntry(kind=one.value, at=START, recipient=0, detail=said)
        for one, said in (
            (EventKind.RECEIVED, {}),
            (EventKind.DEFERRED, {"reply": "451 an older one"}),
            (kind, detail),
            (EventKind.EXPEDITED, {"by": "alice"}),
        )
    ]
    assert waits_for(a_row(**fields), history, START) == words
