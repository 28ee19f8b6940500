"""Find what tells in which stage of SMTP a recipient failed.

Owns the search around a recipient: the lines that are about him, and the command that a transcript
shows in front of the reply. What the words mean is `judge`'s.

Source: RFC 5321 §3.3 (stages), RFC 2920 §3.1 (commands sent together).
"""

import re

from relayd.policy.inbound_bounce.recipients import HEAD
from relayd.policy.inbound_bounce.report import Report
from relayd.policy.inbound_bounce.result import CODE

_CONTEXT_LIMIT = 2000  # characters
_ABOUT_LIMIT = 20  # lines
_NEAR = 7  # lines that an address is still the subject of
_REPLY_NEAR = 3  # lines after its command that a reply stands on
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


def context_of(address: str, diagnostic: str, report: Report, *, alone: bool) -> str:
    """What may tell in which stage of SMTP the recipient failed: the words, and the command."""
    about = list(report.lines) if alone else _lines_about(address, report)
    words = " ".join(line.strip() for line in about if not _TRANSCRIPT.match(line))
    return f"{_command_before(diagnostic, report)} {words}"[:_CONTEXT_LIMIT]


def _lines_about(address: str, report: Report) -> list[str]:
    """The lines that name the address, each with those that follow, up to a gap or another one."""
    about: list[str] = []
    near = 0
    for line in report.lines:
        if address.lower() in line.lower():
            near = _NEAR
        elif not line.strip() or HEAD.match(line):
            near = 0
        if near and len(about) < _ABOUT_LIMIT:
            about.append(line)
        near -= near > 0
    return about


def _command_before(diagnostic: str, report: Report) -> str:
    """The command that a transcript shows in front of this reply.

    A server may answer commands that were sent together after the last of them: sendmail repeats
    what it took for an answer to RCPT as "User unknown", and DATA has an answer of its own.
    """
    words = " ".join(diagnostic.split())
    first = CODE.search(words)
    reply = words[first.start() if first else 0 :][:_REPLY_START].rstrip(") ")
    command, at = "", 0
    for number, line in enumerate(report.lines):
        said = _TRANSCRIPT.match(line)
        if said:
            command, at = said.group(1).upper(), number
        elif command and reply and number - at <= _REPLY_NEAR and reply in " ".join(line.split()):
            follows = " ".join(report.lines[number + 1 : number + 4])
            together = command == "DATA" and _ANSWERS_DATA.search(follows)
            return "" if together else f">>> {command}"
    return ""
