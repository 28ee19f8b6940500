"""The line that `check` and `doctor` begin with."""

import pytest

from relayd.answers.standing import Standing, fields, in_one_line
from relayd.policy.doctor.daemon import DaemonFacts, DaemonState

CASES = {
    "runs": (DaemonState.RUNNING, "2.0", "running"),
    "other settings": (DaemonState.STALE, "2.0", "stale (it runs with other settings: "),
    "another version": (DaemonState.STALE, "1.9", "stale (it is version 1.9: "),
    "stopped": (DaemonState.STOPPED, "", "stopped, version"),
    "cannot be asked": (DaemonState.UNKNOWN, "", "unknown (not allowed)"),
}


@pytest.mark.parametrize(("state", "version", "words"), CASES.values(), ids=CASES)
def test_one_line(state: DaemonState, version: str, words: str) -> None:
    daemon = DaemonFacts(state=state, version=version, own_version="2.0", problem="not allowed")
    line = in_one_line(Standing(mode="direct", redirect="", daemon=daemon))
    assert line.startswith("mode: direct, redirect: none, daemon: ")
    assert words in line
    assert line.endswith(", version: 2.0")
    told = fields(Standing(mode="direct", redirect="qa@x.test", daemon=daemon))
    assert (told["redirect"], told["daemon"], told["version"]) == ("qa@x.test", state, "2.0")
    assert told["daemon_version"] == (version or None)
