"""Who the client is: EHLO and HELO, STARTTLS, XCLIENT, and what it may do because of it.

Owns what is known of the client and is forgotten when that changes; the mail is `session`'s.

Source: RFC 5321 §4.1.1.1; RFC 3207 §4.2; RFC 2034 §4.
"""

from collections.abc import Coroutine

import structlog

from relayd.mail.address import Address
from relayd.mail.reply import Reply, SyntaxRefused
from relayd.mail.words import Detail
from relayd.policy.origin import Origin
from relayd.policy.places import Whose
from relayd.receiver import xclient
from relayd.receiver.commands import parse_hello
from relayd.receiver.context import SessionContext
from relayd.receiver.transaction import RecipientRules, Transaction
from relayd.receiver.wire import TOO_MANY, Wire
from relayd.settings import ListenerTls

log = structlog.get_logger()


class Identity(Wire):
    """A client that has a name, perhaps TLS, perhaps an account."""

    def __init__(self, context: SessionContext, origin: Origin) -> None:
        super().__init__(context.loop, context.on_close)
        self._context = context
        self._is_proxy = origin.is_among(context.listener.xclient_networks)
        self.origin = origin
        self.helo = ""  # empty: nobody has said hello
        self.extended = False
        self.auth_user: str | None = None
        self._mail: Transaction | None = None
        self._junk = 0
        self._errors = 0
        self._rules = self._recipient_rules()

    @property
    def client_ip(self) -> str:
        """Return its address, or its proxy's if nobody knows its own; empty: a unix socket."""
        return self.origin.ip

    @property
    def whose(self) -> Whose:
        """Say whom the connection belongs to."""
        is_stranger = not self._rules.may_relay
        return Whose(
            listener=self._context.listener.address,
            client=self.origin.client(is_stranger=is_stranger),
            site=self.origin.site,
            is_stranger=is_stranger,
        )

    @property
    def has_begun(self) -> bool:
        return self._mail is not None

    @property
    def greeting(self) -> bytes:
        return b"220 %b ESMTP relayd\r\n" % self._context.fqdn.encode()

    def _recipient_rules(self) -> RecipientRules:
        """Say what holds for recipients."""
        context = self._context
        return RecipientRules(
            may_relay=self._may_relay(),
            limits=context.limits,
            refuse_suppressed=context.refuse_suppressed,
            intake=context.intake,
        )

    def _may_relay(self) -> bool:
        return self.origin.may_relay(self._context.listener.networks)

    def _is_still_admitted(self) -> bool:
        """Judge anew who the client is, now that this has changed; False: there is no place for it."""
        self._rules = self._recipient_rules()
        is_admitted = self._context.on_changed(self, self.whose)
        if not is_admitted:
            self.close_with(TOO_MANY)
        return is_admitted

    def _protocol(self, *, smtputf8: bool) -> str:
        """Name the protocol for the trace header (RFC 3848, RFC 6531 §4.3)."""
        if not self.extended:
            return "SMTP"
        secure = "S" if self.tls_version is not None else ""
        known = "A" if self.auth_user is not None else ""
        return ("UTF8SMTP" if smtputf8 else "ESMTP") + secure + known

    def _begin(self, work: Coroutine[None, None, None]) -> None:
        """Do what takes its time; whoever calls this holds the session meanwhile."""
        self._context.spawn(self._guarded(work))

    async def _guarded(self, work: Coroutine[None, None, None]) -> None:
        """Let a bug that this session trips over end no other."""
        try:
            await work
        except Exception:
            log.exception("session_failed", client_ip=self.client_ip, fault="local")
            self.abort()

    def _forget(self) -> None:
        """Forget all that the client said (RFC 3207 §4.2)."""
        self.helo, self.extended, self._mail = "", False, None

    # --- hello --------------------------------------------------------------------------------

    def say_ehlo(self, argument: bytes) -> None:
        if not self._hello(argument, b"501 Syntax: EHLO hostname\r\n"):
            return
        self.extended = True
        lines = [
            self._context.fqdn.encode(),
            b"SIZE %d" % self._context.limits.message_size,
            b"8BITMIME",
            b"SMTPUTF8",
            b"PIPELINING",
            b"ENHANCEDSTATUSCODES",
            b"DSN",
            *self._further_offers(),
        ]
        last = lines.pop()
        self.reply(b"".join(b"250-%b\r\n" % line for line in lines) + b"250 %b\r\n" % last)

    def _further_offers(self) -> list[bytes]:
        offers = []
        if self._offers_tls():
            offers.append(b"STARTTLS")
        if self._is_proxy:
            offers.append(xclient.OFFERED)
        return offers

    def say_helo(self, argument: bytes) -> None:
        if self._hello(argument, b"501 Syntax: HELO hostname\r\n"):
            self.extended = False
            self.reply(b"250 %b\r\n" % self._context.fqdn.encode())

    def _hello(self, argument: bytes, refusal: bytes) -> bool:
        """Tell whether the name will do. No reply to a hello has an enhanced code (RFC 2034 §4)."""
        name = parse_hello(argument)
        if name is None:
            self._fail(refusal)
            return False
        self._junk += 1
        self.helo = name
        self._mail = None
        return True

    # --- TLS ----------------------------------------------------------------------------------

    def _offers_tls(self) -> bool:
        return self._context.listener.tls is ListenerTls.STARTTLS and self.tls_version is None

    def say_starttls(self, argument: bytes) -> None:
        if argument:
            self._fail(b"501 5.5.4 Syntax: STARTTLS\r\n")
        elif self.tls_version is not None:
            self._fail(b"503 5.5.1 TLS is on already\r\n")
        elif not self._offers_tls():
            self._fail(b"502 5.5.1 STARTTLS is not offered\r\n")
        elif self._mail is not None:
            self._fail(b"503 5.5.1 Not inside a mail transaction\r\n")
        else:
            self._junk += 1
            self.reply(b"220 2.0.0 Ready to start TLS\r\n")
            self.hold()
            self._begin(self._secure())

    async def _secure(self) -> None:
        assert self._context.tls is not None
        if await self.start_tls(self._context.tls.context()):
            self._forget()
            self._is_still_admitted()
            self.resume()

    # --- a proxy's word -----------------------------------------------------------------------

    def say_xclient(self, argument: bytes) -> None:
        if not self._is_proxy:
            self._fail(b"550 5.7.1 Not for you to say\r\n")
            return
        if self._mail is not None:
            self._fail(b"503 5.5.1 Not inside a mail transaction\r\n")
            return
        try:
            claim = xclient.parse_xclient(argument)
        except SyntaxRefused as refused:
            self._refuse(refused.reply)
            return
        self._is_proxy = False  # from now on its client speaks
        self._forget()
        self.helo = claim.helo or ""  # then it says so itself
        self.auth_user = claim.login
        known = claim.address is not None
        self.origin = Origin(ip=claim.address or self.origin.ip, is_known=known)
        if self._is_still_admitted():
            self._junk += 1
            self.reply(self.greeting)

    # --- refusals -----------------------------------------------------------------------------

    def _refuse(
        self,
        reply: Reply,
        *,
        sender: Address | None = None,
        recipient: Address | None = None,
        is_error: bool = True,
        more: Detail | None = None,
    ) -> None:
        """Give a reply of policy's, and note it in the status log."""
        self._context.intake.refused(
            {
                "from": str(sender or ""),
                "rcpt": str(recipient or ""),
                "client_ip": self.client_ip,
                "helo": self.helo,
                "code": reply.code,
                "enhanced": reply.enhanced,
                "reply": str(reply),
                "fault": "policy" if reply.is_permanent else "local",
                **(more or {}),
            },
            stranger="" if self._rules.may_relay else self.origin.site,
        )
        self._errors += is_error
        self.reply(f"{reply}\r\n".encode())

    def _fail(self, line: bytes) -> None:
        self._errors += 1
        self.reply(line)
