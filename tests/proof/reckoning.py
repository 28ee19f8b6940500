"""What clients know, held against what the next hop has and what the relay says, once its queue is empty.

Names of recipients say what the next hop does: it takes `fine-…`, refuses `hard-…` for ever, and puts `soft-…` off now and then.
"""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field

import apsw
import orjson

from relayd.policy.dsn.budget import USUAL_LIMITS
from relayd.ports.view import RecipientRow, Status
from tests.proof.recording import UNTOLD, is_as_sent, is_report, number_of
from tests.support.daemon import Daemon
from tests.support.ledger import Entry, Fate, Ledger, rcpts_of
from tests.support.scripted_server import Message

REPORTS_TO = "app@app.test"
_CAP = USUAL_LIMITS.per_box // 2  # each of two workers may send half of that
_ARRIVED = {Status.RELAYED, Status.SENT}
_OVER = {*_ARRIVED, Status.BOUNCED}
_FAILED = re.compile(rb"(?m)^Final-Recipient: rfc822; *(\S+)\r\n(?:\S.*\r\n)*?Action: failed\r$")
_UNREPORTED = (
    "SELECT address FROM event e JOIN recipient r ON r.message_id = e.message_id AND r.number = e.recipient"
    " WHERE e.kind = 'bounced' AND e.detail->>'unreported'"
)
_FINAL = (
    "SELECT address, count(*) FROM event e JOIN recipient r ON r.message_id = e.message_id AND r.number = e.recipient"
    " WHERE e.kind IN ('relayed', 'sent', 'bounced') GROUP BY e.message_id, e.recipient"
)


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
    relay: Daemon, ledger: Ledger, came: Sequence[Message], *, duplicates: int, is_signed: bool
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
    if len(reports) >= _CAP:  # from then on they may be left out, and the history says of whom
        reported |= _unreported(relay)
    all_rows = relay.rows()
    rows = {row.address: row for row in all_rows if row.address != REPORTS_TO}
    unsent = [row for row in all_rows if row.address == REPORTS_TO and row.status not in _ARRIVED]
    wrong = [
        *(f"a report is {each.status.value}: {each.reason}" for each in unsent),
        *_lost(ledger, copies, rows, reported),
        *_unwanted(ledger, copies, rows),
        *_changed(ledger, mail, is_signed=is_signed),
        *_unmarked(copies, rows),
        *_history(relay),
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


def _lost(
    ledger: Ledger, copies: Counter[str], rows: Rows, reported: Iterable[str]
) -> Iterator[str]:
    for entry in ledger.of(Fate.ACKED):
        for rcpt in entry.recipients:
            row = rows.get(rcpt)
            if row is None:
                yield f"{rcpt} was acknowledged and is not there"
            elif row.status not in _OVER:
                yield f"{rcpt} is {row.status.value}"
            elif row.status in _ARRIVED and not copies[rcpt]:
                yield f"{rcpt} is {row.status.value} and did not arrive"
            elif row.status is Status.BOUNCED and rcpt not in reported:
                yield f"{rcpt} bounced, and its sender was not told: {row.reason}, {row.attempts} attempts"
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


def _history(relay: Daemon) -> Iterator[str]:
    """Yield what is wrong with the file, and with the events in it: each is told once, to all who are to hear it."""
    with closing(apsw.Connection(str(relay.queue), flags=apsw.SQLITE_OPEN_READONLY)) as db:
        if (found := db.execute("PRAGMA integrity_check").get) != "ok":
            yield f"integrity check: {found}"
        finals = [(str(rcpt), int(str(count))) for rcpt, count in db.execute(_FINAL)]
        yield from (
            f"{rcpt} has {count} ends in the history" for rcpt, count in finals if count > 1
        )
        if untold := db.execute(UNTOLD).get:
            yield f"{untold} events have no webhook"


def _unreported(relay: Daemon) -> set[str]:
    """Return whose senders got no report because there were too many."""
    with closing(apsw.Connection(str(relay.queue), flags=apsw.SQLITE_OPEN_READONLY)) as db:
        return {str(address) for (address,) in db.execute(_UNREPORTED)}


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
