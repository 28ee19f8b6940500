"""Runs the wire scripts of this folder against a real receiver.

A script is plain text. Lines of the client end in CRLF by themselves unless they are raw; escapes
such as \\r, \\n, \\0, \\xff and \\\\ work in both. What is pushed with `C+` or `C+=` goes into the
same segment as the line above it.

    # comment           @option value...     C: line            C= raw octets
    S: exact line       S: beginning ...     C+ line            C+= raw octets
    EOF                 the client sends no more (half-close)
    RST                 the client resets the connection
    CLOSED              the server closes in order; GONE: closes or resets
    M: <from> <to>...   the next message that the store holds

A script that sends before its first `S:` line does so before the server accepts. At its end the
store holds the messages of the `M:` lines and nothing else.
"""

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from relayd.errors import CommitUnknown, StoreError, StoreFull, StoreUnavailable
from relayd.settings import LineEndings, ListenerAuth
from tests.support.receiving import (
    LOOPS,
    MemoryIntake,
    Options,
    WireClient,
    envelopes,
    receiving,
    run_on,
    until,
)

HERE = Path(__file__).parent
SCRIPTS = sorted(path.stem for path in HERE.glob("*.smtp"))
STEP = re.compile(r"(?P<verb>C:|C=|C\+=|C\+|S:|M:|@\w+|EOF|RST|CLOSED|GONE)(?: (?P<text>.*))?")
ESCAPE = re.compile(r"\\(?:x([0-9a-f]{2})|([rn0t\\]))")
ESCAPES = {"r": "\r", "n": "\n", "0": "\0", "t": "\t", "\\": "\\"}
FAULTS = {"full": StoreFull, "unavailable": StoreUnavailable, "unknown": CommitUnknown}

Step = tuple[str, str]


def read_script(name: str) -> list[Step]:
    steps = []
    for number, line in enumerate((HERE / f"{name}.smtp").read_text().splitlines(), 1):
        if line and not line.startswith("#"):
            found = STEP.fullmatch(line)
            assert found, f"{name}.smtp line {number}: {line}"
            steps.append((found["verb"], found["text"] or ""))
    assert steps[-1][0] in ("CLOSED", "GONE", "RST", "M:"), f"{name}.smtp has no end"
    return steps


def octets(text: str) -> bytes:
    def unescape(found: re.Match[str]) -> str:
        return chr(int(found[1], 16)) if found[1] else ESCAPES[found[2]]

    if text.isascii():
        return ESCAPE.sub(unescape, text).encode("latin-1")
    return text.encode()


def options_of(steps: list[Step]) -> tuple[Options, StoreError | None]:
    options, fault = Options(), None
    for verb, text in steps:
        match verb:
            case "@limit":
                name, _, value = text.partition(" ")
                limit: dict[str, Any] = {name: int(value)}
                options = replace(options, **limit)
            case "@networks":
                options = replace(options, networks=tuple(text.split()))
            case "@auth":
                options = replace(options, auth=ListenerAuth(text))
            case "@line_endings":
                options = replace(options, line_endings=LineEndings(text))
            case "@store":
                fault = FAULTS[text]("as the script wants it")
            case _:
                pass  # a step of the dialog
    return options, fault


def segments(steps: list[Step]) -> list[tuple[str, str | bytes]]:
    """The steps with each segment in one piece."""
    joined: list[tuple[str, str | bytes]] = []
    for verb, text in steps:
        if verb in ("C:", "C="):
            joined.append(("C", octets(text) + (b"\r\n" if verb == "C:" else b"")))
        elif verb in ("C+", "C+="):
            before = joined.pop()[1]
            assert isinstance(before, bytes)
            joined.append(("C", before + octets(text) + (b"\r\n" if verb == "C+" else b"")))
        elif not verb.startswith("@"):
            joined.append((verb, text))
    return joined


class Player:
    """Plays the client of one script and checks what the server says."""

    def __init__(self, client: WireClient, intake: MemoryIntake) -> None:
        self._client = client
        self._intake = intake
        self._says_hello = True  # as the greeting, the reply to a hello has no enhanced code
        self._taken = 0

    async def play(self, verb: str, content: str | bytes) -> None:
        match verb, content:
            case "C", bytes(segment):
                self._says_hello = segment[:4].upper() in (b"EHLO", b"HELO")
                await self._client.send(segment)
            case "S:", str(expected):
                await self._expect(expected)
            case "M:", str(envelope):
                await until(lambda: len(self._intake.messages) > self._taken)
                assert envelopes(self._intake.messages)[self._taken] == envelope
                self._taken += 1
            case "EOF", _:
                self._client.half_close()
            case "RST", _:
                self._client.reset()
            case "CLOSED", _:
                await self._client.closed()
            case _:
                assert await self._client.gone() == b""

    async def _expect(self, expected: str) -> None:
        line = await self._client.line()
        if expected.endswith("..."):
            assert line.startswith(expected[:-3])
        else:
            assert line == expected
        if not self._says_hello and line[0] != "3":  # S-47
            assert re.match(r"(\d)\d\d[ -]\1\.\d{1,3}\.\d{1,3} ", line), line

    def finish(self) -> None:
        assert len(self._intake.messages) == self._taken, envelopes(self._intake.messages)


async def run_script(name: str, unix_path: Path | None) -> None:
    steps = read_script(name)
    options, fault = options_of(steps)
    plan = segments(steps)
    async with receiving(options, unix_path=unix_path, start=False) as reception:
        reception.intake.fault = fault
        reception.intake.is_full = ("@disk", "full") in steps
        client = await reception.connect()
        player = Player(client, reception.intake)
        speaks_early = plan[0][0] == "C"
        if speaks_early:
            await player.play(*plan.pop(0))
        reception.start()
        for verb, content in plan:
            await player.play(verb, content)
        player.finish()


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("name", SCRIPTS)
def test_a_dialog_over_tcp(name: str, loop: str) -> None:
    run_on(loop, run_script(name, None))


@pytest.mark.parametrize("name", [name for name in SCRIPTS if not name.startswith("stranger")])
def test_a_dialog_over_a_unix_socket(name: str, tmp_path: Path) -> None:
    """Whoever may open the socket may relay; nothing else is different."""
    run_on("asyncio", run_script(name, tmp_path / "smtp"))
