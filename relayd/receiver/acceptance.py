"""Behind the final dot: a complete message is judged, checked, stored, and answered.

Owns the way from a message to its reply. Decisions are `relayd.policy`'s, durability is behind
`Intake`. A commit cannot be cancelled: a client that leaves meanwhile changes nothing (S-05), and
neither does one that leaves while its report is being read, since the commit follows by itself.
Before that nothing has been taken: a client that hangs up while its message is being checked has
sent nothing (E-24).
"""

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import structlog

from relayd.errors import CommitUnknown, ReaderUnavailable, RelaydError, ReturnPathSpent, StoreFull
from relayd.mail.envelope import Client, ContentCheck, MessageFacts, NewMessage, NewRecipient
from relayd.mail.header import is_relayed, read_facts, trace_header
from relayd.mail.ids import MessageId, format_id
from relayd.mail.reply import Reply
from relayd.mail.submission import facts_with, missing_fields, without_bcc
from relayd.policy import admit
from relayd.policy.content import Refusal
from relayd.ports.outward import ContentChecker
from relayd.ports.queue import Spool
from relayd.receiver.auth import Login
from relayd.receiver.reader import Fault, Received
from relayd.receiver.transaction import Transaction

_BARE = Reply(550, "5.6.0", ("5.6.0 Message has a bare CR, bare LF or NUL",))
_LONG_LINE = Reply(550, "5.6.0", ("5.6.0 Message has a line over 1 MiB",))
_NO_STORE = Reply(451, "4.3.0", ("4.3.0 Cannot store the message now, try again later",))
_NO_READER = Reply(451, "4.3.0", ("4.3.0 Cannot read the report now, try again later",))
FAULTS: Mapping[Fault, Reply] = {
    Fault.TOO_BIG: admit.TOO_BIG,
    Fault.LINE_ENDINGS: _BARE,
    Fault.LONG_LINE: _LONG_LINE,
    Fault.LONG_HEADER: Reply(552, "5.3.4", ("5.3.4 Header section too big",)),
    Fault.NO_ROOM: admit.NO_ROOM,
    Fault.NO_SPOOL: _NO_STORE,
}

log = structlog.get_logger()


class Acceptance(Login):
    """A client whose messages are taken."""

    _is_checked = False  # the checker of content has the message
    _queue_id: MessageId

    def take(self, received: Received, mail: Transaction) -> None:
        """Take a message, or refuse it; the reply may come later."""
        # What comes back to a return path is a report, whoever hands it to us.
        is_report = self._context.intake.owns(mail.recipients[0][0])
        fixes_up = partial(
            admit.is_fixed_up,
            is_own_client=self.origin.is_here or self._is_logged_in(),
            is_relayed=is_report or is_relayed(received.head),
        )
        strips = fixes_up(self._context.listener.strip_bcc)
        stripped = without_bcc(received.head) if strips else received.head
        facts, head = read_facts(stripped)
        if received.rest is not None or stripped is not received.head:
            is_8bit = facts.is_8bit or received.rest_is_8bit
            facts = replace(facts, size=received.size, is_8bit=is_8bit)
        refusal = admit.admit_message(facts)
        if refusal is not None:
            received.discard()
            self._refuse(refusal, sender=mail.reverse_path)
            return
        adds = fixes_up(self._context.listener.add_headers)
        # The trace of a report is for its sender to read, who need not know the token.
        named = None if is_report else mail.named_in_trace
        message = self._message(head, received.rest, facts, mail, adds=adds, named=named)
        checker = self._context.checker
        if checker is None or is_report:  # a report often quotes spam
            self._submit(message)
        else:
            # The connection is read on, so that we notice when the client leaves.
            self._busy = self._is_checked = True
            self._begin(self._check_content(message, received, checker))

    def _message(
        self,
        head: bytes,
        rest: Spool | None,
        facts: MessageFacts,
        mail: Transaction,
        *,
        adds: bool,
        named: str | None,
    ) -> NewMessage:
        context = self._context
        at = context.now()
        message_id = context.intake.next_id(at)
        trace = trace_header(
            helo=self.helo,
            client_ip=self.client_ip,
            fqdn=context.fqdn,
            protocol=self._protocol(smtputf8=mail.smtputf8),
            queue_id=format_id(message_id),
            recipient=named,
            at=at,
            hide_client=context.listener.hide_client,
        )
        if adds:
            own_id = f"<{format_id(message_id)}@{context.fqdn}>"
            added = missing_fields(head, message_id=own_id, at=at)
            trace, facts = trace + added, facts_with(added, facts)
        return NewMessage(
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
                account=self._account_name(),
            ),
        )

    def _account_name(self) -> str:
        """Return what counts as one client, whatever it calls itself and its senders."""
        if self.auth_user is not None:
            return f"login {self.auth_user}"
        return self.origin.client(is_stranger=True)

    async def _check_content(
        self, message: NewMessage, received: Received, checker: ContentChecker
    ) -> None:
        try:
            verdict = await checker.judge(message)
        except BaseException:
            received.discard()
            raise
        self._is_checked = False
        if self._wire is None or self._closing:
            received.discard()
            self.resume()
        elif isinstance(verdict, Refusal):
            received.discard()
            more = {"content_score": verdict.score, "reason": verdict.reason}
            self._refuse(verdict.reply, sender=message.reverse_path, more=more)
            self.resume()
        else:
            self._set_deadline()
            self._submit(message, verdict)

    def eof_received(self) -> bool:
        """While a message is being checked, its client still has to be there."""
        return super().eof_received() and not self._is_checked

    def _submit(self, message: NewMessage, check: ContentCheck | None = None) -> None:
        """Queue the message; its reply comes with the commit."""
        if check is not None:
            message = replace(message, content_check=check)
        self._busy = True
        self._queue_id = message.id
        self._context.intake.submit(message).add_done_callback(self._committed)

    def _committed(self, future: "asyncio.Future[Any]") -> None:
        if future.cancelled():  # the worker ends
            self.abort()
            return
        error = future.exception()
        if isinstance(error, CommitUnknown):
            self.abort()  # neither yes nor no may be said (S-55)
            return
        if error is None:
            self.reply(b"250 2.0.0 OK queued as %b\r\n" % format_id(self._queue_id).encode())
        elif isinstance(error, StoreFull):
            self._refuse(admit.NO_ROOM)
        elif isinstance(error, ReturnPathSpent):  # others were faster than this since RCPT
            self._refuse(admit.RETURN_PATH_BUSY)
        elif isinstance(error, ReaderUnavailable):
            self._refuse(_NO_READER)
        else:
            if not isinstance(error, RelaydError):
                log.error("session_failed", client_ip=self.client_ip, exc_info=error)
            self._refuse(_NO_STORE)
        self.resume()
