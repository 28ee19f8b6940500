"""Find the recipients in a report that people were meant to read, and what is said of each.

Owns the shapes, in order of trust: an address at the head of a line or after a label, an address
inside a sentence that tells of a failure, an address in a quoted SMTP command, a local name of the
reporter's domain. What follows an address, up to the next one, is about it. Who gets the report is
the last to be accused.

Source: the mail systems' documentation; for qmail "The qmail-send Bounce Message Format" (QSBMF).
"""

import re
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

from relayd.policy.inbound_bounce import phrases, reporters
from relayd.policy.inbound_bounce.address import ADDRESS, ANY, DOMAIN, find_addresses
from relayd.policy.inbound_bounce.mime import Headers, Mail
from relayd.policy.inbound_bounce.report import Report
from relayd.policy.inbound_bounce.result import has_failure_code

_RECIPIENTS_LIMIT = 200
_LOCAL_NAME = re.compile(
    r"\A(?:[ \t]{1,20}<?([A-Za-z0-9][\w.+-]{0,63})>?|<([A-Za-z0-9][\w.+-]{0,63})>:?)"
    r"[ \t]{0,20}(?:$|(?:(?<=[ \t]{2})|(?=\())(\S.{3,200}))"
)
# An address at the head of a line, with the marks that lists put around it.
HEAD = re.compile(
    r"\A[\s>*|•·\-]{0,20}(?:\d{1,3}[.)]\s)?[\[(]{0,2}"
    r"(?:[\w./-]{1,20};\s?|mailto:|(?:smtp|SMTP)[ :]\s?)?[<\"'\[(]{0,3}"
    + ADDRESS
    + r"[>\"'\])]{0,3}(?P<rest>.*)$"
)
_HEAD_REST = re.compile(
    r"\s*$|\s*[:;,.(\[<\-=|]|\s+(?:on|am|le|el|il|em|op|is|was|has|does|did|could|not|no|user|"
    r"invalid|unknown|error|failed|mailbox|address|account|over)\b",
    re.IGNORECASE,
)
# A reply in front of its address, as in a sendmail transcript.
_REPLYHEAD = re.compile(
    r"\A\s{0,20}[45]\d\d[ -](?:[45]\.\d{1,3}\.\d{1,3}\s+)?<?"
    + ADDRESS
    + r">?(?:\.\.\.|:|,)(?P<rest>.*)$"
)
_BEHIND_NAME = re.compile(r"\s*<" + ADDRESS + r">")
_LABEL = re.compile(
    r"\A[\s>*|\-]{0,20}(?:(?:failed|original|intended|final|target|bounced)[ -])?(?:mail |message |sent )?"
    r"(?:recipient|address|addressee|addressed to|rcpt to|to|user|error[- ]for|unknown user|invalid recipient|"
    r"destinataire|destinatario|destinatário|empfänger|odbiorca|получатель|宛先|收件人)"
    r"(?:s|\(s\)|\(es\)| address)?\s{0,5}[:=]\s{0,20}(?P<rest>.*)$",
    re.IGNORECASE,
)
_COMMAND = re.compile(r"RCPT TO:\s*<?" + ADDRESS, re.IGNORECASE)
_GENERATED = re.compile(
    r"(?:generated|expanded|forwarded|redirected|originally addressed) (?:from|by|to):?\s*<?"
    + ADDRESS,
    re.IGNORECASE,
)
_X400_RECIPIENT = re.compile(
    rf"(?<![A-Za-z=])(?:dda:)?SMTP=([\w!#$%&'*+/?^{{|}}~.-]{{1,512}}+@{DOMAIN})(?![\w@])",
    re.IGNORECASE,
)
_X400_LABEL = re.compile(r"\Asmtp=", re.IGNORECASE)
_VERP = re.compile(
    r"(?<![\w.+-])([\w.+-]{1,512}+)=((?>(?:[\w-]{1,63}+\.){1,8})[A-Za-z]{2,24}+)@", re.ASCII
)
# The mark of what is put in, `+` or the word of a list manager, with the number of the mail.
_VERP_MARK = re.compile(
    r"(?:(?<!\+)\+|-(?:return|bounces?|errors|owner)-(?:\d{1,9}-)?|(?<![+-])-)(?=.)"
)


@dataclass(frozen=True, slots=True)
class _Head:
    """A line that begins with an address."""

    line: int
    address: str
    rest: str  # what is after the address
    is_reply: bool = False  # the line is a reply, complete in itself


def named_recipients(report: Report, mail: Mail) -> dict[str, str]:
    """Addresses and what is said of each, from the first source in the report that names any."""
    blocks = blocks_of(report)
    failed = find_addresses(mail.headers.get("x-failed-recipients"))[:_RECIPIENTS_LIMIT]
    if failed and not {a.lower() for a in failed} & {a.lower() for a in blocks}:
        announced = phrases.FAILED.found_in(report.text)
        return blocks if blocks and announced else dict.fromkeys(failed, whole(report.lines))
    others = {a: words for a, words in blocks.items() if a.lower() not in report.sender}
    sentences = _in_sentences(report)
    coded = any(map(has_failure_code, others.values()))
    if others and (coded or not sentences or set(sentences) & set(others)):
        return others
    named = (
        sentences
        or _matches(_GENERATED, report)
        or _accusable(_matches(_COMMAND, report), report)
        or _local_names(report, reporters.domain_of(mail))
    )
    return dict.fromkeys(named[:_RECIPIENTS_LIMIT], whole(report.lines)) or others or blocks


def guessed_recipients(report: Report, headers: Headers) -> dict[str, str]:
    sources = (
        find_addresses(report.returned.get("x-failed-recipients")),
        _accusable(find_addresses(headers.decoded("subject")), report),
        find_addresses(report.returned.get("to"))[:1],
        _put_in(headers.get("to")),
    )
    return dict.fromkeys(next(filter(None, sources), []), whole(report.lines))


def _put_in(path: str) -> list[str]:
    """The addresses that return paths carry in their local parts."""
    found = [(_VERP_MARK.search(each[1]), each) for each in _VERP.finditer(path)]
    return [f"{each[1][mark.end() :]}@{each[2]}" for mark, each in found if mark]


def names_others(report: Report, found: Collection[str]) -> bool:
    """Whether the report speaks of an address that is neither of `found` nor its reader's."""
    known = report.sender | {address.lower() for address in found}
    return any(address.lower() not in known for address in find_addresses(report.text))


def blocks_of(report: Report) -> dict[str, str]:
    """Addresses that head a line, each with what is said of it, up to the next one."""
    blocks: dict[str, str] = {}
    spelt: dict[str, str] = {}  # as it was written first
    settled: set[str] = set()  # a reply was found for it
    everything = whole(report.lines)
    heads = _heads(report)
    stops = [*(one.line for one in heads), len(report.lines)][1:]
    for head, stop in zip(heads, stops, strict=True):
        known = spelt.setdefault(head.address.lower(), head.address)
        if known not in settled:
            behind = () if head.is_reply else report.lines[head.line + 1 : stop]
            block = _reason([head.rest, *behind])
            if has_failure_code(block):
                settled.add(known)
                blocks[known] = block
            else:
                blocks[known] = blocks.get(known) or block
        if len(blocks) >= _RECIPIENTS_LIMIT:
            break
    if not settled and has_failure_code(everything):
        return dict.fromkeys(blocks, everything)  # one reply, in front of all the addresses
    return {address: block or everything for address, block in blocks.items()}


def _local_names(report: Report, domain: str | None) -> list[str]:
    """Names without a domain, each at the head of an indented line after the announcement of failure."""
    if domain is None:
        return []
    start = _first(report, phrases.FAILED.found_in)
    if start is None:
        return []
    named = [(line, _LOCAL_NAME.match(line)) for line in report.lines[start:]]
    return [
        f"{found.group(1) or found.group(2)}@{domain}"
        for line, found in named
        if found and (not found.group(3) or phrases.FAILED.found_in(found.group(3)))
    ]


def _first(report: Report, says: Callable[[str], bool]) -> int | None:
    """The first line that says it. The whole text is asked before each of its lines."""
    if not says(report.text):
        return None
    return next((n for n, line in enumerate(report.lines) if says(line)), None)


def _heads(report: Report) -> list[_Head]:
    """The lines that an address heads, and that accuse it."""
    announced = _first(report, phrases.announces) or 0
    heads = []
    for number, line in enumerate(report.lines):
        head = _head(number, line, report.lines)
        if head and not (number and phrases.HELP_LINE.found_in(report.lines[number - 1])):
            heads.append(head)
    accused = [head for head in heads if head.address.lower() not in report.sender] or heads
    behind = [head for head in accused if head.line >= announced or _has_reply(report, head.line)]
    return behind or accused


def _has_reply(report: Report, number: int) -> bool:
    """A reply follows at once, so this line needs no sentence in front of it."""
    near = "\n".join(report.lines[number : number + 4])
    return has_failure_code(near) and not _LABEL.match(report.lines[number])


def _head(number: int, line: str, lines: Sequence[str]) -> _Head | None:
    label = _LABEL.match(line)
    text = label.group("rest") if label else line
    found = HEAD.match(text)
    if found and (label or _HEAD_REST.match(found.group("rest"))):
        inner = _BEHIND_NAME.match(found.group("rest"))  # a display name that looks like one
        address = inner.group(1) if inner else found.group(1)
        return _Head(number, address.rstrip("."), found.group("rest").lstrip(" :;,."))
    found = _REPLYHEAD.match(text)
    if found:
        said = lines[number - 1] if number and lines[number - 1].startswith("<<<") else ""
        return _Head(number, found.group(1), f"{said} {line}", is_reply=True)
    found = _X400_RECIPIENT.search(text)
    return _Head(number, found.group(1), "") if found else None


def _in_sentences(report: Report) -> list[str]:
    """Addresses on lines that tell of the failure, or on the line before or after one."""
    named: list[str] = []
    lines = [line for line in report.lines if line.strip()]
    for number, line in enumerate(lines):
        around = " ".join(lines[max(0, number - 1) : number + 2])
        if "@" in line and phrases.announces(around):
            named.extend(
                _X400_LABEL.sub("", match.group(1).rstrip("."))
                for match in ANY.finditer(line)
                if not phrases.HELP_LINE.found_in(line[: match.start(1)])
            )
    return list(dict.fromkeys(_accusable(named, report)))


def _accusable(addresses: list[str], report: Report) -> list[str]:
    return [address for address in addresses if address.lower() not in report.sender]


def _matches(pattern: re.Pattern[str], report: Report) -> list[str]:
    return list(dict.fromkeys(match.group(1) for match in pattern.finditer(report.text)))


def _reason(lines: Sequence[str]) -> str:
    """The part of a block that gives the reason: the paragraph with the reply, else the first."""
    return _reply_in(lines) or " ".join(_paragraph(lines)).strip() or whole(lines)


def whole(lines: Sequence[str]) -> str:
    """The reply that a report quotes, else all that it says."""
    return _reply_in(lines) or " ".join(line.strip() for line in lines if line.strip())[:1000]


def _reply_in(lines: Sequence[str]) -> str:
    number = next((n for n, line in enumerate(lines) if has_failure_code(line)), None)
    if number is None:
        return ""
    start = max(0, number - 1) if number and lines[number - 1].strip() else number
    return " ".join(_paragraph(lines[start:]))


def _paragraph(lines: Sequence[str]) -> list[str]:
    end = next((n for n, line in enumerate(lines) if n and not line.strip()), len(lines))
    return [line.strip() for line in lines[:end]]
