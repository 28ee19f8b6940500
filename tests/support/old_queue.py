"""A queue file as an older relayd left it."""

from contextlib import closing
from datetime import datetime, timedelta
from pathlib import Path

import apsw

from relayd.mail.ids import WorkerNumber, make_id
from relayd.store.sqlite import condition, connection
from tests.support.clock import START

OLD = [
    # number, sender, report, address, state, category, class
    (1, "shop@app.test", 0, "a@x.test", "relayed", None, None),
    (2, "shop@app.test", 0, "b@x.test", "bounced", "bad_mailbox", "hard"),
    (3, "", 8, "shop@app.test", "bounced", "bad_mailbox", "hard"),
    (4, "app@app.test", 0, "c@y.test", "queued", "greylist", None),
]
_ROWS = (
    "INSERT INTO message (id, received_at, reverse_path, size, flags, client_ip, helo, listener, tag)"
    " VALUES (:id, :at, :sender, 9, :flags, '', 'app.test', 'main', 'news');"
    "INSERT INTO recipient (message_id, number, address, address_key, destination, state,"
    " next_attempt_at, attempts, category, bounce_class, suppress, updated_at) VALUES"
    " (:id, 0, :address, :key, 'smarthost', :state, :at, 1, :category, :class, :class IS 'hard', :at);"
    "INSERT INTO content (message_id, body) VALUES (:id, x'0D0A')"
)


def an_old_queue(path: Path, *, schema: int, since: datetime = START) -> None:
    """Write one as a relayd of that time did, with mail of the minutes after `since`."""
    scripts = dict(connection._migrations())
    with closing(apsw.Connection(str(path))) as db:
        db.execute(f"PRAGMA application_id={condition.APPLICATION_ID}")
        for number in range(1, schema + 1):
            db.execute(scripts[number])
        db.execute(f"PRAGMA user_version={schema}; PRAGMA journal_mode=WAL")
        for number, sender, flags, address, state, category, bounce_class in OLD:
            local, _, domain = address.partition("@")
            row = {"sender": sender, "flags": flags, "address": address, "state": state}
            row |= {"category": category, "class": bounce_class, "key": f"{domain}@{local}"}
            at = since + timedelta(minutes=number)
            db.execute(
                _ROWS,
                {**row, "id": make_id(at, WorkerNumber(1), 0), "at": int(at.timestamp() * 1000)},
            )
        db.execute("INSERT INTO destination (key, due_at) VALUES ('smarthost', 0)")
