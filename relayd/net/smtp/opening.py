"""Opening a session with a next hop: one that may take mail, or the reason why there is none.

Owns the order of the steps, which are those of `session`. What a failure of TLS leads to is decided in
`relayd.policy.tls.ladder`; all of it happens on one connection, but clear text after a handshake that broke takes
another. Leaves a host with QUIT wherever that can be heard (RFC 5321 §4.1.1.10).

Source: RFC 3207 §4.
"""

import ssl

import structlog

from relayd.errors import Shortage, is_shortage
from relayd.mail.reply import Stage
from relayd.mail.words import Category, Fault
from relayd.net.local import check_descriptors
from relayd.net.smtp.breakdown import broken
from relayd.net.smtp.protocol import Timers
from relayd.net.smtp.session import Session
from relayd.net.smtp.tls import TlsContexts
from relayd.policy.tls.ladder import Level, Step, TlsEvent, TlsFailure, rule
from relayd.ports.outward import Clock, SessionFailed, Target

_log = structlog.get_logger(__name__)


async def open_session(
    target: Target, *, helo: str, timers: Timers, tls: TlsContexts, clock: Clock
) -> Session:
    """Return a session that may take mail. Raises SessionFailed, Shortage."""
    opening = _Opening(target, tls, clock)
    await opening.load()
    while True:
        session = Session(target, helo=helo, timers=timers)
        try:
            if await opening.prepare(session):
                return session
            await session.leave(within=timers.refused)
        except SessionFailed:
            await session.leave(within=timers.refused)
            raise
        except BaseException:
            await session.close()
            raise


class _Opening:
    """One try to get a session with one server, on one connection or two."""

    def __init__(self, target: Target, tls: TlsContexts, clock: Clock) -> None:
        self._target = target
        self._level = target.requirement.level
        self._begins = target.requirement.begins_with_tls
        self._tls = tls
        self._clock = clock
        self._context: ssl.SSLContext | None = None  # None: clear text
        self._failed: TlsFailure | None = None  # why that is so, or what the certificate lacks

    async def load(self) -> None:
        """Look what TLS begins with. Raises SessionFailed: without our certificate no mail is to blame; Shortage."""
        known = self._tls.failure_of(self._target, now=self._clock.monotonic())
        if self._level is Level.OPPORTUNISTIC and known is not None and known.is_lasting:
            self._failed = known
            return
        try:
            context = await self._tls.context_for(self._target.certificate)
        except OSError as error:
            if not isinstance(error, ssl.SSLError) and is_shortage(error):
                raise Shortage(f"our certificate cannot be read now: {error.strerror}") from error
            why = error.reason if isinstance(error, ssl.SSLError) else error.strerror
            reason = f"our certificate for this server, or its key, cannot be used: {why or error}"
            ended_by = broken(Category.TLS_FAILURE, reason, Fault.LOCAL)
            raise SessionFailed(self._stage, ended_by) from error
        self._context = None if self._level is Level.CLEAR else context

    @property
    def _stage(self) -> Stage:
        return Stage.CONNECT if self._begins else Stage.STARTTLS

    async def prepare(self, session: Session) -> bool:
        """Take a session through all steps; False: another connection is to be made, in clear text.

        Raises SessionFailed.
        """
        session.tls_failure = self._failed
        context = self._context
        if self._begins and context is not None:
            failure = await session.dial(context)
            if failure is not None:
                return self._rule(session, failure)
            self._judge(session)
            await session.greet()
        else:
            await session.dial()
            await session.greet()
            if context is not None and not await self._secure(session, context):
                return False
        if self._target.login is not None:
            await session.log_in(self._target.login)
        if session.protocol.failure is not None:  # behind the last answer
            raise session.broken()
        return True

    async def _secure(self, session: Session, context: ssl.SSLContext) -> bool:
        """Start TLS, judge the certificate, and greet again; False as in `prepare`."""
        if not session.offers.starttls:
            reason = "the server does not offer STARTTLS"
            return self._rule(session, TlsFailure(event=TlsEvent.NOT_OFFERED, reason=reason))
        try:
            failure = await session.start_tls(context)
        except SessionFailed as refusal:
            return await self._refused(session, refusal)
        if failure is None:
            self._judge(session)
            failure = await session.greet_again()
        return failure is None or self._rule(session, failure)

    async def _refused(self, session: Session, refusal: SessionFailed) -> bool:
        """Do without TLS where that is accepted; EHLO shows whether the session goes on. Raises SessionFailed."""
        is_over = session.protocol.failure is not None
        event = TlsEvent.NO_HANDSHAKE if is_over else TlsEvent.REFUSED
        failure = TlsFailure(event=event, reason=str(refusal))
        if rule(event, self._level).step is Step.NEXT_HOST:
            session.tls_failure = failure
            refusal.peer = session.peer()
            raise refusal
        if not is_over and await session.greet_again() is not None:
            failure = TlsFailure(event=TlsEvent.NO_HANDSHAKE, reason=str(refusal))
        return self._rule(session, failure)

    def _judge(self, session: Session) -> None:
        """Find out what the certificate proves. Raises SessionFailed: too little."""
        assert session.protocol.transport is not None
        found = self._tls.judge(
            self._target, session.protocol.transport, now=self._clock.monotonic()
        )
        if isinstance(found, TlsFailure):
            session.tls_failure = found
            session.secured(None)
            self._rule(session, found)
        else:
            session.secured(found)

    def _rule(self, session: Session, failure: TlsFailure) -> bool:
        """Do what follows from a failure of TLS; tell whether the session goes on.

        Raises SessionFailed; Shortage, for a lack of ours must not cost a host its TLS.
        """
        check_descriptors()
        session.tls_failure = self._failed = failure
        step = rule(failure.event, self._level).step
        if step is Step.NEXT_HOST:
            raise session.failed(self._stage, broken(Category.TLS_FAILURE, failure.reason))
        if failure.event is not TlsEvent.NOT_OFFERED:
            self._tell(failure)
        if step is Step.CLEAR_ANEW:
            self._context = None
        return step is not Step.CLEAR_ANEW

    def _tell(self, failure: TlsFailure) -> None:
        """Say in the log what is put up with, once while it is remembered."""
        target = self._target
        if self._tls.remember(target, failure, now=self._clock.monotonic()):
            _log.warning(
                "tls_failed", remote_host=target.host, remote_ip=target.ip, reason=failure.reason
            )
