"""The tests pass however they are started: in the background of a shell, under nohup, in a terminal multiplexer."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

_ROOT = Path(__file__).parent.parent
_TELL = """
import signal, subprocess, sys
{prepare}
child = "import signal; print([repr(signal.getsignal(each)) for each in (signal.SIGINT, signal.SIGHUP)])"
subprocess.run([sys.executable, "-c", child], check=True)
"""


def _inherited(prepare: str) -> str:
    """Start a process as a shell does in its background; return how the process that it starts takes signals."""
    ignoring = "trap '' INT HUP; exec \"$@\""
    done = subprocess.run(
        ["sh", "-c", ignoring, "sh", sys.executable, "-c", _TELL.format(prepare=prepare)],
        cwd=_ROOT,
        env={**os.environ, "COLUMNS": "31"},
        capture_output=True,
        text=True,
        check=True,
        timeout=50,
    )
    return done.stdout


def test_what_the_tests_start_can_be_interrupted() -> None:
    assert "SIG_IGN" not in _inherited("import tests.conftest")


def test_without_it_nothing_could() -> None:
    assert _inherited("").count("SIG_IGN") == 2


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGHUP])
def test_here_as_well(number: signal.Signals) -> None:
    assert signal.getsignal(number) is not signal.SIG_IGN
