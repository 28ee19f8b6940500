"""SpamAssassin's spamd: a REPORT, its score in a header field and its rules in a table of text.

The table is that of the report template that SpamAssassin comes with; where an administrator changed
that, there is a score without symbols.

Source: SpamAssassin's spamd/PROTOCOL, SPAMC/1.5.
"""

import re

from relayd.errors import CheckerDown
from relayd.mail.reply import clean_text
from relayd.net.content.exchange import exchange
from relayd.net.content.sample import Sample
from relayd.policy.intake.content import Scored, Symbol
from relayd.settings import ContentSettings

_STATUS = re.compile(r"SPAMD/[0-9.]{1,9} +(\d{1,5})(?: +(\w{1,40}))?")
_SCORE = r"-?[0-9]{1,6}(?:\.[0-9]{1,6})?"
_SPAM = re.compile(rf"(?i)spam: *\w{{1,9}} *; *({_SCORE}) */ *({_SCORE}) *")
_RULE = re.compile(rf" {{0,8}}({_SCORE}) +([A-Z_][A-Za-z0-9_]{{1,99}})(?: +(\S.*))?")
_BEGIN = re.compile(r"-+ -+ -+")
_CONTINUED = " " * 20  # at least, before the rest of a description
_TEXT_LIMIT = 300  # characters of a description
_REPORT_LIMIT = 64 * 1024  # octets


async def ask(settings: ContentSettings, sample: Sample) -> Scored:
    """Raises CheckerDown."""
    head = b"REPORT SPAMC/1.5\r\nContent-length: %d\r\n\r\n" % len(sample.content)
    return parse_answer(await exchange(settings, head, sample.content), settings.name)


def parse_answer(octets: bytes, name: str) -> Scored:
    """Read a whole answer. Raises CheckerDown."""
    head, _, body = octets.partition(b"\r\n\r\n")
    status, *fields = head.decode("latin-1").split("\r\n")
    told = _STATUS.match(status)
    if told is None:
        raise CheckerDown(f"{name}: its answer is not that of spamd")
    if int(told[1]):
        raise CheckerDown(f"{name}: it answers {told[1]} {told[2] or ''}".rstrip())
    found = next(filter(None, map(_SPAM.fullmatch, fields)), None)
    if found is None:
        raise CheckerDown(f"{name}: its answer has no score")
    report = body[:_REPORT_LIMIT].decode("utf-8", "replace").replace("\r", "").split("\n")
    return Scored(score=float(found[1]), required=float(found[2]), symbols=tuple(_symbols(report)))


def _symbols(report: list[str]) -> list[Symbol]:
    """Read the table behind its line of dashes; it is the last thing in a report."""
    begin = next((at for at, line in enumerate(report, 1) if _BEGIN.fullmatch(line)), len(report))
    symbols: list[Symbol] = []
    for line in report[begin:]:
        if rule := _RULE.fullmatch(line):
            symbols.append(Symbol(rule[2], float(rule[1]), _clean(rule[3] or "")))
        elif line.startswith(_CONTINUED) and symbols:
            last = symbols[-1]
            more = _clean(f"{last.description} {line.strip()}")
            symbols[-1] = Symbol(last.name, last.score, more)
        elif line.strip():
            break
    return symbols


def _clean(text: str) -> str:
    return clean_text(text.encode(), limit=_TEXT_LIMIT)
