"""One client's SMTP session: what each command means.

Owns the mail and the order of commands; who the client is, `identity.Identity` knows. Decisions are
`relayd.policy.admit`'s, octets `wire.Wire`'s, the content `reader.DataReader`'s, and what becomes of
a complete message is `acceptance.Acceptance`'s affair.

Source: RFC 5321 §4.1, §4.3; RFC 2920 §3 (pipelining); RFC 2034 (enhanced codes); RFC 6531.
"""

import re
from collections.abc import Callable, Mapping
from typing import ClassVar

from relayd.mail.address import Address
from relayd.mail.reply import SyntaxRefused
from relayd.policy import admit
from relayd.receiver.acceptance import FAULTS, Acceptance
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
_NO_ERRORS = (admit.SUPPRESSED, NO_HISTORY)  # of the client's: a list may meet many of these


class Session(Acceptance):
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
            declared_size=parameters.size or 0,
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
        elif not self._rules.may_relay and not self._context.may_send(self.whose):
            self._refuse(admit.TOO_MANY_MESSAGES, sender=self._mail.reverse_path)
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
        received, mail = self._data.result(), self._mail
        assert mail is not None
        self._data = self._mail = None
        self._junk = 0
        if isinstance(received, Received):
            self.take(received, mail)
        else:
            self._refuse(FAULTS[received], sender=mail.reverse_path)
            if received in (Fault.TOO_BIG, Fault.LINE_ENDINGS):
                self.close_with(b"")

    def _sender(self) -> Address | None:
        return None if self._mail is None else self._mail.reverse_path
