"""The command machine: a line in, replies and an effect out.

Pure but for the questions that it asks of `Intake`: no socket, no clock, no task. The order of commands
is `states.TRANSITIONS`; what each command means is in `hello`, `login` and `transfer`. The
transport (`wire`) calls

1. `receive` with each command line, while the state reads lines,
2. `content_complete` or `content_hopeless`, while `dialogue.content` is being read,
3. and, in the state `HELD`, the verb that the effect names (`effects`).

Then it sends what is owed, and carries out the effect.

Source: RFC 5321 §4.1, §4.3; RFC 2920 §3 (pipelining).
"""

import re
from collections.abc import Callable, Mapping

from relayd.mail.account import Account
from relayd.mail.address import Address
from relayd.mail.ids import MessageId, format_id
from relayd.mail.reply import Reply
from relayd.mail.words import Detail
from relayd.receiver import console, hello, login, transfer
from relayd.receiver.dialogue import ERROR_LIMIT, JUNK_LIMIT, Dialogue
from relayd.receiver.effects import AskAbout, Effect, Readmit
from relayd.receiver.states import COMMANDS, TRANSITIONS, Event, State

_NOT_OURS = frozenset({Event.BDAT, Event.HTTP, Event.UNKNOWN})
_LAST_OF_GROUP = frozenset(  # nothing may be sent behind it before its reply
    {
        Event.EHLO,
        Event.HELO,
        Event.DATA,
        Event.VRFY,
        Event.EXPN,
        Event.HELP,
        Event.NOOP,
        Event.STARTTLS,
        Event.AUTH,
        Event.XCLIENT,
    }
)
_WHOLE_LOGIN = re.compile(rb"(?i) *PLAIN +[^ ]")  # RFC 4954 §4: no challenge will follow
_JUNK = frozenset({Event.AUTH, Event.RSET, Event.NOOP, Event.VRFY, Event.EXPN, Event.HELP})
_EVENTS: Mapping[bytes, Event] = {
    **{event.encode(): event for event in COMMANDS if event not in (Event.HTTP, Event.UNKNOWN)},
    **dict.fromkeys((b"GET", b"POST", b"PUT", b"HEAD", b"CONNECT", b"OPTIONS"), Event.HTTP),
}


def _ends_its_group(event: Event, argument: bytes, *, extended: bool) -> bool:
    """Tell whether what was sent behind a command is a violation; behind QUIT it is just dropped."""
    if event in _NOT_OURS:
        return False
    if event is Event.AUTH and _WHOLE_LOGIN.match(argument):
        return not extended
    return event in _LAST_OF_GROUP or (not extended and event is not Event.QUIT)


def _noop(dialogue: Dialogue, argument: bytes, following: State) -> None:
    del argument, following  # RFC 5321 §4.1.1.9 ignores it
    dialogue.owed.append(b"250 2.0.0 OK\r\n")


def _vrfy(dialogue: Dialogue, argument: bytes, following: State) -> None:
    del following
    if argument:
        dialogue.owed.append(b"252 2.5.2 Cannot verify, but will try to deliver\r\n")
    else:
        dialogue.fail(b"501 5.5.4 Syntax: VRFY address\r\n")


def _help(dialogue: Dialogue, argument: bytes, following: State) -> None:
    del argument, following  # one text for all topics
    dialogue.owed.append(b"214 2.0.0 EHLO HELO MAIL RCPT DATA RSET NOOP VRFY HELP QUIT\r\n")


def _quit(dialogue: Dialogue, argument: bytes, following: State) -> None:
    del argument, following  # leaving is always allowed
    dialogue.close(b"221 2.0.0 Bye\r\n")


_REFUSALS: Mapping[Event, Callable[[Dialogue, bytes], bytes | None]] = {
    Event.STARTTLS: hello.refusal_of_starttls,
    Event.AUTH: login.refusal_of_auth,
    Event.XCLIENT: hello.refusal_of_xclient,
    Event.DATA: transfer.refusal_of_data,
}
"""What is refused before the order of commands is looked at."""
_HANDLERS: Mapping[Event, Callable[[Dialogue, bytes, State], Effect | None]] = {
    Event.EHLO: hello.ehlo,
    Event.HELO: hello.helo,
    Event.STARTTLS: hello.starttls,
    Event.AUTH: login.auth,
    Event.XCLIENT: hello.xclient_command,
    Event.MAIL: transfer.mail,
    Event.RCPT: transfer.rcpt,
    Event.DATA: transfer.data,
    Event.RSET: transfer.rset,
    Event.NOOP: _noop,
    Event.VRFY: _vrfy,
    Event.HELP: _help,
    Event.QUIT: _quit,
}


class Machine:
    """The machine of one session."""

    def __init__(self, dialogue: Dialogue) -> None:
        self.dialogue = dialogue

    def receive(self, line: bytes, *, is_followed: bool) -> Effect | None:
        """Carry out a line, given without its CRLF; `is_followed`: more has come in behind it."""
        dialogue = self.dialogue
        if dialogue.state is State.AUTH:
            return self._take_answer(line, is_followed=is_followed)
        effect: Effect | None = None
        verb, _, argument = line.partition(b" ")
        event = _EVENTS.get(verb.upper(), Event.UNKNOWN)
        following = TRANSITIONS[dialogue.state][event]
        if event in _JUNK:
            dialogue.junk += 1
        if is_followed and _ends_its_group(event, argument, extended=dialogue.client.extended):
            dialogue.close(b"554 5.5.0 Command pipelined before its turn\r\n")  # S-39
        elif event in _REFUSALS and (refusal := _REFUSALS[event](dialogue, argument)) is not None:
            dialogue.fail(refusal)
        elif isinstance(following, State):
            effect = _HANDLERS[event](dialogue, argument, following)
        elif following.closes:
            dialogue.close(following.reply)
        else:
            dialogue.fail(following.reply)
        if dialogue.junk > JUNK_LIMIT or dialogue.errors > ERROR_LIMIT:
            dialogue.tire()
        return effect

    def _take_answer(self, line: bytes, *, is_followed: bool) -> Effect | None:
        effect: Effect | None = None
        if is_followed:
            self.dialogue.close(b"554 5.5.0 Answer pipelined before its turn\r\n")  # S-39
        else:
            effect = login.answer(self.dialogue, line)
        self.dialogue.tire()
        return effect

    # --- content ------------------------------------------------------------------------------

    def content_complete(self) -> Effect | None:
        """Take the message whose end has come, or refuse it."""
        return transfer.content_complete(self.dialogue)

    def content_hopeless(self) -> None:
        """Refuse content that is too large even to wait for its end."""
        transfer.content_hopeless(self.dialogue)

    # --- what was waited for ------------------------------------------------------------------

    def secured(self) -> Readmit:
        return hello.secured(self.dialogue)

    def login_checked(self, result: Account | Reply) -> Readmit | None:
        return login.checked(self.dialogue, result)

    def recipient_judged(self, asked: AskAbout, refusal: Reply | None) -> None:
        transfer.recipient_judged(self.dialogue, asked.path, asked.taken, refusal)

    def message_stored(self, message_id: MessageId) -> None:
        self.dialogue.owed.append(b"250 2.0.0 OK queued as %b\r\n" % format_id(message_id).encode())
        self.dialogue.move(Event.MESSAGE_ANSWERED)

    def message_answered(self, line: bytes) -> None:
        """The message is stored, and its client is told what became of it."""
        self.dialogue.owed.append(line + b"\r\n")
        self.dialogue.move(Event.MESSAGE_ANSWERED)

    def message_known(self, first: MessageId | None) -> None:
        """A message came with its key before: it was this one, or another one if `first` is None."""
        self.dialogue.uncount()
        if first is None:
            self.dialogue.fail(console.OTHER_MESSAGE)
        else:
            queue_id = format_id(first).encode()
            self.dialogue.owed.append(b"250 2.0.0 OK queued as %b (again)\r\n" % queue_id)
        self.dialogue.move(Event.MESSAGE_ANSWERED)

    def message_left(self) -> None:
        """The client has hung up while its message was checked: nothing was taken."""
        self.dialogue.uncount()

    def message_refused(
        self, reply: Reply, *, sender: Address | None = None, more: Detail | None = None
    ) -> None:
        self.dialogue.uncount()
        self.dialogue.refuse(reply, sender=sender, more=more)
        self.dialogue.move(Event.MESSAGE_ANSWERED)
