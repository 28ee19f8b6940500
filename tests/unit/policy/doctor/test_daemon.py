"""Whether the daemon runs, and with what, as a finding."""

import pytest

from relayd.policy.doctor.daemon import DaemonFacts, DaemonState, judge_daemon
from relayd.policy.doctor.finding import Check, Level

CASES = {
    "runs": (DaemonState.RUNNING, "2.0", 9, Level.OK, "runs with these settings"),
    "other settings": (DaemonState.STALE, "2.0", 0, Level.WARN, "other settings"),
    "another version": (DaemonState.STALE, "1.9", 0, Level.WARN, "version 1.9, this is 2.0"),
    "stopped": (DaemonState.STOPPED, "", 0, Level.WARN, "stopped"),
    "stopped, nobody knows what waits": (DaemonState.STOPPED, "", None, Level.WARN, "stopped"),
    "stopped with mail": (DaemonState.STOPPED, "", 31, Level.FAIL, "stopped, and 31 wait"),
    "cannot be asked": (DaemonState.UNKNOWN, "", None, Level.UNKNOWN, "cannot be asked: closed"),
}


def test_variables_that_only_the_daemon_has_are_named() -> None:
    """An operator's shell has not the environment of the unit, and would ask about other settings."""
    facts = DaemonFacts(
        state=DaemonState.STALE, version="2.0", own_version="2.0", variables=("RELAYD_FQDN",)
    )
    assert "RELAYD_FQDN in its environment" in judge_daemon(facts, 0).reason


@pytest.mark.parametrize(
    ("state", "version", "waiting", "level", "words"), CASES.values(), ids=CASES
)
def test_the_daemon(
    state: DaemonState, version: str, waiting: int | None, level: Level, words: str
) -> None:
    facts = DaemonFacts(state=state, version=version, own_version="2.0", problem="closed")
    found = judge_daemon(facts, waiting)
    assert (found.check, found.level) == (Check.DAEMON, level)
    assert words in found.reason
    assert bool(found.remedy) == (level is not Level.OK)
