"""Words that are more than words, in every field that a stranger or an operator fills, and all that shows them.

Escapes and bidi marks for a terminal, lines for a log and a header, formulas for a spreadsheet, labels for Prometheus: in the name at
EHLO, sender, tag, subject, Message-ID, envelope id, original recipient, name of a user, reply of a server, reason of an operator. Pages are
`console/test_console_hostile.py`'s, webhooks' documents JSON.
"""

import csv
import email
import io
import json
import re
import sys
import urllib.request
from email.message import Message
from email.policy import default
from pathlib import Path

import pytest

from tests.support.besieged import Besieged, replies
from tests.support.daemon import ROOT, eventually
from tests.support.hostile_words import (
    BIDI,
    DEFERRED,
    ESCAPE,
    FORGED,
    LABEL,
    REFUSED,
    WORDS,
    what_acts,
)
from tests.support.terminal import on_terminal

SENDER = '"=1+1<script>{}%s"@sender.test'
_SGR = re.compile(r"\x1b\[[0-9;]*m|\x1b\[K|\x1b\[\?25[lh]")
_METRIC = re.compile(
    r'[a-z_]+(\{[a-z_]+="(?:[^"\\\n]|\\["\\n])*"(,[a-z_]+="(?:[^"\\\n]|\\["\\n])*")*\})? \S+'
)
_HEADER = re.sub("\r?\n", "\r\n ", WORDS).replace("\x00", "")


def _xtext(text: str) -> str:
    octets = text.encode()
    return "".join(
        chr(each) if 0x21 <= each <= 0x7E and each not in b"+=" else f"+{each:02X}"
        for each in octets
    )


@pytest.fixture(scope="module")
def told(besieged: Besieged) -> str:
    """Have all of it said, by a client, a server and an operator; return the id of the message."""
    content = f"From: a\r\nX-Relayd-Tag: {_HEADER}\r\nSubject: {_HEADER}\r\nMessage-ID: <{BIDI}{ESCAPE}@x>\r\n\r\nx\r\n.\r\n"
    with besieged.raw(besieged.daemon.port) as sock:
        said = replies(
            sock,
            f"EHLO {BIDI}=1+1 <script>\u009b31m\r\n".encode(),
            f"MAIL FROM:<{SENDER}> RET=FULL ENVID={_xtext(FORGED)}\r\n".encode(),
            f"RCPT TO:<{REFUSED}> ORCPT=rfc822;{_xtext(FORGED + LABEL + ESCAPE + BIDI)}\r\n".encode(),
            f"RCPT TO:<{DEFERRED}> NOTIFY=FAILURE\r\n".encode(),
            b"DATA\r\n",
            content.encode(),
        )
    assert said[-1].startswith(b"250 2.0.0 OK queued as "), said
    queue_id = said[-1].rpartition(b" ")[2].decode()
    daemon = besieged.daemon
    eventually(lambda: daemon.statuses().get(REFUSED) == "bounced", "refused")
    eventually(lambda: daemon.statuses().get(DEFERRED) == "deferred", "deferred")
    reason = WORDS.replace("\x00", "")
    for words in (
        ("queue", "hold", queue_id, "--reason", reason),
        ("addresses", "suppress", "suppressed@hostile.test", "--reason", reason),
        ("pause", "--tag", "never", "--delivery", "--reason", reason),
    ):
        daemon.run(*words)  # it may be refused: then it is shown nowhere
    with besieged.at(besieged.public, "127.0.9.1") as client:  # a name of a user
        client.docmd("AUTH", "PLAIN AD0xKzHigK4bWzJKDQoAeA==")
    return queue_id


COMMANDS = [
    ("status", "--limit", "0"),
    ("status", "ID"),
    ("status", "ID", "--explain"),
    ("queue", "list"),
    *(("queue", "list", "--by", each) for each in ("sender", "tag", "destination")),
    *(("stats", "--by", each) for each in ("sender", "tag", "client", "category")),
    ("addresses",),
    ("log",),
    ("pauses",),
    ("sites",),
    ("top", "--once"),
    ("route", REFUSED, "--sender", SENDER),
    ("user", "list"),
]


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_no_command_shows_what_acts(
    besieged: Besieged, told: str, command: tuple[str, ...]
) -> None:
    """In a pipe and as JSON, which says what was said; `queue cat` alone gives octets as they are."""
    words = [told if each == "ID" else each for each in command]
    ran = besieged.daemon.run(*words)
    assert not what_acts(ran.out + ran.err)
    if "--once" not in words:  # it looks twice, with seconds between
        ran = besieged.daemon.run(*words, "--json")
        assert not what_acts(ran.out + ran.err)
        for line in ran.out.splitlines():
            json.loads(line)


@pytest.mark.parametrize("command", [("status",), ("addresses",), ("log",), ("queue", "list"), ("pauses",)], ids=" ".join)  # fmt: skip
def test_no_cell_is_a_formula_in_any_spreadsheet(
    besieged: Besieged, told: str, command: tuple[str, ...]
) -> None:
    """Nor where semicolons or tabs set cells apart, as in half of Europe."""
    assert told
    out = besieged.daemon.run(*command, "--csv").out
    assert "HYPERLINK" in out or command == ("pauses",)
    for delimiter in ",;\t":
        for row in csv.reader(io.StringIO(out), delimiter=delimiter):
            assert not [cell for cell in row if cell.startswith(("=", "+", "-", "@"))], row


def test_a_terminal_gets_colours_of_ours_alone(besieged: Besieged, told: str) -> None:
    file = str(besieged.daemon.file)
    for words in (("status",), ("status", told)):
        _, shown = on_terminal(
            [sys.executable, "-m", "relayd", "-c", file, *words], columns=120, PYTHONPATH=str(ROOT)
        )
        text = _SGR.sub("", shown.decode()).replace("\r\n", "\n")
        assert "HYPERLINK" in text or "hostile.test" in text
        assert not what_acts(text), words


def test_each_line_of_a_log_is_one_of_ours(besieged: Besieged, told: str) -> None:
    assert told
    for file in (besieged.daemon.log, besieged.daemon.status_log):
        text = file.read_text()
        assert not what_acts(text)
        for line in text.splitlines():
            assert json.loads(line)["event"] != "forged"
    assert "HYPERLINK" in besieged.daemon.status_log.read_text()


def test_no_word_makes_a_metric(besieged: Besieged, told: str) -> None:
    assert told
    with urllib.request.urlopen(f"http://127.0.0.1:{besieged.metrics}/metrics", timeout=10) as page:
        text = page.read().decode()
    assert not what_acts(text)
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    assert len(lines) > 50
    assert not [line for line in lines if not _METRIC.fullmatch(line)]
    assert not [line for line in lines if line.startswith("forged")]


def test_a_report_has_the_fields_and_parts_that_it_should_have(
    besieged: Besieged, told: str, tmp_path: Path
) -> None:
    """The reply, the envelope id and the original recipient are one field each, and the message that comes back is a part."""
    assert told
    del tmp_path

    def report() -> bytes | None:
        found = [each.content for each in besieged.smarthost.messages if SENDER in str(each.rcpts)]
        return found[0] if found else None

    octets = eventually(report, "the report")
    assert octets is not None
    message = email.message_from_bytes(octets, policy=default)
    parts = list(message.walk())
    assert [each.get_content_type() for each in parts] == [
        "multipart/report",
        "text/plain",
        "message/delivery-status",
        "text/plain",
        "text/plain",
        "text/rfc822-headers",
    ]
    outside: list[Message] = [message, *parts[1:5]]
    assert not [name for each in outside for name in each if "forged" in name.lower()]
    ours = octets.partition(b"Content-Type: text/rfc822-headers")[0].decode()
    assert not what_acts(ours.replace("\r\n", "\n"))
