"""Find what tells in which stage of SMTP a recipient failed.

Owns the search around a recipient: the lines that are about him, and the command that a transcript
shows in front of the reply. What the words mean is `judge`'s.

Source: RFC 5321 §3.3 (stages), RFC 2920 §3.1 (commands sent together).
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from relayd.policy.inbound_bounce.recipients import HEAD
from relayd.policy.inbound_bounce.report import Report
from relayd.policy.inbound_bounce.result import CODE, DIAGNOSTIC_LIMIT

_CONTEXT_LIMIT = 2000  # characters
_ABOUT_LIMIT = 20  # lines
_NEAR = 7  # lines that an address is still the subject of
_REPLY_NEAR = 3  # lines after its command that a reply is on
_REPLY_START = 30  # characters by which a reply is found again
_TRANSCRIPT = re.compile(
    r"\A[\s>|]{0,10}(?:(?:>>>|-->|==>|=>|sent:?|sent <<<|c:)\s{0,3})?"
    r"(EHLO|HELO|MAIL FROM|RCPT TO|DATA$|BDAT|\.$|QUIT)",
    re.IGNORECASE,
)
_ANSWERS_DATA = re.compile(
    r"\b5\d\d[ -](?:5\.\d\.\d\s)?(?:[^\n]{0,20}\bneed (?:a )?rcpt|[^\n]{0,30}no valid recipient)",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class _Answer:
    """A line soon after a command."""

    line: int
    command: str
    words: str


class Surroundings:
    """The lines of a report, looked at once, however many recipients it has."""

    def __init__(self, report: Report) -> None:
        self._lines = report.lines
        self._lowered = [line.lower() for line in report.lines]
        self._text = "\n".join(self._lowered)
        self._ends = [not line.strip() or bool(HEAD.match(line)) for line in report.lines]
        commands = [_TRANSCRIPT.match(line) for line in report.lines]
        self._is_command = [command is not None for command in commands]
        self._answers = _answers(report.lines, commands)

    def of(self, address: str, diagnostic: str, *, alone: bool) -> str:
        """What may tell in which stage of SMTP the recipient failed: the words, and the command."""
        about = range(len(self._lines)) if alone else self._about(address.lower())
        words = " ".join(self._lines[n].strip() for n in about if not self._is_command[n])
        return f"{self._command_before(diagnostic)} {words}"[:_CONTEXT_LIMIT]

    def _about(self, address: str) -> list[int]:
        """The lines that name the address, each with those that follow, up to a gap or another one."""
        about: list[int] = []
        near = 0
        if address not in self._text:
            return about
        for number, line in enumerate(self._lowered):
            if address in line:
                near = _NEAR
            elif self._ends[number]:
                near = 0
            if near:
                about.append(number)
                near -= 1
        return about[:_ABOUT_LIMIT]

    def _command_before(self, diagnostic: str) -> str:
        """The command that a transcript shows in front of this reply.

        A server may answer commands that were sent together after the last of them: sendmail repeats
        what it took for an answer to RCPT as "User unknown", and DATA has an answer of its own.
        """
        words = " ".join(diagnostic[:DIAGNOSTIC_LIMIT].split())
        first = CODE.search(words)
        reply = words[first.start() if first else 0 :][:_REPLY_START].rstrip(") ")
        answered = (
            next((one for one in self._answers if reply in one.words), None) if reply else None
        )
        if answered is None:
            return ""
        follows = " ".join(self._lines[answered.line + 1 : answered.line + 4])
        together = answered.command == "DATA" and _ANSWERS_DATA.search(follows)
        return "" if together else f">>> {answered.command}"


def _answers(lines: Sequence[str], commands: Sequence[re.Match[str] | None]) -> list[_Answer]:
    """The lines that may hold the answer to a command."""
    answers: list[_Answer] = []
    command, at = "", 0
    for number, (line, said) in enumerate(zip(lines, commands, strict=True)):
        if said:
            command, at = said.group(1).upper(), number
        elif command and number - at <= _REPLY_NEAR:
            answers.append(_Answer(number, command, " ".join(line.split())))
    return answers
