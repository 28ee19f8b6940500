"""Fills a queue file with a long history of every kind: senders, domains, tags, outcomes.

SQLite makes the rows by itself, and the indexes when all of them are there, so that five million
messages take some minutes. Sizes are uneven on purpose: one sender, domain and tag has much of the mail, most have
little, and some large sets have no row in common.
"""

import os
import sys
import time
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import apsw

from relayd.mail.ids import WorkerNumber, make_id
from relayd.store.sqlite import connection, tally_upkeep, tallying
from relayd.store.sqlite.values import to_ms
from relayd.worker.system import SystemClock

EVENTS = 2  # in the history of a message: its reception and the outcome; in some a deferral between
_SCHEMA = 3  # that of the older relayd
_AT_ONCE = 500_000  # messages in one transaction
_COUNTED = 100_000  # events in one transaction
_OVER = timedelta(days=90)

# Of message `n`: four numbers below a thousand that look like chance.
_CHANCE = """
    WITH RECURSIVE counted (n) AS (SELECT :start UNION ALL SELECT n + 1 FROM counted WHERE n + 1 < :end),
    chance AS (
        SELECT n, :id + (n * :step << 21) AS id, :at + n * :step AS at,
            (n * 2654435761 >> 9) % 1000 AS who, (n * 2246822519 >> 9) % 1000 AS whom,
            (n * 3266489917 >> 9) % 1000 AS what, (n * 668265263 >> 7) % 100000 AS which
        FROM counted
    )
"""
_SENDER = """
    CASE WHEN who < 400 THEN 'app@app.test' WHEN who < 600 THEN 'News@app.test'
        WHEN who < 800 THEN 'shop@app.test' WHEN who < 810 THEN ''
        ELSE 'user' || which || '@staff.test' END
"""
_TAG = """
    CASE WHEN whom < 250 THEN 'newsletter' WHEN whom < 350 THEN 'batch ' || (n / 1000) END
"""
# The shop writes to domains of its own, so that it shares none with the others.
_DOMAIN = """
    CASE WHEN who BETWEEN 600 AND 799 THEN CASE WHEN whom < 700 THEN 'trade.test' ELSE 's' || (which % 500) || '.test' END
        WHEN whom < 300 THEN 'big.test' WHEN whom < 400 THEN 'second.test' ELSE 'd' || (which % 20000) || '.test' END
"""
_LOCAL = "CASE WHEN what BETWEEN 500 AND 519 THEN 'alerts' ELSE 'user' || (n * 7919 % 400000) END"
# Most mail is of this machine; the shop and the staff log in, from many addresses.
_CLIENT = """
    CASE WHEN who < 600 THEN '127.0.0.1' WHEN who < 800 THEN '10.1.' || (which % 200) || '.' || (n % 50)
        WHEN who < 810 THEN '' WHEN who < 990 THEN '192.0.2.' || (which % 250) ELSE '2001:db8::' || (which % 5000) END
"""
_USER = """
    CASE WHEN who BETWEEN 600 AND 799 THEN 'shop' WHEN who >= 810 THEN 'user' || (which % 500) END
"""
# The shop's mail goes directly, some to a host of its own, all else through the smarthost.
_DESTINATION = f"""
    CASE WHEN whom BETWEEN 990 AND 994 AND who < 600 THEN 'host:10.0.0.5:25'
        WHEN who BETWEEN 600 AND 799 THEN 'mx:' || {_DOMAIN} ELSE 'smarthost' END
"""
# What became of a message is known after a second, of one in twenty after up to six days.
_UPDATED = "at + CASE WHEN what < 50 THEN which * 5000 ELSE 800 END"
# Nothing of the shop ever bounced, and only the shop's is sent; all else is relayed.
_STATE = """
    CASE WHEN n >= :waiting THEN CASE WHEN what < 100 THEN 'held' ELSE 'queued' END
        WHEN who BETWEEN 600 AND 799 THEN 'sent'
        WHEN what < 40 THEN 'bounced' WHEN what < 42 THEN 'dropped' ELSE 'relayed' END
"""
_TROUBLE = """
    CASE WHEN n >= :waiting THEN CASE WHEN what < 300 THEN 'greylist' END
        WHEN who BETWEEN 600 AND 799 OR what >= 40 THEN NULL
        WHEN what < 20 THEN 'bad_mailbox' WHEN what < 30 THEN 'mailbox_full' WHEN what < 39 THEN 'policy'
        WHEN which < 100 THEN 'virus' ELSE 'spam_content' END
"""
_CLASS = """
    CASE WHEN n >= :waiting OR who BETWEEN 600 AND 799 OR what >= 40 THEN NULL
        WHEN what < 20 THEN 'hard' WHEN what < 30 THEN 'soft' ELSE 'block' END
"""
_REPLY = """
    '{"route":"smarthost","remote_host":"relay.example.test","remote_ip":"192.0.2.25","remote_port":25,"local_ip":"192.0.2.1","helo":"app.test","tls":"none","stage":"dot","code":250,"enhanced":"2.0.0","reply":"250 2.0.0 Ok: queued as 4F1B3C0D"}'
"""
_FILL = (
    f"""{_CHANCE} INSERT INTO message (id, received_at, reverse_path, size, message_id_header, tag,
        flags, client_ip, helo, listener, auth_user)
    SELECT id, at, {_SENDER}, 4096, '<' || n || '@app.test>', {_TAG}, 8 * ({_SENDER} = ''),
        {_CLIENT}, 'app.test', 'main', {_USER} FROM chance""",
    f"""{_CHANCE} INSERT INTO recipient (message_id, number, address, address_key, destination, state,
        next_attempt_at, attempts, possible_duplicate, code, enhanced, reply, category, bounce_class, suppress,
        remote_host, updated_at)
    SELECT id, 0, {_LOCAL} || '@' || {_DOMAIN}, {_DOMAIN} || '@' || {_LOCAL}, {_DESTINATION}, {_STATE},
        at, 2, what = 998 AND which < 1000, 250, '2.0.0', '250 2.0.0 Ok: queued as 4F1B3C0D', {_TROUBLE}, {_CLASS},
        coalesce({_CLASS} = 'hard', 0), 'relay.example.test', {_UPDATED} FROM chance""",
    f"""{_CHANCE} INSERT INTO content (message_id, body) SELECT id, zeroblob(512) FROM chance
    WHERE n >= :waiting""",
    f"""{_CHANCE} INSERT INTO event (message_id, recipient, at, kind, detail)
    SELECT id, 0, CASE kind WHEN 0 THEN at WHEN 1 THEN at + 500 ELSE {_UPDATED} END,
        CASE kind WHEN 0 THEN 'received' WHEN 1 THEN 'deferred' ELSE {_STATE} END,
        CASE kind WHEN 0 THEN json_object('client_ip', {_CLIENT}, 'helo', 'app.test', 'listener', 'main',
            'auth_user', {_USER})
        WHEN 1 THEN json_insert({_REPLY}, '$.category', 'greylist')
        WHEN {_TROUBLE} IS NULL THEN {_REPLY}
        ELSE json_insert({_REPLY}, '$.category', {_TROUBLE}, '$.bounce_class', {_CLASS}) END
    FROM chance, (SELECT 0 AS kind UNION ALL SELECT 1 UNION ALL SELECT 2)
    WHERE kind = 0 OR what < 50 AND kind = 1 OR n < :waiting AND kind = 2 ORDER BY n, kind""",
)


def fill(path: Path, *, messages: int, waiting: int = 10_000) -> float:
    """Create the queue at `path` as an older relayd did, the newest `waiting` messages unfinished.

    Then bring it up to date; return how many seconds that took.
    """
    with closing(apsw.Connection(str(path))) as db:
        db.execute(f"PRAGMA application_id={connection.APPLICATION_ID}; PRAGMA journal_mode=WAL")
        db.execute("PRAGMA synchronous=OFF; PRAGMA cache_size=-1000000; PRAGMA temp_store=MEMORY")
        _fill(db, messages, waiting)
    with path.open("rb") as file:
        os.fsync(file.fileno())
    began = time.monotonic()
    connection.prepare(str(path))
    return time.monotonic() - began


def count(path: Path) -> None:
    """Count all of it into the tally, as workers do by and by."""
    now = to_ms(SystemClock().now())
    with closing(connection.open_writer(str(path))) as db:
        db.execute("PRAGMA synchronous=OFF")
        while (batch := tallying.batch(db, least=1, most=_COUNTED)) is not None:
            with db:
                tallying.add(db, batch, now=now)
            db.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)
        while (step := tally_upkeep.untidy(db, now)) is not None:
            with db:
                tally_upkeep.tidy(db, step)
        db.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)


def _fill(db: apsw.Connection, messages: int, waiting: int) -> None:
    for number, script in connection._migrations():  # noqa: SLF001 -- those of its time
        if number <= _SCHEMA:
            db.execute(f"{script}; PRAGMA user_version={number}")
    indexes = db.execute("SELECT name, sql FROM sqlite_master WHERE type = 'index' AND sql > ''")
    later = indexes.fetchall()
    for name, _ in later:
        db.execute(f"DROP INDEX {name}")
    step = _OVER // messages // timedelta(milliseconds=1)
    first = SystemClock().now() - step * messages * timedelta(milliseconds=1)
    known = {
        "id": make_id(first, WorkerNumber(1), 0),
        "at": to_ms(first),
        "step": step,
        "waiting": messages - waiting,
    }
    for start in range(0, messages, _AT_ONCE):
        began, end = time.monotonic(), min(start + _AT_ONCE, messages)
        for statement in _FILL:
            with db:
                db.execute(statement, known | {"start": start, "end": end})
            db.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)
        print(f"{end:,} messages, {time.monotonic() - began:.0f} s for the last", file=sys.stderr)
    db.execute(
        "INSERT INTO destination (key, due_at) SELECT destination, min(next_attempt_at)"
        " FROM recipient WHERE state = 'queued' GROUP BY 1"
    )
    for _, sql in later:
        db.execute(sql)
        db.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)
