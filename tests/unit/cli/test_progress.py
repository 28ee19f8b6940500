"""The line that says how far a command is, on a real terminal and elsewhere."""

import sys
from pathlib import Path

import pytest

import relayd.cli
from relayd.cli.progress import progress
from tests.support.terminal import left_on_screen, on_terminal

COMMAND = """
import sys
import click
from relayd.cli.progress import progress

click.echo("before")
try:
    with progress() as line:
        for number in (100, 10, 1):
            line.show("waiting for more than a narrow screen shows: " + str(number))
        if sys.argv[1:]:
            raise KeyboardInterrupt
except KeyboardInterrupt:
    pass
click.echo("after")
"""


@pytest.mark.parametrize("columns", [20, 100])
@pytest.mark.parametrize("colours", [{}, {"NO_COLOR": "1"}, {"TERM": "dumb"}])
@pytest.mark.parametrize("arguments", [[], ["interrupted"]])
def test_nothing_of_it_is_left(columns: int, colours: dict[str, str], arguments: list[str]) -> None:
    command = [sys.executable, "-c", COMMAND, *arguments]
    status, shown = on_terminal(command, columns=columns, **colours)
    assert status == 0
    assert (b"waiting" in shown) == ("TERM" not in colours)
    assert left_on_screen(shown, columns=columns) == ["before", "after"]


def test_it_is_for_terminals(capsys: pytest.CaptureFixture[str]) -> None:
    with progress() as line:
        line.show("the moon")
    assert capsys.readouterr().err == ""


def test_no_command_draws_a_line_of_its_own() -> None:
    """A screen is drawn in `top`; settings that are shown have their own line ends."""
    drawing = {
        file.name
        for file in Path(relayd.cli.__path__[0]).rglob("*.py")
        if "x1b[K" in (text := file.read_text()) or ("nl=False" in text and "toml_of" not in text)
    }
    assert drawing == {"progress.py", "screen.py"}
