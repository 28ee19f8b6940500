"""Late bounces in a real relay: out with signed return paths, back through a listener, on record.

The servers that bring mail back are strangers: they use a listener whose networks they are not in.
"""

import re
import signal
import smtplib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from relayd.mail.reply import Stage, make_reply
from relayd.mail.words import Category
from relayd.policy.dsn import DsnFacts, FailedRecipient, compose
from relayd.ports.view import Query, RecipientRow, Status
from tests.support.daemon import (
    CEILING,
    Daemon,
    SmarthostThread,
    a_daemon,
    a_smarthost,
    eventually,
    without_trace,
)
from tests.support.ports import free_port
from tests.support.scripted_server import Message

DOMAIN = "bounces.relay.test"
PATH = re.compile(rf"FROM:<(b\+[0-9a-z]+@{re.escape(DOMAIN)})>(?: |$)")
ORIGINAL = b"From: <app@app.test>\r\nSubject: Hello\r\n\r\nHello.\r\n"
SETTINGS = """\
[bounces]
verp_domain = "Bounces.Relay.test"
refuse_suppressed = true
complaints = ["FBL@relay.test"]
refuse_complained = true
[[listen]]
address = "127.0.0.1:{port}"
networks = ["192.0.2.0/24"]
"""

QMAIL = b"""\
From: MAILER-DAEMON@mx.x.test
To: nobody in particular
Subject: failure notice

Hi. This is the qmail-send program at mx.x.test.
I'm afraid I wasn't able to deliver your message to the following addresses.
This is a permanent error; I've given up. Sorry it didn't work out.

<{address}>:
192.0.2.1 does not like recipient.
Remote host said: 550 5.1.1 no such user
Giving up on 192.0.2.1.

--- Below this line is a copy of the message.

Subject: Hello

Hello.
""".replace(b"\n", b"\r\n")

AUTOREPLY = b"""\
From: <away@x.test>
To: <app@app.test>
Subject: Out of office: Hello
Auto-Submitted: auto-replied

I am away. 550 5.1.1 is a number I have seen in a bounce.
""".replace(b"\n", b"\r\n")

COMPLAINT = b"""\
From: <feedback@x.test>
To: <abuse@relay.test>
Subject: FW: Hello
MIME-Version: 1.0
Content-Type: multipart/report; report-type=feedback-report; boundary="cut"

--cut
Content-Type: text/plain

This is a report of unwanted mail.

--cut
Content-Type: message/feedback-report

Feedback-Type: abuse
User-Agent: Feedback/1
Version: 1

--cut
Content-Type: message/rfc822

From: <app@app.test>
Subject: Hello

Hello.

--cut--
""".replace(b"\n", b"\r\n")


def a_qmail(address: str) -> bytes:
    return QMAIL.replace(b"{address}", address.encode())


def a_dsn(address: str) -> bytes:
    """A report as another relayd would write it."""
    now = datetime(2026, 3, 1, 12, tzinfo=UTC)
    facts = DsnFacts(
        reporting_mta="mx.x.test",
        queue_id="0CNA0NJ6E0401",
        reverse_path="app@app.test",
        envelope_id=None,
        received_at=now,
        received_from=None,
        ret=None,
        needs_utf8=False,
        now=now,
        token="token",
    )
    failed = FailedRecipient(
        address=address,
        orig_rcpt=None,
        action="failed",
        status="5.1.1",
        remote_host="mx.x.test",
        reply=make_reply(550, ("5.1.1 no such user",)),
        reason="no such user",
        stage=Stage.RCPT,
        category=Category.BAD_MAILBOX,
        is_direct=True,
        possible_duplicate=False,
        last_attempt_at=now,
        will_retry_until=None,
    )
    return compose(facts, [failed], ORIGINAL, full_copy_limit=10_000)


@dataclass(frozen=True, slots=True)
class Relay:
    """A running daemon with its smarthost, and the way back into it."""

    daemon: Daemon
    smarthost: SmarthostThread
    port: int  # for strangers

    def relayed(self, *addresses: str) -> str:
        """Submit a message; return its id when all of it was handed on."""
        queue_id = self.daemon.send(*addresses)
        eventually(
            lambda: all(self.row(one).status is Status.RELAYED for one in addresses), "relayed"
        )
        return queue_id

    def row(self, address: str) -> RecipientRow:
        return self.daemon.rows(Query(recipient=(address,)))[0]

    def copies(self, address: str) -> list[Message]:
        """What the smarthost has for an address."""
        return [one for one in self.smarthost.messages if one.rcpts == (f"TO:<{address}>",)]

    def return_path(self, address: str) -> str:
        """The reverse-path of what left for an address."""
        [copy] = self.copies(address)
        found = PATH.match(copy.mail)
        assert found, copy.mail
        return found[1]

    def bring(self, path: str, content: bytes, sender: str = "") -> tuple[int, str]:
        """Bring a mail back as another server does; return the reply that decided."""
        with smtplib.SMTP("127.0.0.1", self.port, "mx.x.test", CEILING) as client:
            client.ehlo()
            client.mail(sender)
            code, text = client.rcpt(path)
            if code == 250:
                code, text = client.data(content)
            return code, text.decode()

    def bring_back(self, path: str, content: bytes, sender: str = "") -> None:
        """Bring a mail back, and see the application's sender get it from the null reverse-path."""
        before = len(self.copies("app@app.test"))
        code, text = self.bring(path, content, sender)
        assert code == 250, text
        eventually(lambda: len(self.copies("app@app.test")) > before, "handed on")
        [copy] = self.copies("app@app.test")[before:]
        assert copy.mail.startswith("FROM:<>")
        assert without_trace(copy.content) == content
        queue_id = text.rpartition(" ")[2]
        assert self.logged(queue_id, "app@app.test", "received")["from"] == ""

    def history(self, queue_id: str, address: str) -> list[dict[str, Any]]:
        [told] = [
            row
            for row in self.daemon.run("status", "show", queue_id, "--json").rows
            if row["rcpt"] == address
        ]
        history: list[dict[str, Any]] = told["history"]
        return history

    def logged(self, queue_id: str, address: str, event: str) -> dict[str, Any]:
        """The one line of the status log; each worker writes its own, in no common order."""

        def found() -> list[dict[str, Any]]:
            wanted = (queue_id, address, event)
            lines = self.daemon.log_lines()
            return [
                one
                for one in lines
                if (one.get("queue_id"), one.get("rcpt"), one["event"]) == wanted
            ]

        [line] = eventually(found, f"{event} in the log")
        return line


@pytest.fixture(scope="module")
def relay(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Relay]:
    port = free_port()
    folder = tmp_path_factory.mktemp("relay")
    with (
        a_smarthost() as smarthost,
        a_daemon(folder, smarthost.port, smarthost_more=SETTINGS.format(port=port)) as daemon,
    ):
        yield Relay(daemon, smarthost, port)
        assert daemon.stop() == 0
        assert {one["exit_code"] for one in daemon.events("worker_ended")} == {0}


def test_every_recipient_has_a_return_path_of_its_own(relay: Relay) -> None:
    """The next hop sees it; the history and the log keep the reverse-path as it came in."""
    addresses = [f"own{number}@x.test" for number in range(5)]
    queue_id = relay.relayed(*addresses)
    assert len({relay.return_path(one) for one in addresses}) == 5
    [content] = {relay.copies(one)[0].content for one in addresses}
    assert without_trace(content) == b"Subject: Hello\r\n\r\nHello.\r\n"
    assert {relay.row(one).reverse_path for one in addresses} == {"app@app.test"}
    for one in addresses:
        assert relay.logged(queue_id, one, "relayed")["from"] == "app@app.test"


@pytest.mark.parametrize("shape", ["dsn", "qmail"])
@pytest.mark.parametrize("change", [str, str.upper], ids=["as it left", "case changed"])
def test_a_late_bounce_changes_the_status(relay: Relay, shape: str, change: Any) -> None:
    """The return path says whom it is about; the mail has to say so too."""
    address, other = (f"{name}-{shape}-{change.__name__}@x.test" for name in ("gone", "good"))
    queue_id = relay.relayed(other, address)
    content = a_dsn(address) if shape == "dsn" else a_qmail(address)
    relay.bring_back(change(relay.return_path(address)), content)
    row = relay.row(address)
    assert (row.status, row.bounce_class, row.category, row.suppress, row.enhanced) == (
        Status.BOUNCED,
        "hard",
        "bad_mailbox",
        True,
        "5.1.1",
    )
    assert relay.row(other).status is Status.RELAYED
    last = relay.history(queue_id, address)[-1]
    line = relay.logged(queue_id, address, "late_bounced")
    for told in (last, line):
        assert (told["event"], told["bounce_class"], told["category"], told["suppress"]) == (
            "late_bounced",
            "hard",
            "bad_mailbox",
            True,
        )
        assert "no such user" in told["reason"]
    assert line["status"] == "bounced"
    [summed] = relay.daemon.run("addresses", "--recipient", address, "--json").rows
    assert (summed["suppress"], summed["hard_bounces"]) == (True, 1)
    assert summed["suppress_for"] == ["app@app.test"]
    assert "no such user" in summed["reply"]


def test_a_late_bounce_suppresses_for_its_sender_only(relay: Relay) -> None:
    """It may be made up: then it harms nobody else. An operator lifts it as any other."""
    relay.relayed("moved@x.test")
    relay.bring_back(relay.return_path("moved@x.test"), a_dsn("moved@x.test"))

    def said(sender: str) -> int:
        with smtplib.SMTP("127.0.0.1", relay.daemon.port, "app.test", CEILING) as client:
            client.ehlo()
            client.mail(sender)
            return client.rcpt("Moved@x.test")[0]

    senders = ("app@app.test", "App@APP.test", "shop@app.test", "app@other.test", "")
    assert [said(one) for one in senders] == [550, 550, 250, 250, 250]
    shown = relay.daemon.run("addresses", "--recipient", "moved@x.test").out
    assert "for app@app.test" in shown
    relay.daemon.run("addresses", "--unsuppress", "moved@x.test")
    assert said("app@app.test") == 250


def test_a_second_bounce_changes_nothing(relay: Relay) -> None:
    """But it is the sender's to read."""
    queue_id = relay.relayed("twice@x.test")
    path = relay.return_path("twice@x.test")
    relay.bring_back(path, a_dsn("twice@x.test"))
    before, history = relay.row("twice@x.test"), relay.history(queue_id, "twice@x.test")
    relay.bring_back(path, a_qmail("twice@x.test"))
    assert relay.row("twice@x.test") == before
    assert relay.history(queue_id, "twice@x.test") == history


@pytest.mark.parametrize(
    ("content", "sender", "event"),
    [
        pytest.param(AUTOREPLY, "away@x.test", None, id="an automatic answer"),
        pytest.param(AUTOREPLY, "", None, id="an automatic answer from nobody"),
        pytest.param(ORIGINAL, "person@x.test", None, id="a person"),
        pytest.param(COMPLAINT, "feedback@x.test", "complained", id="a complaint"),
    ],
)
def test_other_mail_leaves_the_status(
    relay: Relay, request: pytest.FixtureRequest, content: bytes, sender: str, event: str | None
) -> None:
    address = f"{request.node.callspec.id.replace(' ', '-')}@x.test"
    queue_id = relay.relayed(address)
    before = relay.row(address)
    relay.bring_back(relay.return_path(address), content, sender)
    assert relay.row(address) == before
    kinds = [entry["event"] for entry in relay.history(queue_id, address)]
    assert kinds == ["received", "relayed", *([event] if event else [])]
    for kind in kinds:
        assert relay.logged(queue_id, address, kind)["from"] == "app@app.test"


@pytest.mark.parametrize(
    ("named", "sender", "why"),
    [
        pytest.param("forged1@x.test", "mallory@y.test", "sender", id="from an address"),
        pytest.param("somebody.else@y.test", "", "recipient", id="about another"),
    ],
)
def test_what_may_be_forged_changes_nothing(
    relay: Relay, named: str, sender: str, why: str
) -> None:
    """Whoever has the mail knows its return path, and so does everybody behind its recipient."""
    address = "forged1@x.test" if why == "sender" else "forged2@x.test"
    queue_id = relay.relayed(address)
    before = relay.row(address)
    for content in (a_dsn(named), a_qmail(named)):
        relay.bring_back(relay.return_path(address), content, sender)
    assert relay.row(address) == before
    history = relay.history(queue_id, address)
    assert [entry["event"] for entry in history][-2:] == ["late_bounce_doubted"] * 2
    assert {entry["not_counted"] for entry in history[-2:]} == {why}
    assert relay.daemon.run("status", "show", queue_id).out.count("not counted: this mail") == 2
    [summed] = relay.daemon.run("addresses", "--recipient", address, "--json").rows
    assert (summed["suppress"], summed["hard_bounces"]) == (False, 0)


def test_a_flood_to_one_return_path_is_refused(relay: Relay) -> None:
    """By all workers together, on as many connections as there are."""
    relay.relayed("flooded@x.test")
    path = relay.return_path("flooded@x.test")
    before = len(relay.copies("app@app.test"))
    with ThreadPoolExecutor(20) as pool:
        replies = list(pool.map(lambda _: relay.bring(path, AUTOREPLY)[0], range(200)))
    assert {code: replies.count(code) for code in set(replies)} == {250: 3, 450: 197}
    relay.relayed("behind@x.test")
    eventually(lambda: len(relay.copies("app@app.test")) >= before + 3, "handed on")
    assert len(relay.copies("app@app.test")) == before + 3
    assert relay.daemon.events("return_path_spent")


def test_the_sender_learns_no_token(relay: Relay) -> None:
    """Of a report that quotes it; and `Received` of the copy names no recipient."""
    relay.relayed("secret@x.test")
    path = relay.return_path("secret@x.test")
    before = len(relay.copies("app@app.test"))
    report = a_dsn("secret@x.test").replace(b"Subject: Hello", b"Return-Path: <%b>" % path.encode())
    assert path.encode() in report
    assert relay.bring(path, report)[0] == 250
    eventually(lambda: len(relay.copies("app@app.test")) > before, "handed on")
    [copy] = relay.copies("app@app.test")[before:]
    assert path.partition("@")[0].encode() not in copy.content
    assert b"for <" not in copy.content


def test_what_was_made_up_is_refused(relay: Relay) -> None:
    """As is everything else that a stranger asks for."""
    relay.relayed("real@x.test", "real2@x.test")
    before = relay.daemon.rows()
    path = relay.return_path("real@x.test")
    local, _, domain = path.partition("@")
    forged = local[:-1] + ("0" if local[-1] != "0" else "1")
    swapped = local[:23] + relay.return_path("real2@x.test")[23:].partition("@")[0]
    for wrong in (forged, swapped, local[:-1], "b+1", "postmaster"):
        assert relay.bring(f"{wrong}@{domain}", QMAIL) == (550, "5.1.1 No such return path")
    assert relay.bring(f"{local}@x.test", QMAIL)[0] == 550
    assert relay.bring("real@x.test", QMAIL) == (550, "5.7.1 Relaying denied for your address")
    assert relay.daemon.rows() == before


def test_return_paths_outlive_the_daemon(relay: Relay) -> None:
    """The secret is in the store: another worker of another run reads what this one made."""
    relay.relayed("restart@x.test")
    path = relay.return_path("restart@x.test")
    relay.daemon.signal(signal.SIGTERM)
    assert relay.daemon.end() == 0
    relay.daemon.up()
    relay.bring_back(path, a_qmail("restart@x.test"))
    assert relay.row("restart@x.test").status is Status.BOUNCED


def test_without_the_domain_mail_leaves_as_it_came(tmp_path: Path) -> None:
    with a_smarthost() as smarthost, a_daemon(tmp_path, smarthost.port, workers=1) as daemon:
        daemon.send("a@x.test", "b@x.test")
        [message] = smarthost.received(1)
        assert message.mail.startswith("FROM:<app@app.test>")
        assert message.rcpts == ("TO:<a@x.test>", "TO:<b@x.test>")
        assert daemon.stop() == 0


def test_a_complaint_to_the_address_for_all_finds_its_recipient(relay: Relay) -> None:
    """By the return path in the mail that it encloses; the address is suppressed for that sender."""
    address = "unhappy@x.test"
    queue_id = relay.relayed(address)
    path = relay.return_path(address)
    enclosed = f"Return-Path: <{path}>\r\nFrom: <app@app.test>".encode()
    complaint = COMPLAINT.replace(b"From: <app@app.test>", enclosed)
    before = len(relay.copies("app@app.test"))
    assert relay.bring("fbl@relay.test", complaint, "feedback@y.test")[0] == 250
    eventually(lambda: len(relay.copies("app@app.test")) > before, "handed on")
    kinds = [entry["event"] for entry in relay.history(queue_id, address)]
    assert kinds == ["received", "relayed", "complained"]
    assert relay.logged(queue_id, address, "complained")["feedback_type"] == "abuse"
    with relay.daemon.client() as client:
        client.ehlo()
        client.mail("app@app.test")
        assert client.rcpt(address)[0] == 550
        client.rset()
        client.mail("other@app.test")
        assert client.rcpt(address)[0] == 250


@pytest.mark.parametrize("what", ["no path", "a forged path", "no complaint"])
def test_nothing_else_is_taken_there(relay: Relay, what: str) -> None:
    address = f"{what.replace(' ', '-')}@x.test"
    queue_id = relay.relayed(address)
    path = relay.return_path(address)
    forged = path.replace(path[-len(DOMAIN) - 2], "0" if path[-len(DOMAIN) - 2] != "0" else "1")
    content = {
        "no path": COMPLAINT,
        "a forged path": COMPLAINT.replace(
            b"From: <app@", f"Return-Path: {forged}\r\nX: @".encode()
        ),
        "no complaint": f"Subject: Hello\r\n\r\n{path}\r\n".encode(),
    }[what]
    code, text = relay.bring("fbl@relay.test", content, "feedback@y.test")
    assert code == 550
    assert "Not a complaint about a message of this relay" in text
    kinds = [entry["event"] for entry in relay.history(queue_id, address)]
    assert kinds == ["received", "relayed"]
