"""No process of relayd leaves a core, and what it logs of an error shows no values."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SECRET = "core-secret-9f2c"

CORES_ALLOWED = ("sh", "-c", 'ulimit -c "$(ulimit -Hc)"; exec "$@"', "sh")
NO_LIMIT = "import resource; resource.setrlimit = lambda *_: None"
CRASH = "import os, signal; os.kill(os.getpid(), signal.{name})"
# What the process says of itself: its limits, and PR_GET_DUMPABLE.
TELL = (
    "import ctypes, resource; print(resource.getrlimit(resource.RLIMIT_CORE),"
    " ctypes.CDLL(None).prctl(3, 0, 0, 0, 0))"
)
FORBID = "from relayd import core_dumps; core_dumps.forbid()"
MAIN = """
import sys
sys.argv = {argv!r}
from relayd.__main__ import main
try:
    main()
except SystemExit:
    pass
"""


def run(folder: Path, *lines: str) -> tuple[int, str]:
    """Run a program in `folder`, where cores may be written; return its wait status and output."""
    with subprocess.Popen(
        [*CORES_ALLOWED, sys.executable, "-c", "\n".join(lines)],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as process:
        assert process.stdout is not None
        said = process.stdout.read()
        _, status = os.waitpid(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    return status, said


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder of a process that leaves a core there: else the test would show nothing."""
    status, _ = run(tmp_path, CRASH.format(name="SIGSEGV"))
    if not os.WCOREDUMP(status):
        pytest.skip("this system keeps no cores")
    for each in tmp_path.iterdir():
        each.unlink()
    return tmp_path


@pytest.mark.parametrize("name", ["SIGSEGV", "SIGABRT", "SIGQUIT", "SIGXCPU"])
def test_a_crash_leaves_no_core(folder: Path, name: str) -> None:
    status, _ = run(folder, FORBID, CRASH.format(name=name))
    assert os.WIFSIGNALED(status)
    assert not os.WCOREDUMP(status)
    assert not list(folder.iterdir())


def test_a_system_that_does_not_heed_the_limit_gets_no_core(folder: Path) -> None:
    """One that hands cores to a program; the limit stays as it was, so only the other step counts."""
    status, _ = run(folder, NO_LIMIT, FORBID, CRASH.format(name="SIGSEGV"))
    assert os.WIFSIGNALED(status)
    assert not os.WCOREDUMP(status)


def test_what_is_forked_inherits_it(folder: Path) -> None:
    status, said = run(folder, FORBID, "import os", "os.fork() or os._exit(0)", "os.wait()", TELL)
    assert (status, said) == (0, "(0, 0) 0\n")
    _, said = run(folder, FORBID, "import os", "if os.fork(): os.wait(), os._exit(0)", TELL)
    assert said == "(0, 0) 0\n"


@pytest.mark.parametrize(
    "argv",
    [
        pytest.param(["relayd", "--version"], id="relayd"),
        pytest.param(["relayd", "status", "--help"], id="status"),
        pytest.param(["relayd", "user", "add", "--help"], id="user"),
        pytest.param(["/usr/sbin/sendmail", "-bp"], id="sendmail"),
    ],
)
def test_every_command_forbids_cores(tmp_path: Path, argv: list[str]) -> None:
    _, said = run(tmp_path, MAIN.format(argv=argv), TELL)
    assert said.splitlines()[-1] == "(0, 0) 0"


@pytest.mark.parametrize("form", ["json", "console"])
def test_a_traceback_shows_no_values(tmp_path: Path, form: str) -> None:
    """An error of ours is logged with its traceback: lines of the source, never what a variable holds."""
    program = f"""
import sys
import structlog
from relayd.logs import operational
from relayd.settings import LogSettings
operational.configure(LogSettings(status_log="-", level="info", format={form!r}))
sys.stderr = sys.stdout
def fails(password):
    return len(password) / 0
try:
    fails("".join(map(chr, {[*map(ord, SECRET)]!r})))
except ZeroDivisionError:
    structlog.get_logger().exception("worker_failed")
"""
    _, said = run(tmp_path, program)
    assert "ZeroDivisionError" in said
    assert SECRET not in said


@pytest.mark.parametrize("form", ["json", "console"])
def test_a_traceback_of_hostile_words_is_quoted(tmp_path: Path, form: str) -> None:
    """No control character of them gets out, and none of their lines begins one of the log."""
    program = f"""
import sys
import structlog
from relayd.logs import operational
from relayd.settings import LogSettings
operational.configure(LogSettings(status_log="-", level="info", format={form!r}))
sys.stderr = sys.stdout
try:
    raise ValueError("words \\x1b[2J \\x9b31m \\u202e\\n[info     ] forged")
except ValueError:
    structlog.get_logger().exception("session_failed")
"""
    _, said = run(tmp_path, program)
    assert said.replace("\n", "").isprintable()
    assert "forged" in said
    assert not [line for line in said.splitlines() if line.startswith("[info ")]
