"""The daemon: whether it runs, and with what, and whether its user can use the files."""

from collections.abc import Sequence

import relayd
from relayd.control import client
from relayd.doctor.as_service import mistakes_as_service
from relayd.doctor.machine import look
from relayd.errors import DaemonUnreachable, RelaydError
from relayd.policy.doctor.daemon import DaemonFacts, DaemonState, judge_daemon
from relayd.policy.doctor.finding import Check, Finding, Level
from relayd.settings import Settings

_TIMEOUT = 5.0  # seconds; a daemon that works answers at once


def ask_daemon(settings: Settings) -> DaemonFacts:
    """Return what the daemon at the control socket says of itself. Never raises for what it is like."""
    found = _ask(settings.control_socket)
    if isinstance(found, DaemonFacts):
        return found
    is_current = found.values == dict(settings.values) and found.version == relayd.__version__
    state = DaemonState.RUNNING if is_current else DaemonState.STALE
    ours = settings.variables.values()
    theirs = tuple(name for name in found.variables if name not in ours)
    return _facts(state, version=found.version, variables=theirs)


def ask_daemon_at(socket: str) -> DaemonFacts:
    """Return what the daemon there says of itself, where settings are wrong: it cannot have them. Never raises."""
    found = _ask(socket)
    if isinstance(found, DaemonFacts):
        return found
    return _facts(DaemonState.STALE, version=found.version)


def _ask(socket: str) -> client.InForce | DaemonFacts:
    """Return what it runs with, or why that is not known."""
    try:
        return client.running_settings(socket, timeout=_TIMEOUT)
    except DaemonUnreachable as error:
        absent = isinstance(error.__cause__, FileNotFoundError | ConnectionRefusedError)
        state = DaemonState.STOPPED if absent else DaemonState.UNKNOWN
        return _facts(state, problem=str(error))
    except RelaydError as error:
        return _facts(DaemonState.UNKNOWN, problem=" ".join(str(error).split()))


def check_daemon(settings: Settings, facts: DaemonFacts) -> Finding:
    """Judge it by the mail that waits for it."""
    is_stopped = facts.state is DaemonState.STOPPED
    queue = look(settings.store.url)[1] if is_stopped else None
    return judge_daemon(facts, None if queue is None else queue.waiting)


def check_as_service(settings: Settings) -> Sequence[Finding]:
    """Return a finding for each thing that the daemon's user cannot use; only root can find out."""
    return [
        Finding(
            check=Check.FILES,
            subject=each.key,
            level=Level.FAIL,
            reason=each.expected,
            remedy="Give the file to that user or its group: the daemon cannot start without it.",
        )
        for each in mistakes_as_service(settings)
    ]


def _facts(
    state: DaemonState, *, version: str = "", problem: str = "", variables: tuple[str, ...] = ()
) -> DaemonFacts:
    return DaemonFacts(
        state=state,
        version=version,
        own_version=relayd.__version__,
        problem=problem,
        variables=variables,
    )
