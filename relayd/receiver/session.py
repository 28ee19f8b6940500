"""One client's SMTP session: what each command means.

Owns the mail and the order of commands; who the client is, `identity.Identity` knows. Decisions are
`relayd.policy.admit`'s, octets `wire.Wire`'s, the content `reader.DataReader`'s, durability is behind
`Intake`. A commit cannot be cancelled: a client that leaves meanwhile changes nothing (S-05, R-06).

Source: RFC 5321 §4.1, §4.3; RFC 2920 §3 (pipelining); RFC 2034 (enhanced codes); RFC 6531.
"""

import asyncio
import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, ClassVar

from relayd.errors import CommitUnknown, StoreFull
from relayd.mail.address import Address
from relayd.mail.envelope import (
    Client,
    MessageFacts,
    NewMessage,
    NewRecipient,
    format_id,
)
from relayd.mail.header import read_facts, trace_header
from relayd.mail.reply import Reply, SyntaxRefused
from relayd.mail.submission import facts_with, missing_fields
from relayd.policy import admit
from relayd.ports import Spool
from relayd.receiver.auth import Login
from relayd.receiver.commands import parse_mail, parse_rcpt
from relayd.receiver.identity import Identity
from relayd.receiver.reader import DataReader, Fault, Received
from relayd.receiver.transaction import NO_HISTORY, Transaction

JUNK_LIMIT = 100  # commands in a row that bring no mail along
ERROR_LIMIT = 100  # refused commands in a session
_ALONE = frozenset(b"EHLO HELO DATA VRFY EXPN HELP NOOP STARTTLS AUTH XCLIENT".split())
_WHOLE_LOGIN = re.compile(rb"(?i) *PLAIN +[^ ]")  # RFC 4954 §4: no challenge will follow
_HTTP = frozenset({b"GET", b"POST", b"PUT", b"HEAD", b"CONNECT", b"OPTIONS"})
_BARE = Reply(550, "5.6.0", ("5.6.0 Message has a bare CR, bare LF or NUL",))
_LONG_LINE = Reply(550, "5.6.0", ("5.6.0 Message has a line over 1 MiB",))

_NO_STORE = Reply(451, "4.3.0", ("4.3.0 Cannot store the message now, try again later",))
_FAULTS: Mapping[Fault, Reply] = {
    Fault.TOO_BIG: admit.TOO_BIG,
    Fault.LINE_ENDINGS: _BARE,
    Fault.LONG_LINE: _LONG_LINE,
    Fault.LONG_HEADER: Reply(552, "5.3.4", ("5.3.4 Header section too big",)),
    Fault.NO_ROOM: admit.NO_ROOM,
    Fault.NO_SPOOL: _NO_STORE,
}
_NO_ERRORS = (admit.SUPPRESSED, NO_HISTORY)  # of the client's: a list may meet many of these


class Session(Login):
    """Answers one client."""

    def execute(self, line: bytes) -> None:
        if self._answer is not None:
            self.take_answer(line)
        else:
            self._command(line)
        if self._junk > JUNK_LIMIT or self._errors > ERROR_LIMIT:
            self.close_with(b"421 4.7.0 Too many commands without mail\r\n")

    def _command(self, line: bytes) -> None:
        verb, _, argument = line.partition(b" ")
        verb = verb.upper()
        handler = self._handlers.get(verb)
        if handler is None:
            self._unknown(verb)
        elif self._input and self._ends_its_group(verb, argument):
            self.close_with(b"554 5.5.0 Command pipelined before its turn\r\n")  # S-39
        else:
            handler(self, argument)

    def _ends_its_group(self, verb: bytes, argument: bytes) -> bool:
        """Nothing may be sent behind it before its reply; what follows QUIT is just dropped."""
        if verb == b"AUTH" and _WHOLE_LOGIN.match(argument):
            return not self.extended
        return verb in _ALONE or (not self.extended and verb != b"QUIT")

    def _unknown(self, verb: bytes) -> None:
        if verb in _HTTP:
            self.close_with(b"554 5.5.1 This is an SMTP server\r\n")
        elif verb == b"BDAT":
            self.close_with(b"502 5.5.1 BDAT is not offered\r\n")  # S-43: what follows is content
        else:
            self._fail(b"500 5.5.1 Command not recognized\r\n")

    def _mail_command(self, argument: bytes) -> None:
        if not self.helo:
            self._fail(b"503 5.5.1 Send EHLO first\r\n")
            return
        if self._mail is not None:
            self._fail(b"503 5.5.1 Nested MAIL command\r\n")
            return
        if self._is_turned_away():
            return
        try:
            path, parameters = parse_mail(
                argument, extended=self.extended, takes_auth=self._offers_auth()
            )
        except SyntaxRefused as refused:
            self._refuse(refused.reply)
            return
        mail = Transaction(path, parameters)
        refusal = self._refusal_of_sender(path) or admit.admit_sender(
            path,
            smtputf8=mail.smtputf8,
            declared_size=int(parameters.get("SIZE", 0)),
            limits=self._context.limits,
            has_room=self._context.intake.has_room(),
        )
        if refusal is not None:
            self._refuse(refusal, sender=path)
            return
        self._mail = mail
        self.reply(b"250 2.1.0 OK\r\n")

    def _rcpt(self, argument: bytes) -> None:
        mail = self._mail
        if mail is None:
            self._fail(b"503 5.5.1 Send MAIL first\r\n")
            return
        try:
            path, parameters = parse_rcpt(argument, extended=self.extended, smtputf8=mail.smtputf8)
        except SyntaxRefused as refused:
            self._refuse(refused.reply, sender=mail.reverse_path)
            return
        refusal = mail.refusal_of(path, self._rules)
        if refusal is not None:
            self._refuse(
                refusal,
                sender=mail.reverse_path,
                recipient=path,
                is_error=refusal not in _NO_ERRORS,
            )
            return
        mail.recipients.append((path, parameters))
        self.reply(b"250 2.1.5 OK\r\n")

    def _data_command(self, argument: bytes) -> None:
        if argument:
            self._fail(b"501 5.5.4 Syntax: DATA\r\n")
        elif self._mail is None:
            self._fail(b"503 5.5.1 Send MAIL first\r\n")
        elif not self._mail.recipients:
            self._fail(b"554 5.5.1 No valid recipients\r\n")
        else:
            self._data = DataReader(
                size_limit=self._context.limits.message_size,
                line_endings=self._context.listener.line_endings,
                spool=self._context.intake.spool,
            )
            self.reply(b"354 End data with <CR><LF>.<CR><LF>\r\n")

    def _rset(self, argument: bytes) -> None:
        self._junk += 1
        if argument:
            self._fail(b"501 5.5.4 Syntax: RSET\r\n")
        else:
            self._mail = None
            self.reply(b"250 2.0.0 OK\r\n")

    def _noop(self, argument: bytes) -> None:  # noqa: ARG002 -- RFC 5321 §4.1.1.9 ignores it
        self._junk += 1
        self.reply(b"250 2.0.0 OK\r\n")

    def _vrfy(self, argument: bytes) -> None:
        self._junk += 1
        if argument:
            self.reply(b"252 2.5.2 Cannot verify, but will try to deliver\r\n")
        else:
            self._fail(b"501 5.5.4 Syntax: VRFY address\r\n")

    def _expn(self, argument: bytes) -> None:  # noqa: ARG002 -- refused whatever it asks
        self._junk += 1
        self._fail(b"502 5.5.1 EXPN is not offered\r\n")

    def _help(self, argument: bytes) -> None:  # noqa: ARG002 -- one text for all topics
        self._junk += 1
        self.reply(b"214 2.0.0 EHLO HELO MAIL RCPT DATA RSET NOOP VRFY HELP QUIT\r\n")

    def _quit(self, argument: bytes) -> None:  # noqa: ARG002 -- leaving is always allowed
        self.close_with(b"221 2.0.0 Bye\r\n")

    _handlers: ClassVar[Mapping[bytes, Callable[["Session", bytes], None]]] = {
        b"EHLO": Identity.say_ehlo,
        b"HELO": Identity.say_helo,
        b"STARTTLS": Identity.say_starttls,
        b"AUTH": Login.say_auth,
        b"XCLIENT": Identity.say_xclient,
        b"MAIL": _mail_command,
        b"RCPT": _rcpt,
        b"DATA": _data_command,
        b"RSET": _rset,
        b"NOOP": _noop,
        b"VRFY": _vrfy,
        b"EXPN": _expn,
        b"HELP": _help,
        b"QUIT": _quit,
    }

    def data_hopeless(self) -> None:
        self._refuse(admit.TOO_BIG, sender=self._sender())
        self.close_with(b"")

    def end_of_data(self) -> None:
        assert self._data is not None
        received = self._data.result()
        self._data = None
        self._junk = 0
        if isinstance(received, Received):
            self._judge(received)
        else:
            self._refuse(_FAULTS[received], sender=self._sender())
            if received in (Fault.TOO_BIG, Fault.LINE_ENDINGS):
                self.close_with(b"")
        self._mail = None

    def _judge(self, received: Received) -> None:
        facts, head = read_facts(received.head, strip_bcc=self._context.listener.strip_bcc)
        if received.rest is not None:
            is_8bit = facts.is_8bit or received.rest_is_8bit
            facts = replace(facts, size=received.size, is_8bit=is_8bit)
        refusal = admit.admit_message(facts)
        if refusal is None:
            self._submit(head, received.rest, facts)
        else:
            received.discard()
            self._refuse(refusal, sender=self._sender())

    def _submit(self, head: bytes, rest: Spool | None, facts: MessageFacts) -> None:
        """Queue the message; its reply comes with the commit."""
        mail, context = self._mail, self._context
        assert mail is not None
        at = context.now()
        message_id = context.intake.next_id(at)
        trace = trace_header(
            helo=self.helo,
            client_ip=self.client_ip,
            fqdn=context.fqdn,
            protocol=self._protocol(smtputf8=mail.smtputf8),
            queue_id=format_id(message_id),
            recipient=mail.named_in_trace,
            at=at,
            hide_client=context.listener.hide_client,
        )
        if context.listener.add_headers:
            own_id = f"<{format_id(message_id)}@{context.fqdn}>"
            added = missing_fields(head, message_id=own_id, at=at)
            trace, facts = trace + added, facts_with(added, facts)
        message = NewMessage(
            id=message_id,
            received_at=at,
            reverse_path=mail.reverse_path,
            parameters=mail.parameters,
            recipients=tuple(
                NewRecipient(
                    address=path,
                    destination=context.intake.destination_of(path, is_test=facts.is_test),
                    parameters=parameters,
                )
                for path, parameters in mail.recipients
            ),
            content=trace + head if rest is None else rest.finish(trace + head),
            facts=facts,
            client=Client(
                ip=self.client_ip,
                helo=self.helo,
                listener=context.listener.address,
                auth_user=self.auth_user,
            ),
        )
        self._busy = True
        self._queue_id = message_id
        context.intake.submit(message).add_done_callback(self._committed)

    def _committed(self, future: "asyncio.Future[Any]") -> None:
        error = future.exception()
        if isinstance(error, CommitUnknown):
            self.abort()  # neither yes nor no may be said (S-55)
            return
        if error is None:
            self.reply(b"250 2.0.0 OK queued as %b\r\n" % format_id(self._queue_id).encode())
        elif isinstance(error, StoreFull):
            self._refuse(admit.NO_ROOM)
        else:
            self._refuse(_NO_STORE)
        self.resume()

    def _sender(self) -> Address | None:
        return None if self._mail is None else self._mail.reverse_path
