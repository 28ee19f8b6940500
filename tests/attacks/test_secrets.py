"""Secrets that a running relay has, and where they are not: logs, what `ps` shows, the environment of its children, answers, a core.

Of tracebacks and cores: `unit/test_core_dumps.py`, `e2e/test_core_dumps.py`. Of `relayd trace` and the debug log: `unit/trace/test_mask.py`.
Of the console: `console/test_console_secrets.py`.
"""

import contextlib
import os
import re
import resource
from pathlib import Path

import pytest

from tests.support.besieged import PASSWORD, USER, Besieged
from tests.support.command_tree import all_commands
from tests.support.daemon import eventually

looks_in = pytest.mark.skipif(
    os.geteuid() != 0, reason="only root looks into processes that forbid it"
)
WRONG = "wrong-but-nearly-right-4711"


def _processes(besieged: Besieged) -> list[int]:
    """All of the relay: supervisor, worker, reader of returned mail."""
    assert besieged.daemon.process is not None
    found, todo = [], [besieged.daemon.process.pid]
    while todo:
        pid = todo.pop()
        found.append(pid)
        with contextlib.suppress(OSError):
            for task in Path(f"/proc/{pid}/task").iterdir():
                todo += map(int, (task / "children").read_text().split())
    return found


def _is_there(besieged: Besieged, program: bytes) -> bool:
    """Tell whether the last one is that; before that it is a copy of the worker."""
    return program in Path(f"/proc/{_processes(besieged)[-1]}/cmdline").read_bytes()


@pytest.fixture(scope="module")
def used(besieged: Besieged) -> Besieged:
    """Passwords and tokens have gone through it, right and wrong, and mail came back, so every process is there."""
    with besieged.at(besieged.public, "127.0.30.1") as client:
        client.login(USER, PASSWORD)
        client.sendmail("app@app.test", ["secret@kept.test"], "Subject: x\n\nx\n")
    with besieged.at(besieged.public, "127.0.30.2") as client, contextlib.suppress(Exception):
        client.login(USER, WRONG)

    def path() -> list[str]:
        sent = [each for each in besieged.smarthost.messages if "secret@kept.test" in each.rcpts[0]]
        return re.findall(r"<(b\+[^>]+)>", sent[0].mail) if sent else []

    token = eventually(path, "sent")[0]
    with besieged.at(besieged.public, "127.0.30.3") as client:
        client.sendmail("", [token], "Subject: failure\n\n<secret@kept.test>: 550 5.1.1 no\n")
    eventually(lambda: _is_there(besieged, b"relayd.bounces"), "the reader of returned mail")
    return besieged


def _secrets(used: Besieged) -> list[bytes]:
    """What nobody may see: passwords in their forms, hashes, tokens of return paths, the key that makes them."""
    hashed = (used.daemon.folder / "users").read_text().split()[1]
    tokens = [
        found
        for each in used.smarthost.messages
        for found in re.findall(r"<b\+([0-9a-z]{40,})@", each.mail)
    ]
    assert tokens
    return [each.encode() for each in (PASSWORD, WRONG, hashed, *tokens)]


def test_no_secret_is_in_a_log_or_an_answer(used: Besieged) -> None:
    daemon = used.daemon
    commands = (
        ("status", "--json"),
        ("log", "--json"),
        ("config", "get", "--json"),
        ("user", "list"),
    )
    said = [daemon.run(*each) for each in commands]
    shown = "".join(each.out + each.err for each in said).encode()
    for text in (daemon.log.read_bytes(), daemon.status_log.read_bytes(), shown):
        assert text
        assert not [each for each in _secrets(used) if each in text]


@looks_in
def test_no_secret_is_in_what_others_see_of_a_process(used: Besieged) -> None:
    """Its command line is everybody's to read, and its environment goes to its children."""
    secrets = _secrets(used)
    for pid in _processes(used):
        for name in ("cmdline", "comm", "environ"):
            text = Path(f"/proc/{pid}/{name}").read_bytes()
            assert not [each for each in secrets if each in text], (pid, name)


@looks_in
def test_a_secret_in_the_environment_does_not_reach_the_reader_of_returned_mail(
    used: Besieged,
) -> None:
    """It reads what strangers wrote, and has no more than it needs."""
    reader = _processes(used)[-1]
    assert b"relayd.bounces" in Path(f"/proc/{reader}/cmdline").read_bytes()
    names = {
        each.partition(b"=")[0]
        for each in Path(f"/proc/{reader}/environ").read_bytes().split(b"\0")
    }
    assert names - {b""} <= {b"PATH", b"PYTHONPATH", b"LANG", b"LC_ALL", b"LC_CTYPE", b"TZ", b"VIRTUAL_ENV", b"LD_LIBRARY_PATH", b"PYTHONHOME", b"LD_PRELOAD"}, names  # fmt: skip


@looks_in
def test_the_memory_of_a_process_is_closed_to_its_own_user(used: Besieged) -> None:
    """No core, and nobody but root may trace it: its folder in /proc is root's."""
    for pid in _processes(used):
        soft, hard = resource.prlimit(pid, resource.RLIMIT_CORE)
        assert (soft, hard) == (0, 0), pid


def test_no_command_takes_a_secret_as_a_word() -> None:
    """What is on a command line is in `ps`, and in the history of a shell: a secret is typed, piped, or in a file."""
    named = [
        (path, parameter.name)
        for path, command in all_commands().items()
        for parameter in command.params
        if re.search("password|secret|token|credential", parameter.name or "")
        and not (getattr(parameter, "is_flag", False) or str(parameter.name).endswith("_file"))
    ]
    assert not named
