"""The program under its names: `mailq` shows the queue, `newaliases` has nothing to do."""

import asyncio
import os
import sys
from pathlib import Path

import pytest

from relayd.__main__ import main
from tests.support.builders import a_message
from tests.support.cli_world import World, enqueue

NO_REBUILD = "aliases are in the settings, in [aliases]: there is nothing to rebuild\n"
QUEUE = (["mailq"], ["mailq", "-v"], ["sendmail", "-bp"], ["/usr/sbin/sendmail", "-bp", "-v"])
REBUILD = (["newaliases"], ["/usr/bin/newaliases", "-v"], ["sendmail", "-bi"], ["sendmail", "-I"])


def called(argv: list[str], monkeypatch: pytest.MonkeyPatch) -> object:
    """Call the program as its command line does; return its exit status."""
    monkeypatch.setattr(sys, "argv", argv)
    with pytest.raises(SystemExit) as left:
        main()
    return left.value.code


@pytest.mark.parametrize("argv", QUEUE, ids=" ".join)
def test_what_waits_is_shown(
    world: World, monkeypatch: pytest.MonkeyPatch, argv: list[str]
) -> None:
    async def fill() -> None:
        store = world.open_store()
        await enqueue(store, a_message("waits@x.test"))
        await store.close()

    asyncio.run(fill())
    listed = world.run("queue", "list")
    assert "waits@x.test" in listed.out
    monkeypatch.setenv("RELAYD_CONFIG", str(world.settings))
    assert called(argv, monkeypatch) == os.EX_OK
    assert world.readouterr().out == listed.out


def test_without_a_queue_it_says_what_the_command_says(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RELAYD_CONFIG", str(world.settings))
    listed = world.run("queue", "list")
    assert listed.status != 0
    assert called(["mailq"], monkeypatch) == listed.status
    assert world.readouterr().err == f"{listed.err.rstrip()} (relayd explain {listed.status})\n"


@pytest.mark.parametrize("argv", REBUILD, ids=" ".join)
def test_aliases_need_no_rebuild(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], argv: list[str]
) -> None:
    """No settings are read for that, and no daemon is asked."""
    monkeypatch.setenv("RELAYD_CONFIG", "/nowhere")
    assert called(argv, monkeypatch) == os.EX_OK
    assert capsys.readouterr() == (NO_REBUILD, "")


def test_other_names_are_relayd(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert called([str(tmp_path / "relayd"), "version"], monkeypatch) == os.EX_OK
    assert "relayd" in capsys.readouterr().out
