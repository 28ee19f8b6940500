"""Which ways to a smarthost are tried when somebody names it for the first time: ports, and TLS on them.

The first that works is taken, so they begin with the best. A login never goes over a connection that proves no
name, except on this machine.

Source: RFC 8314 §3.3 (implicit TLS on port 465 besides STARTTLS on 587); RFC 6409 §3.1 (587 for submission).
"""

from dataclasses import dataclass

from relayd.policy.tls.ladder import TlsMode

_SUBMISSION, _SUBMISSIONS, _SMTP = 587, 465, 25


@dataclass(frozen=True, slots=True)
class Way:
    port: int
    tls: TlsMode


def ways_to(port: int | None, *, is_here: bool, logs_in: bool) -> tuple[Way, ...]:
    """Return the ways to try, in order. `port` is the one that was named; `is_here`: the host is this machine."""
    ports: tuple[int, ...] = (_SUBMISSION, _SUBMISSIONS, _SMTP) if port is None else (port,)
    if is_here:
        ports = (_SMTP, _SUBMISSION) if port is None else ports
        return tuple(
            Way(each, _proving(each) if each == _SUBMISSIONS else TlsMode.OPPORTUNISTIC)
            for each in ports
        )
    proving = [Way(each, _proving(each)) for each in ports]
    if logs_in:
        return tuple(proving)
    others = [Way(each, TlsMode.OPPORTUNISTIC) for each in ports if each != _SUBMISSIONS]
    return (*proving, *others)


def _proving(port: int) -> TlsMode:
    """Return the TLS that proves the name of the host."""
    return TlsMode.IMPLICIT if port == _SUBMISSIONS else TlsMode.VERIFY
