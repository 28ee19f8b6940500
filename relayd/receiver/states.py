"""The states of a session, and what may follow in each: the one table of the command machine.

A session is in one state at a time. A command, and what comes of it, are events; an event leads to a
state, or is refused with a reply, which leaves the state as it is or ends the session. A command that
is in order may still be refused for what it says: then nothing happens here.

In `DATA`, `HELD` and `CLOSING` no command is read: what comes is content, waits in the input, or is
dropped. So these rows have no commands. In `AUTH` every line is an answer, whatever it says.

`docs/states.md` has its diagram from this table (`.ci/diagrams`).

Source: RFC 5321 §4.1.4 (order of commands); RFC 3207 §4; RFC 4954 §4; RFC 3030 (BDAT, not offered).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum


class State(StrEnum):
    """What a session waits for."""

    CONNECTED = "connected"  # it was greeted; nobody has said hello
    READY = "ready"  # EHLO or HELO was said
    MAIL = "mail"  # MAIL was accepted
    RCPT = "rcpt"  # and one recipient at least
    AUTH = "auth"  # an answer to a challenge
    DATA = "data"  # the end of the content
    HELD = "held"  # something of ours: a handshake, a check, a question, a commit
    CLOSING = "closing"  # the client takes its last reply


class Event(StrEnum):
    """What happens in a session."""

    # Commands
    EHLO = "EHLO"
    HELO = "HELO"
    STARTTLS = "STARTTLS"
    AUTH = "AUTH"
    XCLIENT = "XCLIENT"
    MAIL = "MAIL"
    RCPT = "RCPT"
    DATA = "DATA"
    RSET = "RSET"
    NOOP = "NOOP"
    VRFY = "VRFY"
    EXPN = "EXPN"
    HELP = "HELP"
    QUIT = "QUIT"
    BDAT = "BDAT"
    HTTP = "HTTP request"
    UNKNOWN = "unknown command"
    # What comes of them
    CHALLENGED = "challenge"
    CREDENTIALS = "credentials"
    NO_LOGIN = "no login"  # cancelled or malformed
    QUESTION = "question"  # about a recipient, whose answer has to be waited for
    CONTENT_REFUSED = "content refused"
    MESSAGE_COMPLETE = "message complete"
    # What was waited for
    SECURED = "TLS begun"
    LOGIN_CHECKED = "login checked"
    FIRST_RECIPIENT_REFUSED = "first recipient refused"
    RECIPIENT_TAKEN = "recipient taken"  # or another one refused
    MESSAGE_ANSWERED = "message answered"
    CLOSED = "last reply"  # for whatever reason


@dataclass(frozen=True, slots=True)
class Refused:
    """The event is out of order, or none that we know."""

    reply: bytes
    closes: bool = False


LATER = (
    Event.SECURED,
    Event.LOGIN_CHECKED,
    Event.FIRST_RECIPIENT_REFUSED,
    Event.RECIPIENT_TAKEN,
    Event.MESSAGE_ANSWERED,
    Event.CLOSED,
)
"""What may happen while no line is read."""
COMMANDS = tuple(Event)[: tuple(Event).index(Event.CHALLENGED)]
READS_COMMANDS = frozenset({State.CONNECTED, State.READY, State.MAIL, State.RCPT})
READS_LINES = READS_COMMANDS | {State.AUTH}

_NO_HELLO = Refused(b"503 5.5.1 Send EHLO first\r\n")
_NO_MAIL = Refused(b"503 5.5.1 Send MAIL first\r\n")
_NO_RECIPIENT = Refused(b"554 5.5.1 No valid recipients\r\n")
_NESTED = Refused(b"503 5.5.1 Nested MAIL command\r\n")
_IN_MAIL = Refused(b"503 5.5.1 Not inside a mail transaction\r\n")
_ALWAYS: Mapping[Event, State | Refused] = {
    Event.EHLO: State.READY,
    Event.HELO: State.READY,
    Event.EXPN: Refused(b"502 5.5.1 EXPN is not offered\r\n"),
    Event.QUIT: State.CLOSING,
    Event.BDAT: Refused(b"502 5.5.1 BDAT is not offered\r\n", closes=True),  # S-43: content follows
    Event.HTTP: Refused(b"554 5.5.1 This is an SMTP server\r\n", closes=True),
    Event.UNKNOWN: Refused(b"500 5.5.1 Command not recognized\r\n"),
    Event.CLOSED: State.CLOSING,
}


def _staying(state: State) -> Mapping[Event, State]:
    return dict.fromkeys((Event.NOOP, Event.VRFY, Event.HELP), state)


TRANSITIONS: Mapping[State, Mapping[Event, State | Refused]] = {
    State.CONNECTED: {
        **_ALWAYS,
        **_staying(State.CONNECTED),
        Event.STARTTLS: State.HELD,
        Event.AUTH: _NO_HELLO,
        Event.XCLIENT: State.CONNECTED,  # then the HELO that the proxy passes on, if it does
        Event.MAIL: _NO_HELLO,
        Event.RCPT: _NO_MAIL,
        Event.DATA: _NO_MAIL,
        Event.RSET: State.CONNECTED,
    },
    State.READY: {
        **_ALWAYS,
        **_staying(State.READY),
        Event.STARTTLS: State.HELD,
        Event.AUTH: State.READY,
        Event.CHALLENGED: State.AUTH,
        Event.CREDENTIALS: State.HELD,  # with AUTH itself
        Event.NO_LOGIN: State.READY,
        Event.XCLIENT: State.CONNECTED,
        Event.MAIL: State.MAIL,
        Event.RCPT: _NO_MAIL,
        Event.DATA: _NO_MAIL,
        Event.RSET: State.READY,
    },
    State.MAIL: {
        **_ALWAYS,
        **_staying(State.MAIL),
        Event.STARTTLS: _IN_MAIL,
        Event.AUTH: _IN_MAIL,
        Event.XCLIENT: _IN_MAIL,
        Event.MAIL: _NESTED,
        Event.RCPT: State.RCPT,
        Event.QUESTION: State.HELD,
        Event.DATA: _NO_RECIPIENT,
        Event.RSET: State.READY,
    },
    State.RCPT: {
        **_ALWAYS,
        **_staying(State.RCPT),
        Event.STARTTLS: _IN_MAIL,
        Event.AUTH: _IN_MAIL,
        Event.XCLIENT: _IN_MAIL,
        Event.MAIL: _NESTED,
        Event.RCPT: State.RCPT,
        Event.QUESTION: State.HELD,
        Event.DATA: State.DATA,
        Event.RSET: State.READY,
    },
    State.AUTH: {
        Event.CHALLENGED: State.AUTH,
        Event.CREDENTIALS: State.HELD,
        Event.NO_LOGIN: State.READY,
        Event.CLOSED: State.CLOSING,
    },
    State.DATA: {
        Event.CONTENT_REFUSED: State.READY,
        Event.MESSAGE_COMPLETE: State.HELD,
        Event.CLOSED: State.CLOSING,
    },
    State.HELD: {
        Event.SECURED: State.CONNECTED,  # what was said before TLS is forgotten
        Event.LOGIN_CHECKED: State.READY,
        Event.FIRST_RECIPIENT_REFUSED: State.MAIL,
        Event.RECIPIENT_TAKEN: State.RCPT,
        Event.MESSAGE_ANSWERED: State.READY,
        Event.CLOSED: State.CLOSING,
    },
    State.CLOSING: dict.fromkeys(LATER, State.CLOSING),  # it no longer matters
}
