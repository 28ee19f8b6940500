"""Opening a session with a next hop: one that may take mail, or the reason why there is none.

Owns the order of the steps and what each TLS mode accepts; the steps themselves are those of
`session`. Leaves a host with QUIT wherever that can be heard (RFC 5321 §4.1.1.10).

How far TLS may fall back, each step on a connection of its own:

| mode          | tried in this order                                   |
|---------------|-------------------------------------------------------|
| off           | clear text                                            |
| opportunistic | verified, then any certificate, then clear text       |
| required      | verified, then any certificate                        |
| verify        | verified                                              |
| implicit      | verified; to loopback any certificate then            |

`implicit` begins with the handshake, and says nothing of STARTTLS. A certificate that does not verify
leads to the second step, any other failure of STARTTLS or of the handshake to the third: a refusal, a
reply that makes no sense, silence. What failed is remembered (`tls`), so that only the first
connection pays for it.

Sources: RFC 3207 §4, §4.1; RFC 7435 §3 (opportunistic); RFC 8314 §3.3.
"""

import ssl
from enum import Enum, auto

import structlog

from relayd.errors import Shortage, TlsFailed, is_shortage
from relayd.mail.reply import Stage
from relayd.mail.words import Category
from relayd.net.local import check_descriptors
from relayd.net.smtp.breakdown import broken
from relayd.net.smtp.protocol import Timers
from relayd.net.smtp.session import Session
from relayd.net.smtp.tls import TlsContexts, TlsProblem
from relayd.ports.outward import Clock, SessionFailed, Target
from relayd.settings import TlsMode

_log = structlog.get_logger(__name__)


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


async def open_session(
    target: Target, *, helo: str, timers: Timers, tls: TlsContexts, clock: Clock
) -> Session:
    """Return a session that may take mail. Raises SessionFailed, Shortage."""
    ladder = _ladder_for(target)
    problem = tls.problem_of(target, now=clock.monotonic())
    if problem is not None and _following(problem) not in ladder:
        problem = None
    while True:
        security = ladder[0] if problem is None else _following(problem)
        session = Session(target, helo=helo, timers=timers)
        try:
            await _prepare(session, security, tls, problem="" if problem is None else problem.text)
        except TlsFailed as failure:
            await session.leave(within=timers.refused)
            _look_for_a_lack(failure)
            problem = _problem_of(failure)
            if _following(problem) not in ladder:
                implicit = target.tls is TlsMode.IMPLICIT
                raise session.failed(
                    Stage.CONNECT if implicit else Stage.STARTTLS,
                    broken(Category.TLS_FAILURE, problem.text),
                ) from failure
            tls.remember(target, problem, now=clock.monotonic())
            _log.warning(
                "tls_failed",
                remote_host=target.host,
                remote_ip=target.ip,
                reason=problem.text,
            )
        except SessionFailed:
            await session.leave(within=timers.refused)
            raise
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
    """Start TLS; where the mode allows it, a server that does not offer it does without.

    Raises TlsFailed if clear text over another connection may still do.
    """
    lenient = session.target.tls is TlsMode.OPPORTUNISTIC
    if not session.offers.starttls:
        if lenient:
            return
        reason = "the server does not offer STARTTLS"
        raise session.failed(Stage.STARTTLS, broken(Category.TLS_FAILURE, reason))
    try:
        await session.start_tls(context, problem=problem)
    except SessionFailed as failure:
        if lenient and failure.stage is Stage.STARTTLS:
            raise TlsFailed(str(failure)) from failure
        raise


def _ladder_for(target: Target) -> tuple[_Security, ...]:
    """What is tried in which order; on this machine nobody can pose as the server."""
    if target.is_loopback:
        return _ON_THIS_MACHINE.get(target.tls, _LADDERS[target.tls])
    return _LADDERS[target.tls]


def _look_for_a_lack(failure: TlsFailed) -> None:
    """Raise Shortage if that is why: it must not cost a host its TLS, for an hour even.

    OpenSSL looks for authorities in a folder, and does not tell when it could not open it.
    """
    cause = failure.__cause__
    if isinstance(cause, OSError) and not isinstance(cause, ssl.SSLError) and is_shortage(cause):
        raise Shortage(f"no TLS for now: {(cause.strerror or str(cause)).lower()}") from failure
    check_descriptors()


def _problem_of(failure: TlsFailed) -> TlsProblem:
    about_certificate = isinstance(failure.__cause__, ssl.SSLCertVerificationError)
    return TlsProblem(text=str(failure), of_certificate=about_certificate)


def _following(problem: TlsProblem) -> _Security:
    """What may still be had with such a host."""
    return _Security.LENIENT if problem.of_certificate else _Security.CLEAR
