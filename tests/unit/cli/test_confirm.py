"""Asking before something is done to many recipients."""

import os
import pty
import sys
from collections.abc import Callable
from contextlib import suppress

import click
import pytest

from relayd.cli.confirm import MANY, confirm


def on_terminal(answer: str, monkeypatch: pytest.MonkeyPatch, act: Callable[[], None]) -> str:
    """Do something that somebody at a terminal answers; return what is shown there."""
    ours, theirs = pty.openpty()
    with os.fdopen(theirs) as lines, os.fdopen(os.dup(theirs), "w") as shown:
        monkeypatch.setattr(sys, "stdin", lines)  # not in a fixture: capturing sets them anew
        monkeypatch.setattr(sys, "stderr", shown)
        os.write(ours, f"{answer}\n".encode())
        act()
        monkeypatch.undo()
    told = b""
    with suppress(OSError), os.fdopen(ours, "rb", buffering=0) as terminal:
        while chunk := terminal.read(4096):  # to its end, when the other side is closed
            told += chunk
    return told.decode()


@pytest.mark.parametrize(("count", "yes"), [(0, False), (MANY, False), (10**6, True)])
def test_nobody_is_asked(count: int, *, yes: bool) -> None:
    confirm("hold them", count, yes=yes)


def test_a_script_has_to_say_it() -> None:
    with pytest.raises(click.UsageError, match="This would hold 101 recipients: add --yes"):
        confirm("hold 101 recipients", MANY + 1, yes=False)


@pytest.mark.parametrize(("answer", "goes_on"), [("y", True), ("n", False), ("", False)])
def test_a_terminal_is_asked(
    monkeypatch: pytest.MonkeyPatch, answer: str, *, goes_on: bool
) -> None:
    """What is not a yes is a no."""

    def ask() -> None:
        if goes_on:
            confirm("hold 101 recipients", MANY + 1, yes=False)
        else:
            with pytest.raises(click.Abort):
                confirm("hold 101 recipients", MANY + 1, yes=False)

    shown = on_terminal(answer, monkeypatch, ask)
    assert "Hold 101 recipients? [y/N]" in shown
    assert ("nothing was changed" in shown) is not goes_on
