"""What holds for all tests: where they keep their files, what they inherit, and whose lines they cover.

Files are kept in memory, where there is room: on a disk most of the time would be that of syncs. Every queue of a daemon begins with
a log of 36 MiB. One that a test opens itself begins with a short log, which grows: most tests write a few pages, and a run makes
thousands of queues. Tests kill processes and never the machine, so the disk would prove nothing more. A secret in memory may be
one that a container was given; tests of who may read one have `disk_path`.

What a shell hands on to a program that runs in its background, `nohup` or a terminal multiplexer must change no result: ignored
signals are taken back, and so is what says how wide or colourful output may be. Compiled modules are kept, even where the machine
says otherwise, as many containers do: a run starts hundreds of processes, and each would compile relayd anew, for longer than it
then works.

Under coverage, each line is noted with what ran it: the import of the tests, a test of the core (`mail/`, `policy/`), or another one.
`.ci/run` asks whether the core is covered by its own tests alone: they begin with no answers that others have had it remember.
"""

import gc
import os
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import structlog

_MEMORY = "/dev/shm"
_ROOM = 4 * 1024**3  # octets; the files of a test go when it has passed


def _is_fit() -> bool:
    """Tell whether files can be kept there, and programs among them run."""
    try:
        disk = os.statvfs(_MEMORY)
    except OSError:
        return False
    return disk.f_bavail * disk.f_frsize >= _ROOM and not disk.f_flag & os.ST_NOEXEC


if "TMPDIR" not in os.environ and _is_fit():
    os.environ["TMPDIR"] = os.environ["PYTEST_DEBUG_TEMPROOT"] = _MEMORY

# A shell without job control starts `command &` with SIGINT ignored, and nohup SIGHUP: children inherit that.
for _ignored in (signal.SIGINT, signal.SIGQUIT, signal.SIGHUP, signal.SIGTERM):
    if signal.getsignal(_ignored) is signal.SIG_IGN:
        usual = signal.default_int_handler if _ignored is signal.SIGINT else signal.SIG_DFL
        signal.signal(_ignored, usual)
for _name in ("COLUMNS", "LINES", "NO_COLOR", "FORCE_COLOR", "CLICOLOR_FORCE"):
    os.environ.pop(_name, None)
for _name in tuple(os.environ):
    if _name.startswith("RELAYD_") and not _name.startswith("RELAYD_TEST_"):
        del os.environ[_name]  # a setting, or the file of them

gc.disable()  # until all tests are collected
sys.dont_write_bytecode = False
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

os.environ["TZ"] = "UTC"  # tables are in local time
time.tzset()

_HERE = Path(__file__).parent
_CORE = (_HERE / "unit" / "mail", _HERE / "unit" / "policy")
_VOLUME = _HERE / "simulation"  # thousands of runs over lines that other tests cover


_CASES, _TESTS = 3, 2
"""Cases of one test (one of each store), and tests of one module that start processes, which coverage looks at.

It takes more than twice their time, and the others run the same lines; so do those that Hypothesis makes up. Of the core it looks at
all.
"""
_LINES = 25  # of the log of each relay, where a test failed
_looked_at: set[str] = set()  # the tests whose lines are noted, besides those of the core
_with_processes: set[str] = set()  # and those whose processes' lines are
_resting: list[Any] = []  # the coverage that is stopped
_noted: list[str] = []  # the runners, each time another one began
_FOR_CHILDREN = {
    name: os.environ[name]
    for name in ("COVERAGE_PROCESS_START", "COVERAGE_PROCESS_CONFIG")
    if name in os.environ
}


def _note_runner(runner: str) -> None:
    """Have coverage note what it sees from now on under this name; under none it rests."""
    if _noted[-1:] != [runner]:
        _noted.append(runner)
    if "coverage" not in sys.modules:
        return
    running = sys.modules["coverage"].Coverage.current()
    if not runner:
        if running is not None:
            running.stop()
            _resting.append(running)
        return
    if _resting:
        running = _resting.pop()
        running.start()
    if running is not None:
        running.switch_context(runner)


_note_runner("import")

from relayd.store.sqlite import wal  # noqa: E402 -- measured, as all imports
from tests.support.memories import forget_the_core  # noqa: E402

wal.FULL_PAGES = 64  # in this process: a daemon of a test has all of its room


def pytest_collection_modifyitems(items: Sequence[pytest.Item]) -> None:
    """Choose what coverage looks at: the same in each process of the tests, and in each run."""
    seen: Counter[str] = Counter()
    for item in items:
        name, module = item.nodeid.partition("[")[0], item.nodeid.partition("::")[0]
        seen[name] += 1
        seen[module] += seen[name] == 1
        is_volume = _VOLUME in item.path.parents or hasattr(
            getattr(item, "obj", None), "hypothesis"
        )
        if seen[name] <= _CASES and not is_volume:
            _looked_at.add(item.nodeid)
        if seen[module] <= _TESTS:
            _with_processes.add(item.nodeid)


def _is_of_the_core(item: pytest.Item) -> bool:
    return any(folder in item.path.parents for folder in _CORE)


def pytest_runtest_setup(item: pytest.Item) -> None:
    if _is_of_the_core(item):
        if _noted[-1:] != ["core"]:
            forget_the_core()
        _note_runner("core")
    else:
        _note_runner("other" if item.nodeid in _looked_at else "")
    for each, value in _FOR_CHILDREN.items():
        if item.nodeid in _with_processes:
            os.environ[each] = value
        else:
            os.environ.pop(each, None)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    """Show what the relays of a test that failed said last: what fails now and then has to tell why at once."""
    report: pytest.TestReport = yield  # type: ignore[assignment]
    folder = getattr(item, "funcargs", {}).get("tmp_path")
    if report.failed and folder is not None:
        for log in sorted(folder.rglob("daemon.log")):
            end = log.read_text(errors="replace").splitlines()[-_LINES:]
            report.sections.append((f"the end of {log.relative_to(folder)}", "\n".join(end)))
    return report  # type: ignore[return-value]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown() -> Iterator[None]:
    """Log as if nobody had set that up: a command that a test runs in this process does, and who comes next reads what is printed."""
    try:
        yield
    finally:
        structlog.reset_defaults()


def _have_hypothesis_begin() -> None:
    """Have it note its generator of random numbers: it asks who refers to that, and on Python 3.14 would not see who is frozen."""
    from hypothesis import given, settings, strategies  # noqa: PLC0415 -- only where a test uses it

    @settings(database=None)
    @given(strategies.none())
    def begin(_: None) -> None:
        pass

    begin()


@pytest.hookimpl(trylast=True)
def pytest_collection_finish() -> None:
    """Look for garbage again, but not among the tests and modules: they stay, and looking at them takes a third of the time.

    With coverage all of relayd is imported first: the processes that tests start have done so before it looks at them.
    """
    if "coverage" in sys.modules:
        from tests.support.other_users import import_all  # noqa: PLC0415 -- costs, and is for coverage alone

        import_all()
    if "hypothesis" in sys.modules:
        _have_hypothesis_begin()
    gc.freeze()
    gc.enable()


def pytest_sessionfinish() -> None:
    """Let coverage save what it has."""
    if _resting:
        _resting.pop().start()


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> object:
    """Each process has its part in order, and takes from the others what is left when it is done.

    The usual way hands out many ahead: one process would wait at the end while another still has slow ones.
    """
    from xdist.scheduler import (  # type: ignore[import-untyped] # noqa: PLC0415 -- only where there are several
        WorkStealingScheduling,
    )

    return WorkStealingScheduling(config, log)


@pytest.fixture
def unmeasured(monkeypatch: pytest.MonkeyPatch) -> None:
    """Processes that the test starts are not measured by coverage.

    Measuring takes twice their time. For tests of volume, and of processes that are killed: those leave
    no figures anyway.
    """
    for name in ("COVERAGE_PROCESS_START", "COVERAGE_PROCESS_CONFIG"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def disk_path() -> Iterator[Path]:
    """A directory that is not in memory."""
    with tempfile.TemporaryDirectory(prefix="relayd-", dir="/var/tmp") as name:
        yield Path(name)
