"""Between rows and pause rules."""

from relayd.mail.pause import Named, PauseRule, Scope, Side
from relayd.store.postgres.line import Row, Session
from relayd.store.values import from_ms

COLUMNS = "id, scope, value, intake, delivery, since, until, by, reason"
_RULES = f"SELECT {COLUMNS} FROM pause_rule WHERE intake OR delivery ORDER BY id"  # noqa: S608 -- constants


async def read(db: Session, *, kept: bool = False) -> list[PauseRule]:
    """Return the rules that nobody has ended, the oldest first; of some the time may be over.

    `kept`: nobody deletes one before this transaction ends.
    """
    found = await db.fetch(f"{_RULES} FOR KEY SHARE" if kept else _RULES)
    return [rule_of(row) for row in found]


def rule_of(row: Row) -> PauseRule:
    number, scope, value, intake, delivery, since, until, by, reason = row
    kept = {Side.INTAKE: intake, Side.DELIVERY: delivery}
    return PauseRule(
        named=Named(Scope(scope), value),
        sides=frozenset(side for side, is_kept in kept.items() if is_kept),
        since=from_ms(since),
        until=None if until is None else from_ms(until),
        by=by,
        reason=reason,
        number=number,
    )
