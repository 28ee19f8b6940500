"""Separate what a report says from the message that came back with it.

Owns which lines of a mail are its own: the text parts in front of the returned message, HTML
reduced to text, cut where the copy of that message begins. Words found after that line prove
nothing: people write about bounces too.
"""

import html
import re
from dataclasses import dataclass
from itertools import takewhile

from relayd.policy.inbound_bounce import phrases, reporters
from relayd.policy.inbound_bounce.address import find_addresses
from relayd.policy.inbound_bounce.mime import Headers, Mail, read_headers

_TEXT_LIMIT = 1 << 15  # characters of report text looked at
_LINES_LIMIT = 1000
_LINE_LIMIT = 1000
_BREAK = re.compile(
    r"</?(?:br|p|div|tr|li|h[1-6]|table|pre|ul|ol|td)\b[^<>]{0,1000}>", re.IGNORECASE
)
_HIDDEN = re.compile(r"<(style|script|title)\b[^<>]{0,500}>[^<]{0,20000}</\1>", re.IGNORECASE)
_TAG = re.compile(r"</?[A-Za-z!][A-Za-z0-9-]*(?:\s[^<>]{0,2000})?/?>")
_ATTRIBUTION = re.compile(
    r"(?:wrote|writes|schrieb|a écrit|escribió|ha scritto|написал\w?)[^\n]{0,80}:\s*$|"
    r"^[-_\s]{0,20}(?:original message|ursprüngliche nachricht|message d'origine)[-_\s]{0,20}$",
    re.IGNORECASE,
)
_FIRST_FIELD = re.compile(r"^[A-Z][\w-]{1,40}:[ \t]?\S", re.MULTILINE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """The report text of a mail, without the message that came back."""

    lines: tuple[str, ...]
    returned: Headers  # of the message that came back, as far as it is there
    sender: frozenset[str]  # who gets the report: hardly the failed recipient

    @property
    def text(self) -> str:
        return "\n".join(self.lines)


def report_text(mail: Mail) -> str:
    """The readable text in front of the returned message, all parts, HTML reduced to text."""
    own = takewhile(lambda part: not part.is_original, mail.parts)
    texts = [part for part in own if part.is_text]
    shown = [part for part in texts if not part.is_attachment] or texts
    plain = [part for part in shown if part.content_type != "text/html"]
    pieces = [part.text() for part in plain] or [_plain(part.text()) for part in shown]
    return "\n".join(pieces)[:_TEXT_LIMIT]


def read_report(mail: Mail) -> Report:
    lines = [line[:_LINE_LIMIT] for line in report_text(mail).split("\n")[:_LINES_LIMIT]]
    if reporters.is_reply(mail):
        lines = _without_quotes(lines)
    end = next((n for n, line in enumerate(lines) if n and _starts_original(line)), len(lines))
    original = next((part for part in mail.parts if part.is_original), None)
    if original:
        returned, _ = read_headers(original.body.lstrip(b"\n"))
    else:
        returned = _fields_in("\n".join(lines[end:]))
    return Report(
        lines=tuple(lines[:end]),
        returned=returned,
        sender=frozenset(
            address.lower()
            for name in ("to", "from", "x-original-to", "delivered-to")
            for address in find_addresses(mail.headers.get(name))
        ),
    )


def _starts_original(line: str) -> bool:
    return phrases.ORIGINAL_FOLLOWS.found_in(line) or bool(phrases.ORIGINAL_FIELD.search(line))


def _without_quotes(lines: list[str]) -> list[str]:
    """What somebody wrote who answers, without what is answered."""
    end = next((n for n, line in enumerate(lines) if _ATTRIBUTION.search(line)), len(lines))
    return [line for line in lines[:end] if not line.lstrip().startswith(">")]


def _fields_in(text: str) -> Headers:
    """The header section somewhere after the line that announces it."""
    start = _FIRST_FIELD.search(text)
    return read_headers(text[start.start() :].encode())[0] if start else Headers({})


def _plain(markup: str) -> str:
    text = _BREAK.sub("\n", _HIDDEN.sub(" ", markup[: 2 * _TEXT_LIMIT].replace("\n", " ")))
    return html.unescape(_TAG.sub("", text))
