import os
import platform
import re
import subprocess
import sys
from pathlib import Path

import apsw
import click
import pytest

from relayd import __version__
from relayd.cli import command
from relayd.errors import (
    ConfigError,
    DaemonUnreachable,
    LeaseLost,
    Mistake,
    RelaydError,
    SchemaMismatch,
    StartError,
    StoreFull,
    StoreUnavailable,
)
from relayd.store.sqlite.connection import prepare
from tests.support.cli_world import STOPPED_LINE, World

MISTAKES = (
    Mistake(file="f", key="fqdn", value="'x'", expected="a name with a dot"),
    Mistake(file="f", key="", value="", expected="cannot be read"),
)
STATUSES: dict[str, tuple[RelaydError | OSError, int, int]] = {
    "settings": (ConfigError(MISTAKES), os.EX_CONFIG, 2),
    "no daemon": (DaemonUnreachable("no daemon"), os.EX_UNAVAILABLE, 1),
    "store away": (StoreUnavailable("locked"), os.EX_TEMPFAIL, 1),
    "store full": (StoreFull("full"), os.EX_TEMPFAIL, 1),
    "other version": (SchemaMismatch("7, expected 6"), os.EX_DATAERR, 1),
    "cannot start": (StartError("port in use"), os.EX_OSERR, 1),
    "a file": (FileNotFoundError(2, "No such file", "/x\n"), os.EX_IOERR, 1),
    "output": (OSError(28, "No space left on device"), os.EX_IOERR, 1),
    "any other": (LeaseLost("gone"), os.EX_SOFTWARE, 1),
    "many lines": (RelaydError("a\nb\x1b[31m"), os.EX_SOFTWARE, 1),
}


@pytest.mark.parametrize(("error", "status", "lines"), STATUSES.values(), ids=STATUSES)
def test_every_error_has_a_status_and_one_line(
    error: RelaydError | OSError, status: int, lines: int, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command.report(error) == status
    printed = capsys.readouterr().err.splitlines()
    assert len(printed) == lines
    assert all(line.isprintable() for line in printed)


def test_every_command_exists() -> None:
    context = click.Context(command.root)
    for name in command.root.list_commands(context):
        assert isinstance(command.root.get_command(context, name), click.Command), name


USAGE = {
    "unknown command": ["frobnicate"],
    "unknown option": ["status", "--frob"],
    "unknown verb": ["queue", "return"],
    "status without a value": ["status", "--status", "lost"],
    "show without an id": ["status", "show"],
}


@pytest.mark.parametrize("arguments", USAGE.values(), ids=USAGE)
def test_wrong_usage_is_64(world: World, arguments: list[str]) -> None:
    ran = world.run(*arguments)
    assert (ran.status, ran.out) == (os.EX_USAGE, "")
    assert "Usage: relayd" in ran.err


def test_version(world: World) -> None:
    """The version, the commit where it is known, Python and SQLite: what a report of a fault has to name."""
    ran = world.run_bare("--version")
    commit = r"( \(commit [0-9a-f]{12}(-dirty)?\))?"
    beneath = re.escape(f"Python {platform.python_version()}, SQLite {apsw.sqlite_lib_version()}")
    line = rf"relayd {re.escape(__version__)}{commit}, {beneath}\n"
    assert ran.status == 0
    assert re.fullmatch(line, ran.out), ran.out


def test_the_settings_file_may_be_named_anywhere(
    world: World, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """-c before or after the command; RELAYD_CONFIG only without -c."""
    good, bad = str(world.settings), str(tmp_path / "absent.toml")
    assert world.run_bare("-c", good, "check").status == 0
    assert world.run_bare("check", "-c", good).status == 0
    assert world.run_bare("-c", bad, "check", "-c", good).status == 0
    monkeypatch.setenv("RELAYD_CONFIG", bad)
    assert world.run_bare("check").status == os.EX_CONFIG
    assert world.run_bare("-c", good, "check").status == 0
    assert world.run_bare("check", "-c", good).status == 0
    monkeypatch.setenv("RELAYD_CONFIG", good)
    assert world.run_bare("check").status == 0


def test_interrupt_is_130(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(click.Group, "invoke", interrupted)
    assert world.run("check").status == 130


NOT_IMPORTED = {
    "help": (["--help"], ("rich", "apsw", "pydantic", "aiosmtpd")),
    "serve": (["serve", "--help"], ("rich", "apsw", "pydantic", "relayd.cli.ask.status")),
    "status": (["status", "--help"], ("rich", "apsw", "pydantic", "relayd.cli.ask.queue")),
    "addresses": (["addresses", "--help"], ("pydantic", "asyncio", "relayd.control.client")),
    "queue list": (["queue list --help"], ("pydantic", "asyncio", "relayd.control.client")),
}


@pytest.mark.parametrize(("arguments", "modules"), NOT_IMPORTED.values(), ids=NOT_IMPORTED)
def test_command_imports_only_its_own(arguments: list[str], modules: tuple[str, ...]) -> None:
    code = (
        "import sys; from relayd.cli.command import run; status = run(sys.argv[1].split())\n"
        "found = [name for name in sys.argv[2:] if name in sys.modules]\n"
        "sys.exit(f'imported {found}' if found else status)"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code, " ".join(arguments), *modules],
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )
    assert (ran.returncode, ran.stderr) == (0, "")


def test_reader_that_goes_away_is_no_traceback(world: World) -> None:
    """`relayd ... | head -1` ends quietly."""
    command = f"'{sys.executable}' -m relayd -c '{world.settings}' check; echo $? >&2"
    read, write = os.pipe()
    os.close(read)
    ran = subprocess.run(
        ["sh", "-c", command],
        stdout=write,
        stderr=subprocess.PIPE,
        text=True,
        check=True,
        timeout=30,
    )
    os.close(write)
    assert ran.stderr == "1\n"


@pytest.mark.parametrize(
    "arguments", [["--version"], ["check"], ["man", "--help"], ["status"]], ids=" ".join
)
def test_output_that_fails_is_one_line(world: World, arguments: list[str]) -> None:
    prepare(str(world.folder / "queue.db"))
    with Path("/dev/full").open("wb") as full:
        ran = subprocess.run(
            [sys.executable, "-m", "relayd", "-c", str(world.settings), *arguments],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
            timeout=30,
        )
    assert ran.returncode == os.EX_IOERR
    said = ran.stderr.removeprefix(STOPPED_LINE)
    assert said == "relayd: input or output: No space left on device (relayd explain 74)\n"


@pytest.mark.parametrize(
    ("closed", "arguments", "status"),
    [
        (">&-", "status", os.EX_OK),
        (">&- 2>&-", "status --since 7d", os.EX_OK),
        ("<&-", "classify --jsonl", os.EX_OK),
        ("<&-", "user add ann", os.EX_DATAERR),
    ],
)
def test_a_stream_that_is_closed_is_empty(
    world: World, closed: str, arguments: str, status: int
) -> None:
    prepare(str(world.folder / "queue.db"))
    ran = subprocess.run(
        ["sh", "-c", f"'{sys.executable}' -m relayd -c '{world.settings}' {arguments} {closed}"],
        stderr=subprocess.PIPE,
        text=True,
        check=False,
        timeout=30,
    )
    assert (ran.returncode, "Traceback" in ran.stderr) == (status, False)


def test_a_folder_that_cannot_be_made_is_one_line(world: World) -> None:
    ran = world.run("man", f"{world.settings}/man1")
    assert (ran.status, ran.out) == (os.EX_IOERR, "")
    assert ran.err == f"relayd: {world.settings}/man1: Not a directory\n"
