"""Puts what the console shows beside mail into a history: an audit, and a webhook with many deliveries.

All deliveries are paused, so that what waits stays.
"""

from contextlib import closing
from pathlib import Path

from relayd.store.sqlite import connection
from relayd.store.sqlite.values import to_ms
from relayd.worker.system import SystemClock

AUDITED = 100_000
DELIVERED = 2_000_000
WAITING = 300_000
FAILED = 1_000
_OVER = 90 * 86_400_000  # milliseconds

_AUDIT = """
    WITH RECURSIVE counted (n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM counted WHERE n + 1 < :rows)
    INSERT INTO audit (at, by, client, action, target, detail)
    SELECT :now - :over + n * (:over / :rows), 'user ' || (n % 50), '192.0.2.' || (n % 200),
        CASE n % 5 WHEN 0 THEN 'hold' WHEN 1 THEN 'release' ELSE 'suppress' END, 'target ' || (n % 9000), '' FROM counted
"""
_PAUSED = """
    INSERT INTO pause_rule (scope, value, intake, delivery, since, by, reason)
    VALUES ('all', '', 0, 1, :now, 'benchmark', 'what waits is to stay')
"""
# Disabled, so that no console sends them.
_ENDPOINT = """
    INSERT INTO endpoint (url, kinds, senders, tags, created_at, off)
    VALUES ('https://hooks.bench.test/', '["relayed","sent","deferred","bounced"]', '[]', '[]', :now, 'by hand')
    RETURNING id
"""
# The oldest have failed, the newest wait.
_DELIVERIES = """
    INSERT INTO delivery (endpoint, event, message_id, recipient, at, state, claims, sent_at, status, octets, took)
    SELECT :endpoint, id, message_id, recipient, at,
        CASE WHEN place <= :waiting THEN 'waiting' WHEN place > :all - :failed THEN 'failed' ELSE 'done' END,
        1, at, 200, 2, 40
    FROM (SELECT *, row_number() OVER () AS place FROM
        (SELECT id, message_id, recipient, at FROM event WHERE kind <> 'received' ORDER BY id DESC LIMIT :all))
"""


def furnish(path: Path) -> int:
    """Return the number of the webhook."""
    now = to_ms(SystemClock().now())
    with closing(connection.open_writer(str(path))) as db, db:
        db.execute(_PAUSED, {"now": now})
        db.execute(_AUDIT, {"now": now, "over": _OVER, "rows": AUDITED})
        endpoint: int = db.execute(_ENDPOINT, {"now": now}).get
        db.execute(
            _DELIVERIES,
            {
                "endpoint": endpoint,
                "waiting": WAITING,
                "failed": FAILED,
                "all": DELIVERED + WAITING + FAILED,
            },
        )
    return endpoint
