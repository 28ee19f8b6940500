"""The transition table of a session, each pair of it, against a session on a clock moved by hand."""

from collections.abc import Iterator
from dataclasses import replace
from ipaddress import ip_network
from pathlib import Path

import pytest

from relayd.receiver.dialogue import Dialogue
from relayd.receiver.states import (
    COMMANDS,
    READS_COMMANDS,
    READS_LINES,
    TRANSITIONS,
    Event,
    Refused,
    State,
)
from relayd.receiver.users import Users
from relayd.settings import ListenerAuth, ListenerTls
from tests.support.accounts import lone_sources, write_users
from tests.support.clock import FakeClock
from tests.support.line import LISTENER, Line
from tests.support.receiving import ACCOUNTS

HELLO, MAIL, RCPT = b"EHLO a.test\r\n", b"MAIL FROM:<a@x.test>\r\n", b"RCPT TO:<b@y.test>\r\n"
WAYS = {
    State.CONNECTED: (),
    State.READY: (HELLO,),
    State.MAIL: (HELLO, MAIL),
    State.RCPT: (HELLO, MAIL, RCPT),
    State.AUTH: (HELLO, b"AUTH LOGIN\r\n"),
    State.DATA: (HELLO, MAIL, RCPT, b"DATA\r\n"),
    State.HELD: (HELLO, b"STARTTLS\r\n"),
    State.CLOSING: (b"QUIT\r\n",),
}
LINES = {event: event.encode() for event in COMMANDS} | {
    Event.EHLO: HELLO.strip(),
    Event.HELO: b"HELO a.test",
    Event.AUTH: b"AUTH LOGIN",
    Event.XCLIENT: b"XCLIENT NAME=c.test",
    Event.MAIL: MAIL.strip(),
    Event.RCPT: RCPT.strip(),
    Event.VRFY: b"VRFY a",
    Event.HTTP: b"GET / HTTP/1.1",
    Event.UNKNOWN: b"XYZZY",
}
EVERY_PAIR = [(state, event) for state in State for event in Event]


@pytest.fixture
def users(tmp_path: Path) -> Iterator[Users]:
    users = Users(str(write_users(tmp_path / "users", *ACCOUNTS)), FakeClock(), lone_sources())
    yield users
    users.close()


def a_session(state: State, users: Users) -> tuple[Line, Dialogue]:
    """A session in that state, where everything is offered."""
    listener = replace(
        LISTENER,
        auth=ListenerAuth.OPTIONAL,
        tls=ListenerTls.STARTTLS,
        xclient_networks=(ip_network("127.0.0.0/8"),),
    )
    line = Line(listener=listener, users=users)
    line.connect()
    line.say(*WAYS[state])
    dialogue = line.session._dialogue
    assert dialogue.state is state
    return line, dialogue


@pytest.mark.parametrize(("state", "event"), [each for each in EVERY_PAIR if each[1] in COMMANDS])
def test_each_command_does_what_the_table_says(users: Users, state: State, event: Event) -> None:
    """And where the table says nothing, no command is read."""
    line, dialogue = a_session(state, users)
    said = b"".join(line.say(LINES[event] + b"\r\n"))
    found = TRANSITIONS[state].get(event)
    if state is State.AUTH:
        assert said[:3] in (b"334", b"501"), "it is an answer, whatever it says"
    elif found is None:
        assert state not in READS_LINES
        assert (said, dialogue.state) == (b"", state)
    elif isinstance(found, Refused):
        assert said == found.reply
        assert dialogue.state is (State.CLOSING if found.closes else state)
    else:
        assert said[:1] in b"23"
        challenged = TRANSITIONS[found].get(Event.CHALLENGED) if event is Event.AUTH else None
        assert dialogue.state is (challenged or found)


@pytest.mark.parametrize(
    ("state", "event"), [each for each in EVERY_PAIR if each[1] not in COMMANDS]
)
def test_what_follows_is_in_the_table_or_a_bug(users: Users, state: State, event: Event) -> None:
    _, dialogue = a_session(state, users)
    found = TRANSITIONS[state].get(event)
    if found is None:
        with pytest.raises(KeyError):
            dialogue.move(event)
        assert dialogue.state is state
    else:
        dialogue.move(event)
        assert dialogue.state is found


def test_each_state_has_its_commands_or_none() -> None:
    for state, row in TRANSITIONS.items():
        assert row.keys() & set(COMMANDS) == (set(COMMANDS) if state in READS_COMMANDS else set())


@pytest.mark.parametrize("event", COMMANDS)
def test_the_table_rules(users: Users, monkeypatch: pytest.MonkeyPatch, event: Event) -> None:
    """The control: what it refuses is refused, whatever the command could do."""
    forbidden = Refused(b"503 5.5.1 Forbidden\r\n")
    line, dialogue = a_session(State.READY, users)
    row = {**TRANSITIONS[State.READY], event: forbidden}
    monkeypatch.setitem(TRANSITIONS, State.READY, row)
    assert line.say(LINES[event] + b"\r\n") == [forbidden.reply]
    assert dialogue.state is State.READY
