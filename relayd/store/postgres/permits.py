"""Permits on PostgreSQL: one row an account, whose state is text (`relayd.policy.accounts.state`)."""

from collections.abc import Sequence

from relayd.policy.accounts.state import read, written
from relayd.ports.permits import Standing, standings
from relayd.store.permits import IDLE_FOR, Answer, Change
from relayd.store.postgres.line import Session
from relayd.store.postgres.questions import Questions

_THERE = "INSERT INTO permit (account, state) VALUES ($1, '') ON CONFLICT DO NOTHING"
_STATE = "SELECT state FROM permit WHERE account = $1 FOR UPDATE"


async def change(db: Session, account: str, wanted: "Change[Answer]", *, now: float) -> Answer:
    """Change the state of an account; one that stays the same is not written. Others wait meanwhile."""
    await db.execute(_THERE, account)
    before = read(await db.value(_STATE, account) or None)
    state, answer = wanted(before, now)
    if state != before:
        await db.execute("UPDATE permit SET state = $2 WHERE account = $1", account, written(state))
    return answer


async def forget_idle(db: Session, *, now: float) -> None:
    """Delete the rates of sites that nothing was sent to for long."""
    await db.execute(
        "DELETE FROM permit WHERE account >= 'rate:' AND account < 'rate;'"
        " AND CASE WHEN state = '' THEN true ELSE (state::json ->> 'free_at')::float8 < $1 END",
        now - IDLE_FOR,
    )


class PostgresPermitsView:
    """`relayd.ports.permits.PermitsView`."""

    def __init__(self, questions: Questions) -> None:
        self._questions = questions

    def paces(self) -> Sequence[Standing]:
        rows = self._questions.ask(
            lambda db: db.fetch(
                "SELECT account, state FROM permit WHERE state <> '' ORDER BY account"
            )
        )
        return standings((account, read(state)) for account, state in rows)
