"""Messages by HTTP: taken once, checked as any client's, and told apart where they are not taken."""

import base64
import http.client
import json
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from email import message_from_bytes
from pathlib import Path
from typing import Any

import pytest

from relayd.console import limits
from relayd.console.api.shapes import submissions as shapes
from relayd.mail.ids import format_id
from relayd.policy.console.roles import Scope
from tests.support.api import PREFIX, Answer, Program, a_receiver
from tests.support.console import Console, a_console
from tests.support.receiving import Reception

MAIL = {"from": "Shop <shop@app.test>", "to": ["a@x.test"], "subject": "Hello", "text": "Hello.\n"}
RFC822 = {"Content-Type": "message/rfc822"}
CONTENT = b"From: shop@app.test\nSubject: x\n\n.Hello\n"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("api")


@pytest.fixture(scope="module")
def console(folder: Path) -> Iterator[Console]:
    with a_console(folder) as made:
        yield made


@pytest.fixture(scope="module")
def program(console: Console) -> Program:
    return Program(console=console)


@pytest.fixture
def reception(console: Console, folder: Path) -> Iterator[Reception]:
    with a_receiver(console, folder) as made:
        yield made


def post(program: Program, told: object = None, *, name: str = "app", **more: Any) -> Answer:
    """Hand in a message: `told` as JSON, unless there is a body."""
    key, query = program.key(Scope.SUBMIT, name=name), more.pop("query", "")
    told = None if "body" in more else MAIL if told is None else told
    return program.send("POST", f"/messages{query}", told, key=key, **more)


def test_a_message_by_its_fields_is_queued(program: Program, reception: Reception) -> None:
    told = {
        **MAIL,
        "cc": [{"name": "B, the second", "address": "b@x.test"}],
        "bcc": "c@x.test",
        "html": "<p>Hello.",
        "tag": "news",
        "headers": {"Reply-To": "help@app.test"},
        "attachments": [{"name": "a.txt", "content": base64.b64encode(b"x\0").decode()}],
    }
    answer = post(program, told)
    assert answer.status == 202, answer.body
    shapes.NewMessage.model_validate(told)
    submitted = shapes.Submitted.model_validate(answer.json)
    [message] = reception.intake.messages
    assert submitted.queue_id == format_id(message.id)
    assert [each.rcpt for each in submitted.recipients] == ["a@x.test", "b@x.test", "c@x.test"]
    assert {each.status for each in submitted.recipients} == {"queued"}
    assert message.client.auth_user == "app (API key)"
    assert message.facts.tag == "news"
    content = message_from_bytes(message.content[:])
    assert (content["Subject"], content["Reply-To"]) == ("Hello", "help@app.test")
    assert b"c@x.test" not in message.content[:]


def test_a_message_as_it_is(program: Program, reception: Reception) -> None:
    """Whatever its lines end in."""
    for body in (CONTENT, CONTENT.replace(b"\n", b"\r\n")):
        answer = post(
            program,
            query="?from=bounces@app.test&rcpt=a@x.test&rcpt=b@x.test&tag=t",
            headers=RFC822,
            body=body,
        )
        assert answer.status == 202, answer.body
        message = reception.intake.messages[-1]
        assert message.content[:].endswith(b"\r\n\r\n.Hello\r\n")
        assert (str(message.reverse_path), message.facts.tag) == ("bounces@app.test", "t")


def test_the_same_key_is_the_same_message(program: Program, reception: Reception) -> None:
    """And another message with it is refused (A-88)."""
    once = {"Idempotency-Key": "order-7"}
    first = post(program, headers=once)
    again = post(program, headers=once)
    assert (first.status, again.status) == (202, 202)
    assert first.json["queue_id"] == again.json["queue_id"]
    assert "idempotency-replayed" not in first.headers
    assert again.headers["idempotency-replayed"] == "true"
    other = post(program, {**MAIL, "subject": "Another"}, headers=once)
    assert (other.status, other.json["type"]) == (409, "urn:relayd:problem:key-used")
    assert post(program, headers=once, name="app2").json["queue_id"] != first.json["queue_id"]
    assert len(reception.intake.store._tables.messages) == 2


@pytest.mark.parametrize("given", [("",), ("one", "two")], ids=["empty", "two"])
def test_a_key_that_is_none_is_refused(
    program: Program, reception: Reception, given: tuple[str, ...]
) -> None:
    """It would be taken, and not be the same message a second time."""
    connection = http.client.HTTPConnection("127.0.0.1", program.console.port, timeout=15)
    with closing(connection):
        connection.putrequest("POST", f"{PREFIX}/messages")
        connection.putheader("Authorization", f"Bearer {program.key(Scope.SUBMIT, name='app')}")
        connection.putheader("Content-Type", "application/json")
        for each in given:
            connection.putheader("Idempotency-Key", each)
        body = json.dumps(MAIL).encode()
        connection.putheader("Content-Length", str(len(body)))
        connection.endheaders(body)
        assert connection.getresponse().status == 422
    assert not reception.intake.messages


def test_many_unknown_fields_have_a_short_answer(program: Program, reception: Reception) -> None:
    """Each has cost a line with all that are known."""
    body = json.dumps({f"k{number}": 1 for number in range(200_000)}).encode()
    answer = post(program, body=body, headers={"Content-Type": "application/json"})
    assert (answer.status, len(answer.json["errors"])) == (422, 20)
    assert len(answer.body) < 20_000
    assert not reception.intake.messages


def test_many_at_the_same_time_are_one_message(program: Program, reception: Reception) -> None:
    once = {"Idempotency-Key": "order-8"}
    with ThreadPoolExecutor(10) as threads:
        answers = list(threads.map(lambda _: post(program, headers=once), range(10)))
    assert {each.status for each in answers} == {202}
    assert len({each.json["queue_id"] for each in answers}) == 1
    assert len(reception.intake.store._tables.messages) == 1


@pytest.mark.usefixtures("reception")
def test_each_recipient_has_its_own_answer(program: Program) -> None:
    answer = post(program, {**MAIL, "to": ["a@x.test", "a@[192.0.2.1]"]})
    assert answer.status == 202
    assert [(each["status"], each["code"]) for each in answer.json["recipients"]] == [
        ("queued", 250),
        ("refused", 553),
    ]
    answer = post(program, {**MAIL, "to": ["a@[192.0.2.1]"]})
    assert (answer.status, answer.json["type"]) == (422, "urn:relayd:problem:refused")
    assert answer.json["errors"][0]["where"] == "a@[192.0.2.1]"


WRONG: dict[str, tuple[object, str]] = {
    "a field too many": ({**MAIL, "template": "x"}, "template"),
    "an end of line in the subject": ({**MAIL, "subject": "x\r\nBcc: b@x.test"}, "subject"),
    "no address": ({**MAIL, "to": ["a"]}, "to[0]"),
    "nobody": ({**MAIL, "to": []}, "to"),
    "no base64": (
        {**MAIL, "attachments": [{"name": "a", "content": "!"}]},
        "attachments[0].content",
    ),
    "no object": ([1], "body"),
}


@pytest.mark.parametrize(("told", "where"), WRONG.values(), ids=WRONG)
def test_fields_are_checked_before_anything_is_made(
    program: Program, reception: Reception, told: object, where: str
) -> None:
    answer = post(program, told)
    assert (answer.status, answer.json["type"]) == (422, "urn:relayd:problem:invalid")
    assert answer.json["errors"][0]["where"] == where
    assert not reception.intake.messages


BROKEN: dict[str, tuple[str, str, bytes, int]] = {
    "another kind": ("", "text/plain", b"x", 415),
    "no json": ("", "application/json", b"{", 400),
    "a query beside json": ("?from=a@x.test", "application/json", b"{}", 422),
    "no sender": ("?rcpt=a@x.test", "message/rfc822", b"x", 422),
    "no recipient": ("?from=a@x.test", "message/rfc822", b"x", 422),
    "no address": ("?from=a@x.test&rcpt=x", "message/rfc822", b"x", 422),
    "a line in the tag": ("?from=a@x.test&rcpt=a@x.test&tag=a%0ab", "message/rfc822", b"x", 422),
    "two tags": (
        "?from=a@x.test&rcpt=a@x.test&tag=a",
        "message/rfc822",
        b"X-Relayd-Tag: b\n\nx\n",
        422,
    ),
    "nothing": ("?from=a@x.test&rcpt=a@x.test", "message/rfc822", b"\r\n", 422),
    "not UTF-8": ("", "application/json", b'{"from": "\xfc"}', 400),
    "packed": ("", "application/json", b"\x1f\x8b\x08\x00", 400),
    "a lone CR": ("?from=a@x.test&rcpt=a@x.test", "message/rfc822", b"a: b\n\nx\ry\n", 422),
}


@pytest.mark.parametrize(("query", "kind", "body", "status"), BROKEN.values(), ids=BROKEN)
def test_what_is_no_message(
    program: Program, reception: Reception, query: str, kind: str, body: bytes, status: int
) -> None:
    key = program.key(Scope.SUBMIT, name="app")
    answer = program.send(
        "POST", f"/messages{query}", key=key, body=body, headers={"Content-Type": kind}
    )
    assert (answer.status, answer.headers["content-type"]) == (status, "application/problem+json")
    assert not reception.intake.messages


def test_a_key_sends_as_its_senders(program: Program, reception: Reception) -> None:
    """In the envelope and in the From field."""
    key = program.key(Scope.SUBMIT, name="few", senders=("@app.test",))
    good: list[tuple[str, Any]] = [("", MAIL), ("", {**MAIL, "envelope": {"from": ""}})]
    bad: list[tuple[str, Any]] = [
        ("", {**MAIL, "from": "a@else.test"}),
        ("", {**MAIL, "from": "a@sub.app.test"}),
        ("", {**MAIL, "envelope": {"from": "a@else.test"}}),
        ("", {**MAIL, "headers": {"sender": "a@else.test"}}),
    ]
    for status, cases in ((202, good), (403, bad)):
        for query, told in cases:
            answer = program.send("POST", f"/messages{query}", told, key=key)
            assert answer.status == status, answer.body
    query = "?from=a@else.test&rcpt=a@x.test"
    answer = program.send("POST", f"/messages{query}", key=key, body=CONTENT, headers=RFC822)
    assert answer.status == 403
    assert len(reception.intake.messages) == len(good)


AS_IT_IS = {
    "a sender of the key": (b"From: a@app.test\nSender: b@app.test\n", 202),
    "another author": (b"From: Shop <a@else.test>\n", 403),
    "one of two": (b"From: a@app.test, a@else.test\n", 403),
    "one of two fields": (b"From: a@app.test\nfrom: a@else.test\n", 403),
    "a name that looks like one": (b'From: "a@app.test" <a@else.test>\n', 403),
    "another sender": (b"From: a@app.test\nSender: a@else.test\n", 403),
    "no author": (b"Subject: x\n", 422),
    "nothing that can be read": (b"From: a@app.test <a@app.test> <a@else.test>\n", 422),
}


@pytest.mark.parametrize(("header", "status"), AS_IT_IS.values(), ids=AS_IT_IS)
def test_a_message_as_it_is_says_that_it_is_from_the_senders_of_its_key(
    program: Program, reception: Reception, header: bytes, status: int
) -> None:
    """Only a key that is not narrowed may say anything."""
    for name, senders, wanted in (("few", ("@app.test",), status), ("any", (), 202)):
        key = program.key(Scope.SUBMIT, name=name, senders=senders)
        query, body = "?from=b@app.test&rcpt=a@x.test", header + b"\nHello.\n"
        answer = program.send("POST", f"/messages{query}", key=key, body=body, headers=RFC822)
        assert answer.status == wanted, answer.body
    assert len(reception.intake.messages) == (2 if status == 202 else 1)


@pytest.mark.usefixtures("reception")
def test_a_key_has_its_rate(program: Program) -> None:
    key = program.key(Scope.SUBMIT, name="slow", requests_per_minute=2)
    answers = [program.send("POST", "/messages", MAIL, key=key) for _ in range(3)]
    assert [each.status for each in answers] == [202, 202, 429]
    assert answers[0].headers["ratelimit"] == '"minute";r=1;t=0'
    assert answers[2].headers["ratelimit-policy"] == '"minute";q=2;w=60'
    assert 1 <= int(answers[2].headers["retry-after"]) <= 30
    assert answers[2].json["type"] == "urn:relayd:problem:too-many"


def test_while_no_daemon_runs_it_is_for_later(program: Program) -> None:
    answer = post(program)
    assert (answer.status, answer.json["type"]) == (503, "urn:relayd:problem:unavailable")
    assert int(answer.headers["retry-after"]) > 0


def test_what_the_daemon_cannot_take_now_is_for_later(
    program: Program, reception: Reception
) -> None:
    reception.intake.is_full = True
    answer = post(program)
    assert (answer.status, answer.json["type"]) == (503, "urn:relayd:problem:unavailable")
    assert answer.json["detail"].startswith("452")


def test_no_answer_to_the_dot_is_unknown(program: Program, folder: Path) -> None:
    """By a daemon that takes the message and goes."""
    path = folder / "console.smtp"
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(path))
        listening.listen()
        thread = threading.Thread(target=_take_and_leave, args=(listening,))
        thread.start()
        try:
            answer = post(program, headers={"Idempotency-Key": "order-9"})
        finally:
            thread.join(15)
            path.unlink()
    assert (answer.status, answer.json["type"]) == (504, "urn:relayd:problem:outcome-unknown")
    assert "same Idempotency-Key" in answer.json["detail"]


def _take_and_leave(listening: socket.socket) -> None:
    connection, _ = listening.accept()
    with closing(connection), connection.makefile("rwb", buffering=0) as wire:
        wire.write(b"220 x\r\n")
        while line := wire.readline():
            verb = line[:4]
            if verb == b"DATA":
                wire.write(b"354 go\r\n")
                while wire.readline() != b".\r\n":
                    pass
                return
            wire.write(
                {b"EHLO": b"250 x\r\n", b"XCLI": b"220 x\r\n"}.get(verb, b"250 2.0.0 OK\r\n")
            )


def test_a_large_message_is_read_of_a_good_key_only(console: Console) -> None:
    """And not read at all of anybody else."""
    connection = http.client.HTTPConnection("127.0.0.1", console.port, timeout=15)
    with closing(connection):
        connection.putrequest("POST", f"{PREFIX}/messages")
        connection.putheader("Content-Type", "message/rfc822")
        connection.putheader("Content-Length", str(10**9))
        connection.endheaders()
        assert connection.getresponse().status == 401


def slow_ones(program: Program, console: Console, open_ones: ExitStack, *, number: int) -> None:
    """Begin messages that are large, and do not go on."""
    for _ in range(number):
        connection = http.client.HTTPConnection("127.0.0.1", console.port, timeout=15)
        open_ones.enter_context(closing(connection))
        connection.putrequest("POST", f"{PREFIX}/messages?from=a@x.test&rcpt=a@x.test")
        connection.putheader("Authorization", f"Bearer {program.key(Scope.SUBMIT, name='app')}")
        connection.putheader("Content-Type", "message/rfc822")
        connection.putheader("Content-Length", str(3_000_000))
        connection.endheaders(b"Subject: x\r\n")


def test_slow_large_messages_delay_no_small_one(
    program: Program, console: Console, reception: Reception, capsys: pytest.CaptureFixture[str]
) -> None:
    """More of them than are read at once; and that they leave is no error of ours."""
    with ExitStack() as slow:
        slow_ones(program, console, slow, number=10)
        assert post(program).status == 202
    assert len(reception.intake.messages) == 1
    assert post(program).status == 202
    assert "console_failed" not in capsys.readouterr().out


def test_slow_large_messages_of_a_key_delay_no_other_key(
    program: Program, console: Console, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A key has half of the places at most, however long it holds them."""
    monkeypatch.setattr(limits, "_BODY_GRACE", 600.0)
    body = b"Subject: x\r\n\r\n" + (b"y" * 998 + b"\r\n") * 1500
    with ExitStack() as slow, a_receiver(console, folder, message_size=3_000_000):
        slow_ones(program, console, slow, number=12)
        query = "?from=a@x.test&rcpt=a@x.test"
        answer = post(program, query=query, headers=RFC822, body=body, name="other")
        assert answer.status == 202, answer.body


def test_a_message_larger_than_other_bodies(
    program: Program, console: Console, folder: Path
) -> None:
    body = b"Subject: x\r\n\r\n" + (b"y" * 998 + b"\r\n") * 2500
    query = "?from=a@x.test&rcpt=a@x.test"
    with a_receiver(console, folder, message_size=3_000_000):
        answer = post(program, query=query, headers=RFC822, body=body)
        assert answer.status == 202, answer.body
    with a_receiver(console, folder, message_size=1_000_000):
        answer = post(program, query=query, headers=RFC822, body=body)
        assert (answer.status, answer.json["type"]) == (422, "urn:relayd:problem:refused")
