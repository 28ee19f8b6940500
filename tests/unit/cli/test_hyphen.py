"""`-` in the place of a file: standard input or output, or one line that refuses it. Never a file of that name."""

import io
import os
from pathlib import Path

import click
import pytest

from tests.support.cli_world import World
from tests.support.command_tree import all_commands

MAIL = b"Subject: hello\r\n\r\nno bounce\r\n"
INPUTS = {
    "relayd classify": (b"550 5.1.1 no such user\n", 0),
    "relayd parse-bounce": (MAIL, 0),
    "relayd check-content": (MAIL, 1),  # no From
    "relayd addresses import": (b"a@x.test\n", os.EX_UNAVAILABLE),  # no daemon
}
OUTPUTS = {"relayd addresses export"}
APART = {
    "relayd init",
    "relayd import",
}  # tests/e2e/: `--password-file -` is read, `import KIND -` refused
REFUSED = {"relayd support-bundle", "relayd backup", "relayd restore", "relayd move", "relayd man"}


def names_a_file(parameter: click.Parameter) -> bool:
    words = f"{parameter.name} {parameter.metavar}".lower()
    is_path = isinstance(parameter.type, click.Path | click.File)
    return is_path or any(word in words for word in ("file", "folder", "directory", "path"))


FILES = {
    name: [each for each in command.params if names_a_file(each) and each.name != "config"]
    for name, command in all_commands().items()
}


def test_the_table_has_every_command_that_takes_a_file() -> None:
    assert {name for name, files in FILES.items() if files} == {
        *INPUTS,
        *OUTPUTS,
        *APART,
        *REFUSED,
    }


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder where nothing is called `-`."""
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


@pytest.mark.parametrize("name", INPUTS)
def test_it_is_standard_input(
    world: World, monkeypatch: pytest.MonkeyPatch, elsewhere: Path, name: str
) -> None:
    octets, status = INPUTS[name]
    standard_input = io.BytesIO(octets)
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(standard_input))
    ran = world.run(*name.split()[1:], "-")
    assert ran.status == status
    assert "-: No such file" not in ran.err
    assert list(elsewhere.iterdir()) == []


def test_it_is_standard_output(world: World, elsewhere: Path) -> None:
    ran = world.run("addresses", "export", "-")
    assert ran.status == os.EX_UNAVAILABLE, "no queue yet"
    assert list(elsewhere.iterdir()) == []


@pytest.mark.parametrize("name", sorted(REFUSED))
def test_it_is_refused(world: World, elsewhere: Path, name: str) -> None:
    ran = world.run(*name.split()[1:], "-")
    assert ran.status == os.EX_USAGE
    assert ran.err.endswith(": - names no folder; one that is called so is ./-\n")
    assert list(elsewhere.iterdir()) == []


@pytest.mark.parametrize(
    "name", [name for name, each in all_commands().items() if not isinstance(each, click.Group)]
)
def test_settings_are_a_file(world: World, name: str) -> None:
    """Before the command, and after it where it takes the option."""
    words = name.split()[1:]
    for arguments in (["-c", "-", *words], [*words, "-c", "-"]):
        if arguments[0] != "-c" and "config" not in {
            each.name for each in all_commands()[name].params
        }:
            continue
        ran = world.run_bare(*arguments)
        assert (ran.status, ran.out) == (os.EX_USAGE, ""), arguments
        assert ran.err.endswith(": - names no file; one that is called so is ./-\n"), arguments
