"""Fills a database of PostgreSQL with mail that waits and a long history, by statements of the server itself.

A message has two events: its reception and its end. The history is of 90 days; what waits is due, and newer.
"""

import sys
import time
from datetime import timedelta

from relayd.mail.ids import WorkerNumber, make_id
from relayd.store.postgres import partitions
from relayd.store.postgres.line import Session, ask_once
from relayd.store.values import to_ms
from relayd.worker.system import SystemClock
from tests.support.postgres import Server

EVENTS = 2
HISTORY = timedelta(days=90)
SENDER, DOMAIN = "app@app.test", "big.test"  # four and three in ten messages are of them
_AT_ONCE = 500_000  # messages in one transaction

_OF = """
    CREATE TEMP VIEW made AS SELECT n, {first} + (n * {step} << 21) AS id, {at} + n * {step} AS at,
        (n * 2654435761 >> 9) % 1000 AS who, (n * 2246822519 >> 9) % 1000 AS whom,
        CASE WHEN (n * 3266489917 >> 9) % 1000 < 40 THEN 'bounced' ELSE 'relayed' END AS became,
        'user' || (n * 7919 % 400000) AS local FROM generate_series({begin}::bigint, {end}::bigint - 1) AS n;
    CREATE TEMP VIEW mail AS SELECT *,
        CASE WHEN who < 400 THEN 'app@app.test' ELSE 'user' || (n % 500) || '@staff.test' END AS sender,
        CASE WHEN whom < 300 THEN 'big.test' ELSE 'd' || (n % 20000) || '.test' END AS domain FROM made;
    INSERT INTO message (id, received_at, reverse_path, size, message_id_header, tag, flags, client_ip, helo, listener,
        account, served_at) SELECT id, at, sender, 512, '<' || n || '@app.test>', 'batch ' || (n / 1000), 0,
        '192.0.2.' || n % 250, 'app.test', 'main', '', 0 FROM mail;
"""
_WAITING = """
    INSERT INTO queue (message_id, number, attempts, next_attempt_at, state, siblings, destination, address, address_key,
        updated_at) SELECT id, 0, 0, at, 'queued', 1, 'smarthost', local || '@' || domain, domain || '@' || local, at
        FROM mail;
    INSERT INTO content SELECT id, 0, convert_to(repeat('x', 510) || E'\\r\\n', 'UTF8') FROM mail;
    INSERT INTO event SELECT 65536 + n * 2, id, 0, at, 'received', '{{"listener":"main"}}' FROM mail;
    INSERT INTO destination (key, due_at) SELECT 'smarthost', min(at) FROM mail ON CONFLICT DO NOTHING;
"""
_FINISHED = """
    INSERT INTO recipient (message_id, number, attempts, state, soft_failures, possible_duplicate, siblings, destination,
        address, address_key, returned, uncounted, extra, code, enhanced, reply, category, bounce_class, suppress,
        remote_host, updated_at)
        SELECT id, 0, 1, became, 0, 0, 1, 'smarthost', local || '@' || domain, domain || '@' || local, false, 0, false,
        CASE became WHEN 'bounced' THEN 550 ELSE 250 END, '2.0.0', '250 2.0.0 Ok: queued as 4F1B3C0D',
        CASE became WHEN 'bounced' THEN 'bad_mailbox' END, CASE became WHEN 'bounced' THEN 'hard' END, false,
        'relay.example.test', at + 800 FROM mail;
    INSERT INTO event SELECT 65536 + n * 2 + e, id, 0, at + e * 800, CASE e WHEN 0 THEN 'received' ELSE became END,
        '{{"route":"smarthost","remote_host":"relay.example.test","code":250,"reply":"250 2.0.0 Ok: queued"}}'
        FROM mail, generate_series(0, 1) AS e;
"""


async def fill(server: Server, database: str, *, queued: int, finished: int) -> None:
    """Add messages to a database whose tables are there, and have the server learn of them."""
    now = SystemClock().now()

    async def make_weeks(db: Session) -> None:
        await partitions.make(db, to_ms(now), behind=HISTORY.days // 7 + 1)

    await ask_once(server.url(database), make_weeks)
    began = time.monotonic()
    for what, count, over, sql in (
        ("finished", finished, HISTORY, _FINISHED),
        ("waiting", queued, timedelta(hours=1), _WAITING),
    ):
        step = max(over // max(count, 1) // timedelta(milliseconds=1), 1)
        start = now - timedelta(hours=2) - step * count * timedelta(milliseconds=1)
        first = make_id(start, WorkerNumber(500 if what == "finished" else 501), 0)
        for begin in range(0, count, _AT_ONCE):
            values = {"step": step, "begin": begin, "end": min(begin + _AT_ONCE, count)}
            made = (_OF + sql).format(first=first, at=to_ms(start), **values)
            server.run(f"SET synchronous_commit = off; BEGIN; {made} COMMIT;", database)
            print(f"{values['end']:,} {what}, {time.monotonic() - began:.0f} s", file=sys.stderr)
    # As counted: it was long ago.
    server.run("INSERT INTO meta SELECT 'tallied', max(number)::text::bytea FROM event", database)
    server.run("VACUUM (ANALYZE); CHECKPOINT", database)
