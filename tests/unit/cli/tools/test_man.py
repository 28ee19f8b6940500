"""Man pages and completion come from the commands themselves."""

import shutil
import subprocess
from pathlib import Path

import click
import pytest

from relayd.cli.command import root
from tests.support.cli_world import World
from tests.support.command_tree import all_commands

ALL = all_commands()


@pytest.fixture
def pages(world: World) -> Path:
    ran = world.run_bare("man", str(world.folder / "man1"))
    assert ran.status == 0
    assert len(ran.out.splitlines()) == len(ALL)
    return world.folder / "man1"


def test_every_command_has_its_page(pages: Path) -> None:
    """With its options, and all commands below it."""
    assert {path.stem for path in pages.iterdir()} == {name.replace(" ", "-") for name in ALL}
    for name, command in ALL.items():
        text = (pages / f"{name.replace(' ', '-')}.1").read_text().replace("\\-", "-")
        assert f"\\fB{name}\\fR" in text
        for parameter in command.params:
            if isinstance(parameter, click.Option) and not parameter.hidden:
                assert parameter.opts[-1] in text, (name, parameter.opts)
        if isinstance(command, click.Group):
            for below in command.list_commands(click.Context(command)):
                assert f"{name} {below}".replace(" ", "-") in text


def test_no_line_of_text_is_a_request(pages: Path) -> None:
    for page in pages.iterdir():
        for line in page.read_text().splitlines():
            assert not line.startswith("'")
            assert not line.startswith(".") or line[1:3] in {"TH", "SH", "TP", "PP", "ad"}, line


@pytest.mark.skipif(shutil.which("groff") is None, reason="groff is not installed")
def test_groff_has_nothing_to_say(pages: Path) -> None:
    for page in pages.iterdir():
        done = subprocess.run(
            ["groff", "-man", "-Tutf8", "-ww", "-z", str(page)],
            capture_output=True,
            text=True,
            check=True,
        )
        assert not done.stderr, done.stderr


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_shell_is_given_its_script(world: World, shell: str) -> None:
    ran = world.run_bare("completion", shell)
    assert ran.status == 0
    assert f"_RELAYD_COMPLETE={shell}_complete" in ran.out


@pytest.mark.parametrize(
    ("words", "found"),
    [
        ("relayd check-", {"check-content"}),
        ("relayd queue exp", {"expedite"}),
        ("relayd status --bounce-class h", {"hard"}),
        ("relayd completion ", {"bash", "zsh", "fish"}),
    ],
)
def test_what_it_completes(
    words: str,
    found: set[str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("_RELAYD_COMPLETE", "bash_complete")
    monkeypatch.setenv("COMP_WORDS", words)
    monkeypatch.setenv("COMP_CWORD", str(len(words.split(" ")) - 1))
    with pytest.raises(SystemExit):
        root.main([], prog_name="relayd", standalone_mode=False)
    lines = capsys.readouterr().out.splitlines()
    assert {line.partition(",")[2] for line in lines} == found
