"""Permits on SQLite: one row an account, whose state is text (`relayd.policy.accounts.state`)."""

import apsw

from relayd.policy.accounts.state import read, written
from relayd.store.permits import Answer, Change


def change(db: apsw.Connection, account: str, wanted: "Change[Answer]", *, now: float) -> Answer:
    """Change the state of an account; one that stays the same is not written."""
    before = read(db.execute("SELECT state FROM permit WHERE account = ?", (account,)).get)
    state, answer = wanted(before, now)
    if state != before:
        db.execute("INSERT OR REPLACE INTO permit VALUES (?, ?)", (account, written(state)))
    return answer
