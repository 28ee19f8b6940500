"""From a socket to a session that can take mail: greeting, EHLO, STARTTLS, login, and goodbye.

Owns these steps and the words they take. Leaves their order and what each TLS mode accepts to
`opening`, transactions to `transaction`, and whether a failure bounces anything to
policy: nothing here does (S-16).

A password is sent over verified TLS or to loopback, and nowhere else.

Sources: RFC 5321 §3.1, §3.2, §4.1.1.1, §4.1.1.10; RFC 3207 §4; RFC 4954 §4.
"""

import asyncio
import ssl
from contextlib import suppress

import structlog

from relayd.mail.attempt import Breakdown, Peer, TlsFacts
from relayd.mail.reply import Reply, Stage
from relayd.mail.tls_result import Proof, TlsProof, TlsResult
from relayd.mail.words import Category, Fault
from relayd.net.smtp.breakdown import broken
from relayd.net.smtp.commands import Offers, hello, read_offers
from relayd.net.smtp.dial import DialFailed, dial
from relayd.net.smtp.login import choose_mechanisms, log_in
from relayd.net.smtp.protocol import RelayProtocol, Timers
from relayd.net.smtp.tls import name_for_tls, read_tls_facts
from relayd.policy.tls.ladder import TlsEvent, TlsFailure, rule
from relayd.ports.outward import SessionFailed, Target, told_of_waiting
from relayd.settings import Login
from relayd.trace import tracing

_log = structlog.get_logger(__name__)

# Replies to EHLO by which a host takes no mail from us (RFC 7504, RFC 5321 §3.1). Any other 5yz may
# come from one that knows only HELO (§3.2).
_TAKES_NO_MAIL = frozenset({521, 554, 556})

_MX_PORT = 25  # where nobody begins with TLS


class Session:
    """A connection on its way to being usable; then what the transactions need to know of it."""

    def __init__(self, target: Target, *, helo: str, timers: Timers) -> None:
        self.target = target
        self.helo = helo
        self.timers = timers
        self.protocol = RelayProtocol(asyncio.get_running_loop(), timers)
        self._number = 0  # for who looks on
        if tracing.is_on:
            self.look_on()
        self.offers = Offers()
        self.tls: TlsFacts | None = None
        self.tls_failure: TlsFailure | None = None  # what TLS lacks, whether or not mail goes on
        self.proof = Proof()
        self._local_ip = target.source_ip or ""

    def look_on(self) -> None:
        """Trace what is said from now on, for those who want to see what this task is about."""
        trace, target = tracing.current(), self.target
        self._number = self._number or tracing.next_session()
        self.protocol.trace = trace and trace.dialogue(
            session=self._number,
            remote_host=target.host,
            remote_ip=target.ip,
            remote_port=target.port,
        )

    def peer(self) -> Peer:
        return Peer(
            route=self.target.route,
            host=self.target.host,
            ip=self.target.ip,
            port=self.target.port,
            local_ip=self._local_ip,
            helo=self.helo,
            tls=self.tls,
            dsn=self.offers.dsn,
            tls_result=self._tls_result(),
        )

    def _tls_result(self) -> TlsResult:
        requirement, failure = self.target.requirement, self.tls_failure
        return TlsResult(
            policy=requirement.policy,
            proof=self.proof.kind,
            result=None if failure is None else rule(failure.event, requirement.level).result,
            reason="" if failure is None else failure.reason,
        )

    async def dial(self, context: ssl.SSLContext | None = None) -> TlsFailure | None:
        """Connect, with `context` by TLS from the first octet on, and take the greeting.

        Returns why the handshake failed, if only that did. Raises SessionFailed, Shortage.
        """
        try:
            self._local_ip, tls_failure = await dial(
                self.target, self.protocol, within=self.timers.connect, tls=context
            )
        except DialFailed as failure:
            raise self.failed(Stage.CONNECT, failure.breakdown) from failure
        except asyncio.CancelledError:
            self.protocol.release()  # uvloop may have called `connection_made`; then it never calls `connection_lost`
            raise
        if tls_failure is not None:
            return tls_failure
        greeting = await self._greeting()
        if not greeting.is_positive:
            raise self.failed(Stage.GREETING, greeting)
        return None

    async def greet(self) -> None:
        """Say EHLO, or HELO to a server that knows no better, and learn what it offers."""
        reply = await self._ask(Stage.EHLO, hello(b"EHLO", self.helo))
        if reply.is_positive:
            self.offers = read_offers(reply)
            return
        self.offers = Offers()
        if reply.is_permanent and reply.code not in _TAKES_NO_MAIL:
            reply = await self._ask(Stage.EHLO, hello(b"HELO", self.helo))
        if not reply.is_positive:
            raise self.failed(Stage.EHLO, reply)

    async def start_tls(self, context: ssl.SSLContext) -> TlsFailure | None:
        """Ask for TLS, shake hands, and forget what was said in clear text.

        Returns why the handshake failed, if only that did. Raises SessionFailed, Shortage.
        """
        reply = await self._ask(Stage.STARTTLS, b"STARTTLS\r\n")
        if not reply.is_positive:
            raise self.failed(Stage.STARTTLS, reply)
        name = name_for_tls(self.target)
        return await self.protocol.upgrade(context, name, within=self.timers.connect)

    def secured(self, proof: Proof | None) -> None:
        """Note that the session is under TLS, and what the certificate proves; None: less than it could."""
        assert self.protocol.transport is not None
        self.proof = proof or Proof(kind=TlsProof.ENCRYPTED)
        failure = None if proof is not None else self.tls_failure
        problem = "" if failure is None else failure.reason
        self.tls = read_tls_facts(self.protocol.transport, problem=problem)
        if self.protocol.trace is not None:
            secured = f"{self.tls.version} {self.tls.cipher}"
            self.protocol.trace.tell("tls_started", tls=secured, tls_problem=problem or None)

    async def greet_again(self) -> TlsFailure | None:
        """Say EHLO under TLS; return that the session ended with it, if it did.

        With TLS 1.3 a server can say only now that it wants none. Raises SessionFailed.
        """
        try:
            await self.greet()
        except SessionFailed as failure:
            ended_by = failure.breakdown
            if ended_by is None or ended_by.category is not Category.CONNECTION_FAILURE:
                raise
            reason = f"no session under TLS: {ended_by.reason}"
            return TlsFailure(event=TlsEvent.NO_EHLO, reason=reason)
        return None

    async def log_in(self, login: Login) -> None:
        """Log in, or say why not; the password goes over verified TLS or to loopback only (A-51)."""
        verified = self.tls is not None and self.tls.verified
        if not verified and not self.target.is_loopback:
            why = self.tls.problem if self.tls is not None else "no TLS"
            reason = f"no password without verified TLS to {self.target.host}: {why}"
            raise self.failed(Stage.AUTH, broken(Category.TLS_FAILURE, reason, Fault.LOCAL))
        mechanisms = choose_mechanisms(login.mechanism, self.offers.mechanisms)
        if not mechanisms:
            reason = f"the server does not offer to log in by {login.mechanism}: {self._offered()}"
            raise self.failed(Stage.AUTH, broken(Category.RELAY_DENIED, reason))
        reply = await log_in(self.protocol, login, mechanisms)
        if reply is None:
            raise self.broken()
        if not reply.is_positive:
            raise self.failed(Stage.AUTH, reply, note=self._offered())

    def _offered(self) -> str:
        mechanisms = ", ".join(self.offers.mechanisms).upper()
        return f"it offers {mechanisms}" if mechanisms else "it offers no login"

    def failed(self, stage: Stage, ended_by: Reply | Breakdown, *, note: str = "") -> SessionFailed:
        return SessionFailed(stage, ended_by, peer=self.peer(), note=note)

    async def leave(self, *, within: float) -> None:
        """Say QUIT if that can be heard, wait so many seconds for the answer, and close.

        Source: RFC 5321 §4.1.1.10.
        """
        try:
            if self.protocol.is_idle:
                self.protocol.expect(b"QUIT\r\n", (Stage.MAIL,))
                with suppress(TimeoutError):
                    async with asyncio.timeout(within):
                        await self.protocol.answers(1)
        finally:
            await self.close()

    def abort(self) -> None:
        self.protocol.fail("connection closed by us")

    def cut_off(self) -> None:
        self.protocol.fail("relayd stopped, and the server had not answered", by_stop=True)

    async def close(self) -> None:
        """Close the connection, if there was one."""
        if self.protocol.transport is not None:
            self.abort()
            await self.protocol.wait_closed()

    async def _greeting(self) -> Reply:
        """Wait for the greeting; when that takes long, tell people, and then the log."""
        loop, words = asyncio.get_running_loop(), told_of_waiting.get()
        timers = [
            loop.call_later(self.timers.remark, words, f"{self._who()} waiting for its greeting"),
            loop.call_later(self.timers.notice, self._log_silence),
        ]
        try:
            await self.protocol.ready(1)
        finally:
            for timer in timers:
                timer.cancel()
        if loop.time() >= timers[0].when():
            words("")
        return await self._answer()

    def _who(self) -> str:
        target = self.target
        return f"a connection to {target.host} [{target.ip}]:{target.port},"

    def _log_silence(self) -> None:
        target = self.target
        hint = ""
        if not target.requirement.begins_with_tls and target.port != _MX_PORT:
            hint = ', or wait for TLS from the first octet on (tls = "implicit")'
        _log.warning(
            "no_greeting",
            remote_host=target.host,
            remote_ip=target.ip,
            remote_port=target.port,
            reason=f"no greeting for {self.timers.notice:g} s: the server may be slow{hint}",
        )

    async def _ask(self, stage: Stage, command: bytes) -> Reply:
        self.protocol.expect(command, (stage,))
        return await self._answer()

    async def _answer(self) -> Reply:
        answer = await self.protocol.answers(1)
        if not answer:
            raise self.broken()
        return answer[0]

    def broken(self) -> SessionFailed:
        """Return that the session ended by itself, and where."""
        assert self.protocol.failure is not None
        return self.failed(self.protocol.failed_at, self.protocol.failure)
