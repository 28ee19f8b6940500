"""Permits on SQLite: one row an account, whose state is text (`relayd.policy.accounts.state`)."""

import apsw

from relayd.policy.accounts.state import read, written
from relayd.store.permits import IDLE_FOR, Answer, Change


def change(db: apsw.Connection, account: str, wanted: "Change[Answer]", *, now: float) -> Answer:
    """Change the state of an account; one that stays the same is not written."""
    before = read(db.execute("SELECT state FROM permit WHERE account = ?", (account,)).get)
    state, answer = wanted(before, now)
    if state != before:
        db.execute("INSERT OR REPLACE INTO permit VALUES (?, ?)", (account, written(state)))
    return answer


def forget_idle(db: apsw.Connection, *, now: float) -> None:
    """Delete the rates of sites that nothing was sent to for long."""
    db.execute(
        "DELETE FROM permit WHERE account >= 'rate:' AND account < 'rate;'"
        " AND json_extract(state, '$.free_at') < ?",
        (now - IDLE_FOR,),
    )
