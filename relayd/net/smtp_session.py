"""From a socket to a session that can take mail: greeting, EHLO, STARTTLS, login.

Owns the order of these steps and what each TLS mode accepts. Leaves transactions to
`smtp_transaction`, and whether a failure bounces anything to policy: nothing here does (S-16).

How far TLS may fall back, each step on a connection of its own:

| mode          | tried in this order                                   |
|---------------|-------------------------------------------------------|
| off           | clear text                                            |
| opportunistic | verified, then any certificate, then clear text       |
| required      | verified, then any certificate                        |
| verify        | verified                                              |
| implicit      | verified; to loopback any certificate then            |

`implicit` begins with the handshake, and says nothing of STARTTLS. A certificate that does not verify leads to the second step, any other failure of a handshake to
the third. A password is sent over verified TLS or to loopback, and nowhere else.

Sources: RFC 5321 §3.1, §3.2, §4.1.1.1; RFC 3207 §4; RFC 4954 §4; RFC 8314 §3.3.
"""

import asyncio
import ssl
from enum import Enum, auto
from ipaddress import ip_address

import structlog

from relayd.errors import TlsFailed
from relayd.mail.attempt import Breakdown, Peer, TlsFacts
from relayd.mail.reply import Reply, Stage
from relayd.mail.words import Category, Fault
from relayd.net.breakdown import broken
from relayd.net.dial import DialFailed, dial
from relayd.net.login import REFUSED_CODES, choose_mechanism, log_in
from relayd.net.smtp_commands import Offers, hello, read_offers
from relayd.net.smtp_protocol import RelayProtocol, Timers
from relayd.net.tls import TlsContexts, name_for_tls, read_tls_facts
from relayd.ports.outward import Clock, SessionFailed, Target
from relayd.settings import Login, TlsMode

_log = structlog.get_logger(__name__)

# Replies to EHLO that say that the server knows only HELO (RFC 5321 §3.2; 501, 504, 550 in practice).
_ONLY_HELO = frozenset({500, 501, 502, 504, 550})

_MX_PORT = 25  # where nobody begins with TLS


class _Security(Enum):
    VERIFIED = auto()
    LENIENT = auto()
    CLEAR = auto()


_LADDERS = {
    TlsMode.OFF: (_Security.CLEAR,),
    TlsMode.OPPORTUNISTIC: (_Security.VERIFIED, _Security.LENIENT, _Security.CLEAR),
    TlsMode.REQUIRED: (_Security.VERIFIED, _Security.LENIENT),
    TlsMode.VERIFY: (_Security.VERIFIED,),
    TlsMode.IMPLICIT: (_Security.VERIFIED,),
}
_ON_THIS_MACHINE = {TlsMode.IMPLICIT: (_Security.VERIFIED, _Security.LENIENT)}


class Session:
    """A connection on its way to being usable; then what the transactions need to know of it."""

    def __init__(self, target: Target, *, helo: str, timers: Timers) -> None:
        self.target = target
        self.helo = helo
        self.timers = timers
        self.protocol = RelayProtocol(asyncio.get_running_loop(), timers)
        self.offers = Offers()
        self.tls: TlsFacts | None = None
        self._local_ip = target.source_ip or ""

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
        )

    async def dial(self, context: ssl.SSLContext | None = None, *, problem: str = "") -> None:
        """Connect, with `context` by TLS from the first octet on, and take the greeting.

        `problem` is why the certificate is not checked; empty if the context does check it.
        Raises TlsFailed if only the handshake failed.
        """
        try:
            self._local_ip = await dial(
                self.target, self.protocol, within=self.timers.connect, tls=context
            )
        except DialFailed as failure:
            raise self.failed(Stage.CONNECT, failure.breakdown) from failure
        if context is not None:
            self._note_tls(problem)
        greeting = await self._greeting()
        if not greeting.is_positive:
            raise self.failed(Stage.GREETING, greeting)

    async def greet(self) -> None:
        """Say EHLO, or HELO to a server that knows no better, and learn what it offers."""
        reply = await self._ask(Stage.EHLO, hello(b"EHLO", self.helo))
        if reply.is_positive:
            self.offers = read_offers(reply)
            return
        self.offers = Offers()
        if reply.code in _ONLY_HELO:
            reply = await self._ask(Stage.EHLO, hello(b"HELO", self.helo))
        if not reply.is_positive:
            raise self.failed(Stage.EHLO, reply)

    async def start_tls(self, context: ssl.SSLContext, *, problem: str) -> None:
        """Ask for TLS, shake hands, forget what was said in clear text, and greet again.

        `problem` is why the certificate is not checked; empty if the context does check it.
        Raises TlsFailed if only the handshake failed.
        """
        reply = await self._ask(Stage.STARTTLS, b"STARTTLS\r\n")
        if not reply.is_positive:
            raise self.failed(Stage.STARTTLS, reply)
        host = name_for_tls(self.target.host, self.target.ip)
        await self.protocol.upgrade(context, host, within=self.timers.connect)
        self._note_tls(problem)
        await self.greet()

    async def log_in(self, login: Login) -> None:
        """Log in, or say why not; the password goes over verified TLS or to loopback only (A-51)."""
        verified = self.tls is not None and self.tls.verified
        if not verified and not ip_address(self.target.ip).is_loopback:
            why = self.tls.problem if self.tls is not None else "no TLS"
            reason = f"no password without verified TLS: {why}"
            raise self.failed(Stage.AUTH, broken(Category.TLS_FAILURE, reason, Fault.LOCAL))
        mechanism = choose_mechanism(login.mechanism, self.offers.mechanisms)
        if mechanism is None:
            reason = f"the server does not offer to log in by {login.mechanism}"
            raise self.failed(Stage.AUTH, broken(Category.PROTOCOL_ERROR, reason))
        reply = await log_in(self.protocol, login, mechanism)
        if reply is None:
            raise self.broken()
        if not reply.is_positive:
            refused = reply.code in REFUSED_CODES
            raise self.failed(Stage.AUTH, reply, login_refused=refused)

    def failed(
        self, stage: Stage, ended_by: Reply | Breakdown, *, login_refused: bool = False
    ) -> SessionFailed:
        return SessionFailed(stage, ended_by, peer=self.peer(), login_refused=login_refused)

    def abort(self) -> None:
        self.protocol.fail("connection closed by us")

    async def close(self) -> None:
        """Close the connection, if there was one."""
        if self.protocol.transport is not None:
            self.abort()
            await self.protocol.wait_closed()

    def _note_tls(self, problem: str) -> None:
        assert self.protocol.transport is not None
        self.tls = read_tls_facts(self.protocol.transport, problem=problem)

    async def _greeting(self) -> Reply:
        """Wait for the greeting, and have it logged when that takes long."""
        silent_for = self.timers.notice
        timer = asyncio.get_running_loop().call_later(silent_for, self._tell_of_silence)
        try:
            return await self._answer()
        finally:
            timer.cancel()

    def _tell_of_silence(self) -> None:
        target = self.target
        hint = ""
        if target.tls is not TlsMode.IMPLICIT and target.port != _MX_PORT:
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


async def open_session(
    target: Target, *, helo: str, timers: Timers, tls: TlsContexts, clock: Clock
) -> Session:
    """Return a session that may take mail. Raises SessionFailed."""
    problem = tls.problem_of(target.host, target.ip, now=clock.monotonic())
    ladder = _ladder_for(target)
    security = ladder[0]
    if problem and _Security.LENIENT in ladder:
        security = _Security.LENIENT
    while True:
        session = Session(target, helo=helo, timers=timers)
        try:
            await _prepare(session, security, tls, problem=problem)
        except TlsFailed as failure:
            await session.close()
            problem = str(failure)
            if _is_about_certificate(failure):
                tls.remember(target.host, target.ip, problem, now=clock.monotonic())
                following = _Security.LENIENT
            else:
                following = _Security.CLEAR
            if following not in ladder:
                ended_by = broken(Category.TLS_FAILURE, problem)
                implicit = target.tls is TlsMode.IMPLICIT
                stage = Stage.CONNECT if implicit else Stage.STARTTLS
                raise session.failed(stage, ended_by) from failure
            security = following
            _log.warning("tls_failed", remote_host=target.host, remote_ip=target.ip, reason=problem)
        except BaseException:
            await session.close()
            raise
        else:
            return session


async def _prepare(
    session: Session, security: _Security, tls: TlsContexts, *, problem: str
) -> None:
    """Take one session through all steps with this kind of TLS."""
    context = {_Security.VERIFIED: tls.verified, _Security.LENIENT: tls.lenient}.get(security)
    problem = problem if context is tls.lenient else ""
    if session.target.tls is TlsMode.IMPLICIT:
        await session.dial(context, problem=problem)
        await session.greet()
    else:
        await session.dial()
        await session.greet()
        if context is not None:
            await _secure(session, context, problem=problem)
    if session.target.login is not None:
        await session.log_in(session.target.login)
    if session.protocol.failure is not None:  # behind the last answer
        raise session.broken()


async def _secure(session: Session, context: ssl.SSLContext, *, problem: str) -> None:
    """Start TLS; where the mode allows it, that there is none is noted and lived with."""
    lenient = session.target.tls is TlsMode.OPPORTUNISTIC
    if not session.offers.starttls:
        if lenient:
            return
        reason = "the server does not offer STARTTLS"
        raise session.failed(Stage.STARTTLS, broken(Category.TLS_FAILURE, reason))
    try:
        await session.start_tls(context, problem=problem)
    except SessionFailed as failure:
        if not (lenient and failure.stage is Stage.STARTTLS and session.protocol.is_idle):
            raise
        target = session.target
        _log.warning(
            "tls_failed", remote_host=target.host, remote_ip=target.ip, reason=str(failure)
        )


def _ladder_for(target: Target) -> tuple[_Security, ...]:
    """What is tried in which order; on this machine nobody can pose as the server."""
    if ip_address(target.ip).is_loopback:
        return _ON_THIS_MACHINE.get(target.tls, _LADDERS[target.tls])
    return _LADDERS[target.tls]


def _is_about_certificate(failure: TlsFailed) -> bool:
    return isinstance(failure.__cause__, ssl.SSLCertVerificationError)
