"""What a client hears that waits for the next hop."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relayd.mail.envelope import MessageFacts
from relayd.mail.ids import WorkerNumber, format_id, make_id
from relayd.mail.words import EventKind, JsonValue
from relayd.policy.intake import cut_through
from relayd.policy.intake.cut_through import Answer

ID = make_id(datetime(2026, 1, 1, tzinfo=UTC), WorkerNumber(1), 1)
REPORT = make_id(datetime(2026, 1, 1, tzinfo=UTC), WorkerNumber(1), 2)
NAME = format_id(ID)
HOST = "mx.a.test"
QUEUED = f"250 2.0.0 OK queued as {NAME}"


@pytest.mark.parametrize(
    ("kind", "detail", "line"),
    [
        (
            EventKind.SENT,
            {"reply": "250 2.0.0 Ok: as 77", "remote_host": HOST},
            f"250 2.0.0 sent as {NAME}: Ok: as 77",
        ),
        (EventKind.RELAYED, {"reply": "250"}, f"250 2.0.0 sent as {NAME}"),
        (EventKind.DEFERRED, {"reply": "452 4.2.2 full", "code": 452}, QUEUED),
        (EventKind.HELD, {}, QUEUED),
        (
            EventKind.BOUNCED,
            {
                "code": 550,
                "enhanced": "5.1.1",
                "reply": "550 5.1.1 No such user",
                "remote_host": HOST,
            },
            f"550 5.1.1 {HOST} said: No such user",
        ),
        (  # no enhanced code
            EventKind.BOUNCED,
            {"code": 571, "reply": "571 go away", "remote_host": HOST},
            f"571 5.0.0 {HOST} said: go away",
        ),
        (  # given up on a 4yz: a client that tried again would send what has bounced
            EventKind.BOUNCED,
            {
                "code": 452,
                "enhanced": "4.2.2",
                "reply": "452 4.2.2 Mailbox full",
                "remote_host": HOST,
            },
            f"554 5.2.2 {HOST} said: Mailbox full",
        ),
        (  # nobody was asked
            EventKind.BOUNCED,
            {"enhanced": "5.1.2", "reason": "the domain a.test does not exist"},
            "550 5.1.2 the domain a.test does not exist",
        ),
        (
            EventKind.BOUNCED,
            {"enhanced": "5.1.10", "reason": "a.test takes no mail"},
            "556 5.1.10 a.test takes no mail",
        ),
        (EventKind.BOUNCED, {}, "550 5.0.0"),
    ],
)
def test_what_is_said(kind: EventKind, detail: dict[str, JsonValue], line: str) -> None:
    assert cut_through.answer_to(ID, kind, detail) == Answer(line=line.encode())


def test_the_report_is_named() -> None:
    detail: dict[str, JsonValue] = {"code": 550, "reply": "550 no", "report": format_id(REPORT)}
    assert cut_through.answer_to(ID, EventKind.BOUNCED, detail).report == REPORT


@given(
    kind=st.sampled_from([EventKind.SENT, EventKind.BOUNCED]),
    code=st.integers(200, 599),
    text=st.text(max_size=5000),
    host=st.text(max_size=300),
)
def test_whatever_a_server_says_it_is_one_line(
    kind: EventKind, code: int, text: str, host: str
) -> None:
    detail: dict[str, JsonValue] = {
        "code": code,
        "reply": f"{code} {text}",
        "remote_host": host,
        "reason": text,
    }
    line = cut_through.answer_to(ID, kind, detail).line
    assert len(line) <= 400
    assert all(0x20 <= octet < 0x7F for octet in line)
    assert line[:1] == (b"5" if kind is EventKind.BOUNCED else b"2")
    assert line[3:4] == b" "


@pytest.mark.parametrize(
    ("recipients", "content", "is_test", "may"),
    [
        (1, b"x", False, True),
        (2, b"x", False, False),
        (1, object(), False, False),
        (1, b"x", True, False),
    ],
)
def test_who_may_wait(recipients: int, content: object, is_test: bool, may: bool) -> None:  # noqa: FBT001
    facts = MessageFacts(size=1, hops=0, is_test=is_test)
    assert cut_through.may_wait(recipients, content, facts) is may  # type: ignore[arg-type]


def test_what_decides() -> None:
    decided = {kind for kind in EventKind if cut_through.is_decided(kind)}
    assert decided == {EventKind.SENT, EventKind.RELAYED, EventKind.BOUNCED, EventKind.DEFERRED}
