"""Completion of files, settings keys and queue ids: quick, and quiet when nothing can be read."""

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from relayd.cli import completing
from relayd.cli.command import root
from relayd.mail.ids import format_id
from relayd.mail.pause import Named, PauseRule, Scope, Side
from tests.support.builders import a_message
from tests.support.cli_world import World, enqueue
from tests.support.clock import START
from tests.support.people import ROOT, a_key, an_account
from tests.support.tls_counts import a_tls_session


def complete(
    world: World, monkeypatch: pytest.MonkeyPatch, words: str, shell: str = "bash"
) -> list[str]:
    """Return what the words are completed to, as click tells the shell."""
    line = f"relayd -c {world.settings} {words}"
    world.readouterr()
    with monkeypatch.context() as patch:
        patch.setenv("_RELAYD_COMPLETE", f"{shell}_complete")
        patch.setenv("COMP_WORDS", line)
        patch.setenv(
            "COMP_CWORD",
            line.rsplit(" ", maxsplit=1)[-1] if shell == "fish" else str(line.count(" ")),
        )
        with pytest.raises(SystemExit):
            root.main([], prog_name="relayd", standalone_mode=False)
    printed = world.readouterr()
    assert printed.err == ""
    return [str(line) for line in printed.out.splitlines() if line]


@pytest.fixture
async def ids(world: World) -> list[str]:
    store = world.open_store()
    messages = [a_message(f"r{number}@x.test") for number in range(3)]
    await enqueue(store, *messages)
    await store.close()
    return [format_id(message.id) for message in messages]


@pytest.mark.parametrize(
    "words",
    ["status ", "status show ", "queue hold ", "queue list ", "queue expedite ", "trace "],
)
def test_queue_ids_come_from_the_store(
    world: World, monkeypatch: pytest.MonkeyPatch, ids: list[str], words: str
) -> None:
    found = complete(world, monkeypatch, words)
    assert {f"plain,{one}" for one in ids} <= set(found)
    assert complete(world, monkeypatch, words + ids[0].lower()) == [f"plain,{ids[0]}"]
    assert any("r0@x.test queued" in line for line in complete(world, monkeypatch, words, "zsh"))


def test_what_is_on_the_line_is_not_offered_again(
    world: World, monkeypatch: pytest.MonkeyPatch, ids: list[str]
) -> None:
    offered = complete(world, monkeypatch, f"queue hold {ids[0]} ")
    assert offered == [f"plain,{one}" for one in reversed(ids[1:])]


@pytest.mark.parametrize("fault", ["no queue", "no settings", "a folder", "no text", "no database"])
def test_what_cannot_be_read_completes_to_nothing(
    world: World, monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    match fault:
        case "no settings":
            world.settings.unlink()
        case "a folder":
            (world.folder / "queue.db").mkdir()
        case "no text":
            world.settings.write_bytes(b"\xff[[[")
        case "no database":
            (world.folder / "queue.db").write_bytes(b"x" * 5000)
        case _:
            assert fault == "no queue"
    assert complete(world, monkeypatch, "status show 0") == []


def test_a_store_that_hangs_is_not_waited_for(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A pipe that nobody writes to is opened for ever."""
    world.settings.unlink()
    os.mkfifo(world.settings)
    monkeypatch.setattr(completing, "_PATIENCE", 0.05)
    assert complete(world, monkeypatch, "status show 0") == []
    os.close(os.open(world.settings, os.O_RDWR))  # and its reader ends


@pytest.mark.parametrize("words", ["config get smarthost.tl", "config unset smarthost.tl"])
def test_settings_keys(world: World, monkeypatch: pytest.MonkeyPatch, words: str) -> None:
    assert complete(world, monkeypatch, words) == ["plain,smarthost.tls"]


def test_keys_that_are_in_the_file(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Names of aliases and further listeners, also where the settings are wrong; no quotes."""
    world.settings.write_text(
        '[aliases]\nroot = "ann@x.test"\n[[listen]]\n[[listen]]\naddress = 7\n'
        '[routes]\n"*.x.test" = "direct"\n'
    )
    assert complete(world, monkeypatch, "config set aliases.") == ["plain,aliases.root"]
    assert complete(world, monkeypatch, "config get listen.1.a") == ["plain,listen.1.address"]
    assert complete(world, monkeypatch, "config unset routes.") == []


async def test_names_of_people_and_keys(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    store = world.open_store()
    for name in ("anna", "ben"):
        await store.people.add_account(an_account(name), author=ROOT)
    await store.people.add_key(a_key(), author=ROOT)
    await store.close()
    for words in ("user set ", "user password ", "user remove ", "sessions end "):
        assert complete(world, monkeypatch, f"console {words}") == ["plain,anna", "plain,ben"]
    assert complete(world, monkeypatch, "console user add ") == []
    for words in ("key set ", "key remove s"):
        assert complete(world, monkeypatch, f"console {words}") == ["plain,shop"]


async def test_numbers_of_pauses(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    assert complete(world, monkeypatch, "resume ") == []
    store = world.open_store()
    rule = PauseRule(
        named=Named(Scope.TAG, "x"),
        sides=frozenset(Side),
        since=START,
        until=None,
        by="ann",
        reason="",
    )
    await store.pause([rule])
    await store.close()
    assert complete(world, monkeypatch, "resume ") == ["plain,1", "plain,all"]
    assert complete(world, monkeypatch, "resume 1 ") == []


async def test_days_of_tls_sessions(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    store = world.open_store()
    await store.trust.add_tls_results({a_tls_session(): 2, a_tls_session("y.test"): 1})
    await store.close()
    assert complete(world, monkeypatch, "tlsrpt show ") == ["plain,2026-03-01"]


WORDS = {
    "help ": ("plain,queue", "plain,status"),
    "help queue ho": ("plain,hold",),
    "help queue hold ": (),
    "help nothing ": (),
    "pauses --columns ": ("plain,pause", "plain,until"),
    "pauses --columns pause,unt": ("plain,pause,until",),
    "pauses --columns until,unt": (),
}


@pytest.mark.parametrize(("words", "found"), WORDS.items(), ids=WORDS)
def test_words_that_are_known(
    world: World, monkeypatch: pytest.MonkeyPatch, words: str, found: Sequence[str]
) -> None:
    offered = complete(world, monkeypatch, words)
    assert set(found) <= set(offered)
    assert found or not offered


@pytest.mark.parametrize("words", ["parse-bounce ", "check-content ", "status -c ", "backup "])
def test_files_are_left_to_the_shell(
    world: World, monkeypatch: pytest.MonkeyPatch, words: str
) -> None:
    kinds = {line.partition(",")[0] for line in complete(world, monkeypatch, words)}
    assert kinds <= {"file", "dir"}
    assert kinds


BASH = """
eval "$(relayd completion bash)"
COMP_WORDS=(relayd {words}); COMP_CWORD=$(( ${{#COMP_WORDS[@]}} - 1 ))
compopt() {{ :; }}
_relayd_completion relayd
printf '%s\\n' "${{COMPREPLY[@]}}"
"""
FISH = """
relayd completion fish | source
complete -C "relayd {words}"
"""
ZSH = """
compdef() {{ :; }}
compadd() {{ for one in "$@"; do print -r -- $one; done; }}
_describe() {{ print -rl -- ${{(P)4}}; }}
eval "$(relayd completion zsh)"
words=(relayd {words}); CURRENT=$#words
_relayd_completion
"""
SHELLS = {"bash": BASH, "fish": FISH, "zsh": ZSH}


@pytest.mark.parametrize("shell", SHELLS)
def test_a_real_shell_completes_an_id(
    world: World, tmp_path: Path, ids: list[str], shell: str
) -> None:
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed")
    program = tmp_path / "bin/relayd"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m relayd "$@"\n')
    program.chmod(0o755)
    path = f"{program.parent}:{os.environ['PATH']}"
    ran = subprocess.run(
        [shell, "-c", SHELLS[shell].format(words=f"queue hold {ids[1][:-2]}")],
        env={**os.environ, "PATH": path, "RELAYD_CONFIG": str(world.settings)},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert ids[1] in ran.stdout, ran.stderr
    assert ran.stderr == ""
