"""Judge whether the daemon runs, and with what: nobody delivers what waits while it is stopped."""

from dataclasses import dataclass
from enum import StrEnum

from relayd.policy.doctor.finding import Check, Finding, Level


class DaemonState(StrEnum):
    RUNNING = "running"
    STALE = "stale"  # runs, but with other settings than the file has, or another version
    STOPPED = "stopped"
    UNKNOWN = "unknown"  # cannot be asked


@dataclass(frozen=True, slots=True, kw_only=True)
class DaemonFacts:
    state: DaemonState
    version: str = ""  # of the daemon, where it runs
    own_version: str  # of the command that asks
    problem: str = ""  # why it cannot be asked
    variables: tuple[
        str, ...
    ] = ()  # settings that only its environment has, not that of the command

    @property
    def is_other_version(self) -> bool:
        return bool(self.version) and self.version != self.own_version


def judge_daemon(facts: DaemonFacts, waiting: int | None) -> Finding:
    """Judge the daemon. `waiting`: recipients that it would deliver to; None: nobody knows."""
    level, reason, remedy = _judge(facts, waiting or 0)
    return Finding(check=Check.DAEMON, subject="", level=level, reason=reason, remedy=remedy)


def _judge(facts: DaemonFacts, waiting: int) -> tuple[Level, str, str]:
    match facts.state:
        case DaemonState.STOPPED if waiting:
            reason = f"the daemon is stopped, and {waiting} wait for it"
            return Level.FAIL, reason, "Run systemctl start relayd."
        case DaemonState.STOPPED:
            reason = "the daemon is stopped: nobody takes mail"
            return Level.WARN, reason, "Run systemctl start relayd."
        case DaemonState.UNKNOWN:
            remedy = "Ask as root, or as the user that relayd runs as."
            return Level.UNKNOWN, f"the daemon cannot be asked: {facts.problem}", remedy
        case DaemonState.STALE if facts.is_other_version:
            reason = f"the daemon is version {facts.version}, this is {facts.own_version}"
            return Level.WARN, reason, "Run systemctl restart relayd."
        case DaemonState.STALE:
            reason = "the daemon runs with other settings than the file has"
            remedy = "Run systemctl reload relayd; relayd config diff shows which."
            if facts.variables:
                reason = f"the daemon has {', '.join(facts.variables)} in its environment, and this command has not"
                remedy = "Ask with the variables that the daemon has."
            return Level.WARN, reason, remedy
        case _:
            return Level.OK, "the daemon runs with these settings", ""
