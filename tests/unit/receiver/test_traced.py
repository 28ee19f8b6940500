"""A session that is looked on: its lines in order, in whatever pieces they come, from whenever on."""

import base64
from collections.abc import Iterator
from ipaddress import ip_network
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from relayd.trace import Wanted, tracing
from relayd.trace.switch import TraceLine
from tests.support.line import Line

SECRET = "geheim4711"
WORDS = [SECRET, base64.b64encode(SECRET.encode()).decode()]
PLAIN = base64.b64encode(f"\0app\0{SECRET}".encode())
SAID = (
    b"EHLO app.test\r\n",
    b"AUTH PLAIN " + PLAIN + b"\r\n",
    b"AUTH LOGIN\r\n",
    base64.b64encode(SECRET.encode()) + b"\r\n",
    f"PASS {SECRET}\r\n".encode(),
    b"MAIL FROM:<app@x.test>\r\n",
    b"RCPT TO:<user@y.test>\r\n",
    b"RSET\r\n",
    b"QUIT\r\n",
)


class Follower:
    def __init__(self, network: str = "127.0.0.0/8") -> None:
        self.wanted: Wanted | None = Wanted(clients=(ip_network(network),))
        self.lines: list[TraceLine] = []

    def take(self, line: TraceLine) -> None:
        self.lines.append(line)

    @property
    def told(self) -> list[str]:
        arrows = {"smtp_sent": "->", "smtp_received": "<-"}
        return [f"{arrows[str(line['event'])]} {line['line']}" for line in self.lines]


@pytest.fixture
def line() -> Iterator[Line]:
    line = Line()
    yield line
    if not line.closed:
        line.session.connection_lost(None)


def test_lines_and_replies_are_told_in_their_order(line: Line) -> None:
    follower, stranger = Follower(), Follower("192.0.2.0/24")
    tracing.add(follower)
    tracing.add(stranger)
    try:
        line.connect()
        line.say(b"HELO app.test\r\n")
        line.say(b"EHLO app.test\r\n")
        line.say(b"MAIL FROM:<app@x.test>\r\nRCPT TO:<user@y.test>\r\nRC", b"PT TO:<x\r\n")
        line.say(b"QUIT\r\n")
    finally:
        tracing.remove(follower)
        tracing.remove(stranger)
    told = [each.partition("\n")[0] for each in follower.told]
    assert told[0].startswith("-> 220 ")
    assert told[3:5] == ["<- EHLO app.test", told[4]]
    assert told[5:] == [
        "<- MAIL FROM:<app@x.test>",
        "-> 250 2.1.0 OK",
        "<- RCPT TO:<user@y.test>",
        "-> 250 2.1.5 OK",
        "<- RCPT TO:<x",
        told[10],
        "<- QUIT",
        "-> 221 2.0.0 Bye",
    ]
    assert not stranger.lines


@settings(max_examples=60)
@given(cuts=st.lists(st.integers(0, 200), max_size=6), since=st.integers(0, len(SAID)))
def test_no_secret_is_told_whatever_the_pieces_and_the_beginning(
    cuts: list[int], since: int
) -> None:
    """Each line in pieces; somebody comes before any of them, and another one later."""
    line, follower = Line(), Follower()
    line.connect()
    try:
        for number, said in enumerate(SAID):
            if number == since:
                tracing.add(follower)
            ends = sorted({0, len(said), *(cut for cut in cuts if cut < len(said))})
            for start, end in pairwise(ends):
                line.say(said[start:end])
    finally:
        tracing.remove(follower)
        if not line.closed:
            line.session.connection_lost(None)
    text = "\n".join(follower.told)
    assert not [word for word in (*WORDS, PLAIN.decode()) if word in text]
    assert bool(follower.lines) == (since < len(SAID))
