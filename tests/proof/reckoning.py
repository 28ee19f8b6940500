"""What clients know, held against what the next hop has and what the relay says, once its queue is empty.

Names of recipients say what the next hop does: it takes `fine-…`, refuses `hard-…` for ever, and puts `soft-…` off now and then.
"""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import orjson

from relayd.policy.dsn.budget import USUAL_LIMITS
from relayd.ports.view import RecipientRow, Status
from tests.proof.queues import Queue
from tests.proof.recording import is_as_sent, is_report, number_of
from tests.support.daemon import Daemon
from tests.support.ledger import Entry, Fate, Ledger, rcpts_of
from tests.support.scripted_server import Message

REPORTS_TO = "app@app.test"
_CAP = USUAL_LIMITS.per_box // 2  # each of two workers may send half of that
_ARRIVED = {Status.RELAYED, Status.SENT}
_OVER = {*_ARRIVED, Status.BOUNCED}
_FAILED = re.compile(rb"(?m)^Final-Recipient: rfc822; *(\S+)\r\n(?:\S.*\r\n)*?Action: failed\r$")


@dataclass(slots=True)
class Reckoning:
    """What came of a run."""

    messages: int = 0
    acked: int = 0
    arrived: int = 0  # recipients
    twice: int = 0  # of them, that came more than once
    reported: int = 0
    wrong: list[str] = field(default_factory=list)


def reckon(
    relay: Daemon,
    queue: Queue,
    ledger: Ledger,
    came: Sequence[Message],
    *,
    duplicates: int,
    is_signed: bool,
) -> Reckoning:
    """Compare them. The relay is stopped; the faults that it had explain so many `duplicates`."""
    mail = [message for message in came if not is_report(message)]
    reports = [message for message in came if is_report(message)]
    copies = Counter(rcpt for message in mail for rcpt in rcpts_of(message))
    extra = sum(
        count - 1
        for count in Counter((number_of(each.content), rcpts_of(each)) for each in mail).values()
    )
    reported = {rcpt.decode() for each in reports for rcpt in _FAILED.findall(each.content)}
    all_rows = relay.rows()
    rows = {row.address: row for row in all_rows if row.address != REPORTS_TO}
    made = [row for row in all_rows if row.address == REPORTS_TO]
    if len(made) >= _CAP:  # from then on they may be left out, and the history says of whom
        reported |= queue.unreported()
    wrong = [
        *_unsent(ledger, made),
        *_lost(ledger, copies, rows),
        *_not_told(ledger, rows, reported),
        *_unwanted(ledger, copies, rows),
        *_changed(ledger, mail, is_signed=is_signed),
        *_unmarked(copies, rows),
        *queue.wrong(),
        *_log(relay),
    ]
    if extra > duplicates:
        wrong.append(f"{extra} came more than once, and faults explain {duplicates}")
    return Reckoning(
        messages=len(ledger.entries),
        acked=len(ledger.of(Fate.ACKED)),
        arrived=len(copies),
        twice=sum(count > 1 for count in copies.values()),
        reported=len(reported),
        wrong=wrong,
    )


Rows = dict[str, RecipientRow]


def _unsent(ledger: Ledger, reports: Iterable[RecipientRow]) -> Iterator[str]:
    """Yield the reports that went nowhere. What a client was told in its session need not be reported as well."""
    told = sum(_is_told(entry) for entry in ledger.entries)
    dropped = [row for row in reports if row.status is Status.DROPPED]
    if len(dropped) > told:
        yield f"{len(dropped)} reports were taken back, and {told} clients were told"
    for row in reports:
        if row.status not in _ARRIVED and row not in dropped:
            yield f"a report is {row.status.value}: {row.reason}"


def _is_told(entry: Entry) -> bool:
    return entry.fate is Fate.REFUSED and entry.reply.startswith(b"5")


def _not_told(ledger: Ledger, rows: Rows, reported: Iterable[str]) -> Iterator[str]:
    """Yield whose message bounced without a word to its sender: neither in the session, nor by a report."""
    told = {rcpt for entry in ledger.entries if _is_told(entry) for rcpt in entry.recipients}
    known = told.union(reported)
    for rcpt, row in rows.items():
        if row.status is Status.BOUNCED and rcpt not in known:
            yield f"{rcpt} bounced, and its sender was not told: {row.reason}, {row.attempts} attempts"


def _lost(ledger: Ledger, copies: Counter[str], rows: Rows) -> Iterator[str]:
    for entry in ledger.of(Fate.ACKED):
        for rcpt in entry.recipients:
            row = rows.get(rcpt)
            if row is None:
                yield f"{rcpt} was acknowledged and is not there"
            elif row.status not in _OVER:
                yield f"{rcpt} is {row.status.value}"
            elif row.status in _ARRIVED and not copies[rcpt]:
                yield f"{rcpt} is {row.status.value} and did not arrive"
            elif row.status is Status.BOUNCED and rcpt.startswith("fine-"):
                yield f"{rcpt} bounced without a reason"
            elif rcpt.startswith("hard-") and row.status is not Status.BOUNCED:
                yield f"{rcpt} was refused, and is {row.status.value}"


def _unwanted(ledger: Ledger, copies: Counter[str], rows: Rows) -> Iterator[str]:
    known = {rcpt for entry in ledger.entries for rcpt in entry.recipients}
    yield from (f"nobody sent anything to {rcpt}" for rcpt in copies if rcpt not in known)
    for entry in ledger.of(Fate.REFUSED):
        yield from (f"{each} was refused and came" for each in entry.recipients if copies[each])
    waiting = [row for row in rows.values() if row.status not in _OVER]
    yield from (f"{row.address} is {row.status.value} for ever" for row in waiting)


def _changed(ledger: Ledger, mail: Iterable[Message], *, is_signed: bool) -> Iterator[str]:
    entries: dict[str, Entry] = {entry.number: entry for entry in ledger.entries}
    for message in mail:
        entry = entries.get(number_of(message.content))
        if entry is None or not is_as_sent(message.content, entry, is_signed=is_signed):
            yield f"{number_of(message.content)} came with other octets"
        elif not set(rcpts_of(message)) <= set(entry.recipients):
            yield f"{entry.number} came for others"


def _unmarked(copies: Counter[str], rows: Rows) -> Iterator[str]:
    for rcpt, count in copies.items():
        row = rows.get(rcpt)
        if row is None:
            yield f"{rcpt} came, and is not there"
        elif count > 1 and not row.possible_duplicate:
            yield f"{rcpt} came {count} times, and nothing says so"
        elif row.status not in _ARRIVED and not row.possible_duplicate:
            yield f"{rcpt} came, and is {row.status.value}"


def _log(relay: Daemon) -> Iterator[str]:
    """Yield what is wrong with the status log: a line is whole, and tells an end once."""
    ends: Counter[tuple[str, str]] = Counter()
    for line in relay.status_log.read_bytes().splitlines():
        try:
            found = orjson.loads(line)
        except ValueError:
            yield f"a line of the status log is not whole: {line[:60]!r}"
            continue
        if found.get("event") in {"relayed", "sent", "bounced"}:
            ends[found["queue_id"], found["rcpt"]] += 1
    yield from (
        f"{rcpt} has {count} ends in the log" for (_, rcpt), count in ends.items() if count > 1
    )
