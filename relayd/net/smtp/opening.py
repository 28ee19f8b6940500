"""Opening a session with a next hop: one that may take mail, or the reason why there is none.

Owns the order of the steps, which are those of `session`. How it is secured, and what a failure of TLS
leads to, is decided in `relayd.policy.tls.ladder`: each try has a connection of its own. Leaves a host with QUIT wherever that can be heard (RFC 5321 §4.1.1.10).

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
from relayd.net.smtp.tls import Contexts, TlsContexts
from relayd.policy.delivery.tls import (
    Security,
    TlsFailure,
    first_step,
    may_do_without,
    step_after,
)
from relayd.ports.outward import Clock, SessionFailed, Target
from relayd.settings import TlsMode

_log = structlog.get_logger(__name__)


async def open_session(
    target: Target, *, helo: str, timers: Timers, tls: TlsContexts, clock: Clock
) -> Session:
    """Return a session that may take mail. Raises SessionFailed, Shortage."""
    is_loopback = target.is_loopback
    contexts = await _contexts(target, tls)
    why = tls.failure_of(target, now=clock.monotonic())
    step = None if why is None else step_after(why, target.tls, is_loopback=is_loopback)
    step = step or first_step(target.tls, is_loopback=is_loopback)
    while True:
        session = Session(target, helo=helo, timers=timers)
        try:
            failure = await _prepare(
                session, step, contexts, problem="" if why is None else why.reason
            )
            if failure is None:
                return session
            await session.leave(within=timers.refused)
            # OpenSSL looks for authorities in a folder, and does not tell when it could not open it.
            check_descriptors()
        except SessionFailed:
            await session.leave(within=timers.refused)
            raise
        except BaseException:
            await session.close()
            raise
        following = step_after(failure, target.tls, is_loopback=is_loopback)
        if following is None:
            stage = Stage.CONNECT if target.tls is TlsMode.IMPLICIT else Stage.STARTTLS
            raise session.failed(stage, broken(Category.TLS_FAILURE, failure.reason))
        tls.remember(target, failure, now=clock.monotonic())
        _log.warning(
            "tls_failed", remote_host=target.host, remote_ip=target.ip, reason=failure.reason
        )
        why, step = failure, following


async def _contexts(target: Target, tls: TlsContexts) -> Contexts:
    """Return what TLS begins with. Raises SessionFailed: without our certificate no mail is to blame; Shortage."""
    try:
        return await tls.contexts_for(target.certificate)
    except OSError as error:
        if not isinstance(error, ssl.SSLError) and is_shortage(error):
            raise Shortage(f"our certificate cannot be read now: {error.strerror}") from error
        why = error.reason if isinstance(error, ssl.SSLError) else error.strerror
        reason = f"our certificate for this server, or its key, cannot be used: {why or error}"
        stage = Stage.CONNECT if target.tls is TlsMode.IMPLICIT else Stage.STARTTLS
        raise SessionFailed(stage, broken(Category.TLS_FAILURE, reason, Fault.LOCAL)) from error


async def _prepare(
    session: Session, step: Security, contexts: Contexts, *, problem: str
) -> TlsFailure | None:
    """Take one session through all steps with this kind of TLS; return why there is none."""
    context = {
        Security.VERIFIED: contexts.verified,
        Security.ANY_CERTIFICATE: contexts.lenient,
    }.get(step)
    problem = problem if context is contexts.lenient else ""
    failure = None
    if session.target.tls is TlsMode.IMPLICIT:
        failure = await session.dial(context, problem=problem)
        if failure is None:
            await session.greet()
    else:
        await session.dial()
        await session.greet()
        if context is not None:
            failure = await _secure(session, context, problem=problem)
    if failure is not None:
        return failure
    if session.target.login is not None:
        await session.log_in(session.target.login)
    if session.protocol.failure is not None:  # behind the last answer
        raise session.broken()
    return None


async def _secure(session: Session, context: ssl.SSLContext, *, problem: str) -> TlsFailure | None:
    """Start TLS; where the mode allows it, a server that does not offer it does without.

    Returns why TLS failed; a refused STARTTLS is such a failure if another connection may do without.
    """
    lenient = may_do_without(session.target.tls)
    if not session.offers.starttls:
        if lenient:
            return None
        reason = "the server does not offer STARTTLS"
        raise session.failed(Stage.STARTTLS, broken(Category.TLS_FAILURE, reason))
    try:
        return await session.start_tls(context, problem=problem)
    except SessionFailed as failure:
        if lenient and failure.stage is Stage.STARTTLS:
            return TlsFailure(str(failure), of_certificate=False)
        raise
