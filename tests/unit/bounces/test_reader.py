"""Mail that comes back is read by a real child, which may be lost at any time."""

import asyncio
import encodings
import os
import resource
import signal
import sys
from collections.abc import AsyncIterator
from encodings.aliases import aliases
from pathlib import Path
from pkgutil import iter_modules
from subprocess import PIPE, Popen

import pytest

from relayd.bounces import reader as module
from relayd.bounces.reader import BounceReader, Unreadable
from relayd.errors import ReaderUnavailable
from relayd.mail.words import Category
from relayd.policy.inbound_bounce import Kind, ParsedBounce, parse_bounce
from tests.support.bounce_mails import labelled_mails
from tests.support.post import eventually

BOUNCE = (
    b"From: MAILER-DAEMON@mx.x.test\r\nSubject: failure notice\r\n\r\n"
    b"Hi. This is the qmail-send program at mx.x.test.\r\n"
    b"I'm afraid I wasn't able to deliver your message to the following addresses.\r\n\r\n"
    b"<b@x.test>:\r\nRemote host said: 550 5.1.1 no such user, so froblastic\r\n"
)
OUR_RULES = (("ours.toml", '[[rule]]\nid = "ours"\ncategory = "policy"\ntext = ["froblastic"]\n'),)
# Programs in the child's place. They stand for what a bug or the machine may do to it.
READY = "import sys, os, time, signal\ndef say(x):\n os.write(1, len(x).to_bytes(4, 'big') + x)\nsay(b'ready 1')\n"
HEAR = "os.read(0, 4)\n"


@pytest.fixture
async def reader() -> AsyncIterator[BounceReader]:
    reader = BounceReader(())
    yield reader
    reader.close()


def pretend(monkeypatch: pytest.MonkeyPatch, program: str) -> None:
    monkeypatch.setattr(module, "_PROGRAM", (sys.executable, "-S", "-c", program))


def _of(pid: int, name: str) -> str:
    return Path(f"/proc/{pid}/{name}").read_text()


def _open_files(pid: int) -> dict[str, str]:
    return {each.name: str(each.readlink()) for each in Path(f"/proc/{pid}/fd").iterdir()}


def _worker(script: str) -> "Popen[bytes]":
    return Popen((sys.executable, "-c", script), stdin=PIPE, stdout=PIPE)


def child_of(reader: BounceReader) -> int:
    assert reader._child is not None
    return reader._child._process.pid


async def test_it_says_what_the_parser_says(reader: BounceReader) -> None:
    mails = [BOUNCE, b"", b"Subject: hello\r\n\r\nhello\r\n", bytes(range(256)) * 1000]
    for mail in mails + [labelled.raw for labelled in labelled_mails()]:
        assert await reader.read(mail) == parse_bounce(mail)
    assert parse_bounce(BOUNCE).kind is Kind.BOUNCE


async def test_it_reads_every_charset(reader: BounceReader) -> None:
    """Python loads a decoder with its first use, from files that the child cannot open."""
    modules = {each.name for each in iter_modules(encodings.__path__)}
    head = BOUNCE.replace(b"\r\n\r\n", b"\r\nContent-Type: text/plain; charset=%b\r\n\r\n", 1)
    for name in sorted(modules | {*aliases, *aliases.values()} | {"x-unknown", "cp9999"}):
        charset = name.replace("_", "-").encode()
        mail = head % charset + b"\xc4\xe3\xba\xc3\r\n"
        assert await reader.read(mail) == parse_bounce(mail), name


async def test_the_operators_rules_reach_it() -> None:
    reader = BounceReader(OUR_RULES)
    parsed = await reader.read(BOUNCE)
    reader.close()
    assert isinstance(parsed, ParsedBounce)
    assert parsed.recipients[0].category is Category.POLICY


async def test_many_at_once_take_turns_with_one_child(reader: BounceReader) -> None:
    mails = [BOUNCE.replace(b"<b@", b"<b%d@" % number) for number in range(module.WAITING)]
    readings = await asyncio.gather(*map(reader.read, mails))
    named = [each.recipients[0].address for each in readings if isinstance(each, ParsedBounce)]
    assert named == [f"b{number}@x.test" for number in range(module.WAITING)]


async def test_one_more_than_may_wait_is_told_to_come_again(reader: BounceReader) -> None:
    readings = await asyncio.gather(
        *(reader.read(BOUNCE) for _ in range(module.WAITING + 3)), return_exceptions=True
    )
    assert [type(each) for each in readings[module.WAITING :]] == [ReaderUnavailable] * 3
    assert {type(each) for each in readings[: module.WAITING]} == {ParsedBounce}
    assert isinstance(await reader.read(BOUNCE), ParsedBounce)


async def test_the_child_holds_nothing_but_its_line(
    reader: BounceReader, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No descriptor, no environment, little of everything, and it does not outlive us."""
    *python, name = module._PROGRAM
    monkeypatch.setattr(module, "_PROGRAM", (*python, "tests.support.traceable", name))
    ours = os.open("/dev/null", os.O_RDONLY)
    os.set_inheritable(ours, True)  # noqa: FBT003
    await reader.read(BOUNCE)
    os.close(ours)
    pid = child_of(reader)
    open_files = _open_files(pid)
    assert set(open_files) == {"0", "1", "2"}
    assert open_files["2"] == "/dev/null"
    environment = _of(pid, "environ").split("\0")
    assert {each.partition("=")[0] for each in environment if each} <= {
        "PYTHONPATH",
        "PYTHONHOME",
        "LD_LIBRARY_PATH",
        "LC_CTYPE",
    }
    limits = {
        resource.RLIMIT_AS: 256 << 20,
        resource.RLIMIT_FSIZE: 0,
        resource.RLIMIT_NOFILE: 0,
        resource.RLIMIT_NPROC: 0,
    }
    assert {each: resource.prlimit(pid, each)[1] for each in limits} == limits
    loaded = _of(pid, "maps")
    assert "uvloop" not in loaded
    assert "apsw" not in loaded
    assert "_ssl" not in loaded


async def test_the_largest_mail_fits_into_its_memory(reader: BounceReader) -> None:
    for line in (
        b"a" * 76 + b"\r\n",
        b"<b@x.test>: 550 5.1.1 no such user\r\n",
        "é".encode() * 30 + b"\n",
    ):
        mail = (BOUNCE + line * (1 << 15))[: 1 << 20]
        assert await reader.read(mail) == parse_bounce(mail)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
async def test_signals_for_the_daemon_are_not_for_it(reader: BounceReader, number: int) -> None:
    """`systemctl kill` reaches every process of the unit; the worker finishes what it has begun."""
    await reader.read(BOUNCE)
    pid = child_of(reader)
    os.kill(pid, number)
    assert isinstance(await reader.read(BOUNCE), ParsedBounce)
    assert child_of(reader) == pid


async def test_a_child_that_was_killed_while_idle_costs_nothing(reader: BounceReader) -> None:
    await reader.read(BOUNCE)
    killed = child_of(reader)
    os.kill(killed, signal.SIGKILL)
    await eventually(lambda: not _lives(killed))
    assert isinstance(await reader.read(BOUNCE), ParsedBounce)
    assert child_of(reader) != killed


async def test_it_ends_with_its_line(reader: BounceReader) -> None:
    await reader.read(BOUNCE)
    child = reader._child
    assert child is not None
    child._line.close()
    await eventually(lambda: child.has_ended)
    assert child._process.returncode == 0


async def test_a_worker_that_is_killed_takes_it_along() -> None:
    """Also when somebody else still holds the line, so that no end is to be read there."""
    script = (
        "import asyncio, os, sys\n"
        "from relayd.bounces.reader import BounceReader\n"
        "async def main():\n"
        "    reader = BounceReader(())\n"
        "    await reader.read(b'')\n"
        "    print(reader._child._process.pid, flush=True)\n"
        "    if not os.fork():\n"
        "        os.close(1)\n"
        "        sys.stdin.read()\n"
        "        os._exit(0)\n"
        "    await asyncio.sleep(60)\n"
        "asyncio.run(main())\n"
    )
    with _worker(script) as worker:
        assert worker.stdout is not None
        pid = int(worker.stdout.readline())
        worker.kill()
        await eventually(lambda: not _lives(pid))


def _lives(pid: int) -> bool:
    try:
        status = _of(pid, "stat")
    except FileNotFoundError:
        return False
    return status.rpartition(")")[2].split()[0] not in "ZX"


CRASHES = {
    "an exit": (HEAR + "sys.exit(3)", "status 3"),
    "a signal": (HEAR + "os.kill(os.getpid(), signal.SIGSEGV)", "status -11"),
    "too much processor time, in C": (
        HEAR
        + "import re\nsignal.setitimer(signal.ITIMER_PROF, 0.05)\nre.match('(a|aa)+$', 'a' * 99 + 'b')",
        "processor time",
    ),
    "no JSON": (HEAR + "say(b'what?')\ntime.sleep(60)", "cannot be read"),
    "other JSON": (HEAR + "say(b'[]')\ntime.sleep(60)", "cannot be read"),
    "too long an answer": (HEAR + "os.write(1, b'\\xff' * 4)\ntime.sleep(60)", "too long"),
    "half an answer": (HEAR + "os.write(1, b'\\0\\0\\0\\xff{')\nsys.exit()", "status 0"),
    "no answer": (HEAR + "time.sleep(60)", "more than 0.3 s"),
}


@pytest.mark.parametrize(("program", "reason"), CRASHES.values(), ids=CRASHES)
async def test_a_mail_whose_reader_fails_is_unreadable(
    monkeypatch: pytest.MonkeyPatch, reader: BounceReader, program: str, reason: str
) -> None:
    """Nothing is concluded from it, and the next one gets a fresh child."""
    monkeypatch.setattr(module, "WALL_TIME", 0.3 if program == CRASHES["no answer"][0] else 10.0)
    with monkeypatch.context() as bad:
        pretend(bad, READY + program)
        found = await reader.read(BOUNCE)
    assert isinstance(found, Unreadable)
    assert reason in found.reason
    assert reader._child is None
    assert await reader.read(BOUNCE) == parse_bounce(BOUNCE)


NO_START = {
    "ends at once": "raise SystemExit(1)",
    "is another version": READY.replace("ready 1", "ready 0") + "time.sleep(60)",
    "says nothing": "import time; time.sleep(60)",
}


@pytest.mark.parametrize("program", NO_START.values(), ids=NO_START)
async def test_without_a_child_nothing_is_read(
    monkeypatch: pytest.MonkeyPatch, reader: BounceReader, program: str
) -> None:
    monkeypatch.setattr(module, "START_WITHIN", 0.5)
    with monkeypatch.context() as bad:
        pretend(bad, program)
        for _ in range(2):
            with pytest.raises(ReaderUnavailable):
                await reader.read(BOUNCE)
    monkeypatch.setattr(module, "START_WITHIN", 20.0)
    assert await reader.read(BOUNCE) == parse_bounce(BOUNCE)


async def test_without_a_process_nothing_is_read(
    monkeypatch: pytest.MonkeyPatch, reader: BounceReader
) -> None:
    monkeypatch.setattr(module, "_PROGRAM", ("/nonexistent/python",))
    with pytest.raises(ReaderUnavailable, match="No such file"):
        await reader.read(BOUNCE)


async def test_a_rule_file_may_be_as_large_as_it_likes() -> None:
    """More than the line between the two can hold at once."""
    reader = BounceReader(((OUR_RULES[0][0], OUR_RULES[0][1] + "# and so on\n" * 200_000),))
    assert isinstance(await reader.read(BOUNCE), ParsedBounce)
    reader.close()


async def test_a_mail_that_is_given_up_leaves_no_answer_behind(reader: BounceReader) -> None:
    """The next mail must not get the answer to this one."""
    await reader.read(BOUNCE)
    first = asyncio.ensure_future(reader.read(BOUNCE * 200))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    assert await reader.read(b"Subject: hello\r\n\r\nhello\r\n") == ParsedBounce(
        kind=Kind.NOTBOUNCE
    )
