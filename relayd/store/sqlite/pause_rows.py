"""Between rows and pause rules."""

from typing import TYPE_CHECKING, Any

from relayd.store.sqlite.values import from_ms

if TYPE_CHECKING:
    from relayd.mail.pause import PauseRule

RULES = (
    "SELECT id, scope, value, intake, delivery, since, until, by, reason FROM pause_rule"
    " WHERE intake OR delivery ORDER BY id"
)


def rule_of(row: tuple[Any, ...]) -> "PauseRule":
    from relayd.mail.pause import Named, PauseRule, Scope, Side  # noqa: PLC0415 -- mostly there is no rule

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
