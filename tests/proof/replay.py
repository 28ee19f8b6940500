"""A relay started on what a power cut left, and judged.

What was acknowledged before the cut arrives, or was refused by the next hop; with the same octets; a second time only if the relay
had not told yet that it had arrived. Nobody repairs anything.
"""

import random  # noqa: TID251 -- seeded
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

import apsw
import orjson

from relayd.mail.content import Content
from relayd.ports.view import Query, RecipientRow, Status
from relayd.store import open_view
from tests.proof.disk import Disk, State
from tests.proof.queues import UNTOLD
from tests.proof.record import Kind, Step, read
from tests.proof.recording import (
    WEBHOOKS,
    Recording,
    a_next_hop,
    is_as_sent,
    is_report,
    number_of,
)
from tests.support.daemon import a_daemon, eventually
from tests.support.ledger import Entry, rcpts_of
from tests.support.scripted_server import Message

_UNFINISHED = Query(unfinished=True)
_ARRIVED = {Status.RELAYED.value, Status.SENT.value}
_OVER = (*_ARRIVED, Status.BOUNCED.value)


@dataclass(slots=True)
class Known:
    """What the world knew at the instant of a cut."""

    acked: set[str] = field(default_factory=set)  # numbers of messages
    taken: Counter[str] = field(default_factory=Counter)  # by recipient
    told: dict[str, str] = field(default_factory=dict)  # fates in the status log, by recipient

    def see(self, step: Step) -> None:
        if step.kind is Kind.MARK:
            word, number, *recipients = step.path.split()
            if word == "acked":
                self.acked.add(number)
            else:
                self.taken.update(recipients)
        elif step.kind is Kind.WRITE and step.data.startswith(b'{"'):
            for line in step.data.splitlines():
                self._read(line)

    def _read(self, line: bytes) -> None:
        try:
            found = orjson.loads(line)
        except ValueError:
            return
        if found.get("status") in _OVER and "rcpt" in found:
            self.told[found["rcpt"]] = found["status"]

    def copy(self) -> "Known":
        return Known(set(self.acked), Counter(self.taken), dict(self.told))


@dataclass(frozen=True, slots=True)
class Cut:
    """A cut: after how many steps, what was known, and how much was not durable."""

    step: int
    known: Known
    disk: Disk


def cuts(recording: Recording, wanted: int, chance: random.Random) -> Iterator[Cut]:
    """Yield that many cuts, in the order of time. The disk of one is good until the next is asked for."""
    at = set(_moments(recording, wanted, chance))
    disk, known = Disk(recording.folder), Known()
    for number, step in enumerate(read(recording.record), 1):
        disk.follow(step)
        known.see(step)
        if number in at:
            yield Cut(number, known, disk)


def _moments(recording: Recording, wanted: int, chance: random.Random) -> list[int]:
    """Return the numbers of steps: half of them anywhere, half where somebody has just been told, or is about to be.

    A tenth is of the time before anybody has an acknowledgement: a relay has to start on that, and there is nothing to look for.
    """
    early, late, telling = [0], list[int](), list[int]()
    for number, step in enumerate(read(recording.record), 1):
        is_acked = step.kind is Kind.MARK and step.path.startswith("acked ")
        (late if late or is_acked else early).append(number)
        if late and step.kind in {Kind.MARK, Kind.SYNC_ENDS}:
            telling += [number - 1, number]
    few, half = min(wanted // 10, len(early)), min(wanted // 2, len(late))
    anywhere = chance.sample(early, few) + chance.sample(late, half)
    return anywhere + chance.sample(telling, min(wanted - len(anywhere), len(telling)))


def write(state: State, recording: Recording, place: Path) -> None:
    """Make the files of a state, in another folder. Sockets, settings and logs of the process are not among them."""
    for path, content in sorted(state.items()):
        target = place / Path(path).relative_to(recording.folder)
        if content is None:
            target.mkdir(parents=True, exist_ok=True)
        elif target.parent.is_dir():  # else it is in a folder that is not there
            target.write_bytes(content)


def look(place: Path, recording: Recording, known: Known) -> list[str]:
    """Return what is wrong with a queue before anybody starts on it; it stays as it is."""
    queue = place / "queue.db"
    if not known.acked:
        return []
    before = _stamps(queue)
    wrong = list(_wrong_in(queue, recording, known))
    assert _stamps(queue) == before, "nobody repairs anything"
    return wrong


def _stamps(queue: Path) -> dict[str, tuple[int, int]]:
    """Return what changes with what is in a queue."""
    found = {each.name: each.stat() for each in (queue, Path(f"{queue}-wal")) if each.exists()}
    return {name: (each.st_size, each.st_mtime_ns) for name, each in found.items() if each.st_size}


def _wrong_in(queue: Path, recording: Recording, known: Known) -> Iterator[str]:
    with closing(apsw.Connection(str(queue), flags=apsw.SQLITE_OPEN_READONLY)) as db:
        untold = db.execute(UNTOLD).get
    if untold:
        yield f"{untold} events have no webhook"
    with closing(open_view(f"sqlite:{queue}")) as view:
        rows = {row.address: row for row in view.find(Query(), limit=100_000)}
        for number in known.acked:
            entry = recording.entries[number]
            missing = [rcpt for rcpt in entry.recipients if rcpt not in rows]
            yield from (f"{rcpt} was acknowledged and is not there" for rcpt in missing)
            mine = [rows[rcpt] for rcpt in entry.recipients if rcpt in rows]
            for row in mine:
                if row.address in known.told and row.status.value not in _OVER:
                    told = known.told[row.address]
                    yield f"{row.address} is {row.status.value}, and was told to be {told}"
            waiting = [row for row in mine if row.status.value not in _OVER]
            if waiting:
                content = view.content_of(waiting[0].message_id)
                if content is None or not _is_of(_octets(content), entry, recording):
                    yield f"{number} has other octets"


def start(place: Path, recording: Recording, known: Known) -> list[str]:
    """Start a relay on it; return what is wrong once its queue is empty."""
    with a_next_hop(is_direct=recording.is_direct) as hop:
        with a_daemon(place, hop.port, workers=1, more=WEBHOOKS, **hop.settings) as relay:
            eventually(lambda: not relay.rows(_UNFINISHED), "each message has its fate", within=30)
            rows = relay.rows()
            status = relay.stop()
        wrong = [] if status == 0 else [f"it ended with {status}"]
        came = [message for message in hop.messages if not is_report(message)]
        wrong += _judge(recording, known, came, rows)
    db = apsw.Connection(str(place / "queue.db"), flags=apsw.SQLITE_OPEN_READONLY)
    with closing(db):
        found = db.execute("PRAGMA integrity_check").get
    return wrong if found == "ok" else [*wrong, f"integrity check: {found}"]


def _judge(
    recording: Recording, known: Known, came: Sequence[Message], rows: Sequence[RecipientRow]
) -> list[str]:
    copies = Counter(rcpt for message in came for rcpt in rcpts_of(message))
    fates = {row.address: row.status.value for row in rows}
    acked = [rcpt for number in known.acked for rcpt in recording.entries[number].recipients]
    wrong = [
        problem
        for rcpt in acked
        if (problem := _missed(rcpt, fates.get(rcpt), known.taken[rcpt] + copies[rcpt]))
    ]
    wrong += [f"{rcpt} came {count} times" for rcpt, count in copies.items() if count > 1]
    wrong += [
        f"{rcpt} came again, and was told to have arrived"
        for rcpt in copies
        if known.told.get(rcpt) in _ARRIVED
    ]
    for message in came:
        entry = recording.entries.get(number_of(message.content))
        if entry is None or not _is_of(message.content, entry, recording):
            wrong.append(f"{number_of(message.content)} came with other octets")
    return wrong


def _missed(rcpt: str, fate: str | None, copies: int) -> str | None:
    """Return what is wrong with a recipient whose message was acknowledged."""
    if rcpt.startswith("hard-"):
        return None if fate == Status.BOUNCED.value else f"{rcpt} was refused, and is {fate}"
    if not copies:
        return f"{rcpt} was acknowledged and is lost"
    return None if fate in _ARRIVED else f"{rcpt} arrived, and is {fate}"


def _is_of(content: bytes, entry: Entry, recording: Recording) -> bool:
    return is_as_sent(content, entry, is_signed=recording.is_direct)


def _octets(content: Content) -> bytes:
    return content[:]
