"""Fills a queue file while no daemon runs: by the store's own statements, many messages at once.

Nothing is synced on the way, so that a million messages take a minute or two; the file is durable
when it is done. All messages are due at once.
"""

import os
import sys
import time
from collections.abc import Callable, Iterable
from datetime import timedelta
from pathlib import Path

import apsw

from relayd.mail.envelope import NewMessage
from relayd.mail.event import Event
from relayd.mail.outcome import Deferred, Relayed
from relayd.mail.words import EventKind
from relayd.policy.delivery import route
from relayd.ports.queue import Lease
from relayd.store.sqlite import messages, outcomes
from relayd.store.sqlite.connection import open_writer, prepare
from relayd.store.sqlite.values import to_ms
from relayd.worker.system import SystemClock
from tests.support.builders import a_deferral, a_message, a_recipient, a_settlement

EVENTS = 2  # in the history of a finished message: deferred, then relayed
DOMAINS = 200
_AT_ONCE = 10_000  # messages in one transaction
_LEASE = Lease(route.SMARTHOST, 1, 1)
_TRIED = {
    "route": "smarthost",
    "remote_host": "127.0.0.1",
    "remote_ip": "127.0.0.1",
    "remote_port": 25,
    "local_ip": "127.0.0.1",
    "helo": "relay.bench.test",
    "tls": "none",
    "stage": "dot",
    "code": 250,
    "enhanced": "2.0.0",
    "reply": "250 2.0.0 Ok: queued as 4F1B3C0D",
    "delay_queue": 0.004,
    "delay_connect": 0.001,
    "delay_transaction": 0.002,
}


def address(number: int, domains: int = DOMAINS) -> str:
    """Return the recipient of a message: ten thousand people in each domain, again and again."""
    return f"user{number // domains % 10_000}@d{number % domains}.test"


def fill(path: Path, *, queued: int, finished: int, size: int, direct: int = 0) -> None:
    """Create the queue at `path`: messages that wait, and before them others with their history.

    They go to the smarthost, or each to the MX of its domain if `direct` says how many of those
    there are.
    """
    prepare(str(path))
    db = open_writer(str(path))
    db.create_scalar_function("served", lambda: 0, 0)
    db.execute("PRAGMA synchronous=OFF")
    db.execute("PRAGMA cache_size=-1000000")
    content = (b"x" * 70 + b"\r\n") * (size // 72)
    domains = direct or DOMAINS
    first = SystemClock().now() - timedelta(minutes=1, milliseconds=queued + finished)

    def put(number: int) -> NewMessage:
        recipient = address(number, domains)
        return a_message(
            a_recipient(recipient, destination=f"mx:d{number % domains}.test")
            if direct
            else recipient,
            at=first + timedelta(milliseconds=number),
            count=0,
            content=b"Subject: backlog\r\n\r\n" + content,
            message_id_header=f"<{number}@app.test>",
        )

    def finish(number: int) -> None:
        message = put(number)
        messages.insert(db, message, {message.recipients[0].destination: _LEASE})
        for outcome in (a_deferral(message.received_at), Relayed()):
            _settle(db, message, outcome)
        outcomes.drop_content(db, [message.id])

    def wait(number: int) -> None:
        message = put(finished + number)
        messages.insert(db, message, {})

    for what, count, each in (("finished", finished, finish), ("waiting", queued, wait)):
        _in_batches(db, each, range(count), what)
    db.close()
    with path.open("rb") as file:
        os.fsync(file.fileno())


def _settle(db: apsw.Connection, message: NewMessage, outcome: Deferred | Relayed) -> None:
    """Record an attempt of which the store does not check the lease."""
    at = message.received_at
    kind = EventKind.RELAYED if isinstance(outcome, Relayed) else EventKind.DEFERRED
    event = Event(kind=kind, at=at, message_id=message.id, recipient=0, detail=_TRIED)
    settlement = a_settlement(message.id, outcome=outcome, events=(event,))
    outcomes.settle(db, _LEASE, settlement, now=to_ms(at))
    if isinstance(outcome, Deferred):  # and leased anew
        db.execute("UPDATE recipient SET slot = 1 WHERE message_id = ?", (message.id,))


def _in_batches(
    db: apsw.Connection, each: Callable[[int], None], numbers: Iterable[int], what: str
) -> None:
    began = time.monotonic()
    left = list(numbers)
    count = len(left)
    for start in range(0, count, _AT_ONCE):
        with db:
            for number in left[start : start + _AT_ONCE]:
                each(number)
        db.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)
    if count:
        print(f"{count} {what} messages in {time.monotonic() - began:.0f} s", file=sys.stderr)
