"""Pause rules inside one transaction: what they are, whom they hold, and letting go.

A recipient that a rule holds has the rule's slot, `-number`, so it is found by no claim, and found at once
when the rule ends. It gets there when a claim meets it: each row is looked at once, however many
there are. What a rule no longer stops is let go by the claims as well, some rows in each.
"""

from collections.abc import Collection, Sequence
from dataclasses import replace

import apsw

from relayd.mail.envelope import NewMessage
from relayd.mail.pause import Named, PauseRule, Side, Traits, rule_for
from relayd.store.sqlite import destinations, pause_rows
from relayd.store.sqlite.values import domain_of, fetch, from_ms, to_ms

AT_ONCE = 2000  # recipients that one transaction looks at, and as many that it lets go

_DUE = (
    "SELECT r.message_id, r.number, r.address_key, m.reverse_path, m.tag, m.auth_user"
    " FROM recipient r CROSS JOIN message m ON m.id = r.message_id WHERE r.destination = ?"
    " AND r.state = 'queued' AND r.slot IS NULL AND r.next_attempt_at <= ?"
    " ORDER BY r.next_attempt_at, r.message_id LIMIT ?"
)
_HOLD = (
    "UPDATE recipient SET slot = ?, uncounted = uncounted - ? WHERE message_id = ? AND number = ?"
)
_LET_GO = (
    "UPDATE recipient SET slot = NULL, uncounted = uncounted + ?1,"
    " next_attempt_at = min(next_attempt_at, ?2) WHERE (message_id, number) IN"
    " (SELECT message_id, number FROM recipient WHERE slot = ?3 LIMIT ?4) RETURNING destination"
)


def there_are(db: apsw.Connection) -> bool:
    """Tell whether there are rules, or recipients that one held."""
    return bool(db.execute("SELECT EXISTS (SELECT 1 FROM pause_rule)").get)


def rules(db: apsw.Connection) -> list[PauseRule]:
    """Return the rules that have a side left, the oldest first; of some the time may be over."""
    return [pause_rows.rule_of(row) for row in fetch(db, pause_rows.RULES)]


def delivery_rules(db: apsw.Connection) -> list[PauseRule]:
    """Return those of them that stop deliveries."""
    return [rule for rule in rules(db) if Side.DELIVERY in rule.sides]


def stops(db: apsw.Connection, message: NewMessage, *, now: int) -> bool:
    """Tell whether a rule stops the delivery of any recipient of a new message."""
    found = delivery_rules(db)
    return any(
        rule_for(
            Traits(
                sender=str(message.reverse_path or ""),
                tag=message.facts.tag,
                user=message.client.auth_user,
                domain=recipient.address.domain,
                destination=recipient.destination,
            ),
            found,
            from_ms(now),
        )
        for recipient in message.recipients
    )


def sift(
    db: apsw.Connection, destination: str, stopping: Sequence[PauseRule], *, now: int, limit: int
) -> tuple[int, int]:
    """Give due recipients of a destination to the rules that stop them.

    Return how many of those that are left are stopped by none, up to `limit`, and how many were given. They
    are the first ones in the order of a claim.
    """
    free = 0
    held: list[tuple[int, int, int, int]] = []
    at, served = from_ms(now), _served(db)
    for row in fetch(db, _DUE, (destination, now, AT_ONCE)):
        message_id, number, key, sender, tag, user = row
        traits = Traits(sender, tag, user, domain_of(key), destination)
        rule = rule_for(traits, stopping, at)
        if rule is not None:
            held.append((-rule.number, served, message_id, number))
        else:
            free += 1
            if free == limit:
                break
    db.executemany(_HOLD, held)
    return free, len(held)


def let_go(db: apsw.Connection, *, now: int) -> bool:
    """Make due what ended rules hold, up to a number; return whether that was all."""
    db.execute("UPDATE pause_rule SET intake = 0, delivery = 0 WHERE until <= ?", (now,))
    left, served = AT_ONCE, _served(db)
    for number, has_sides in fetch(db, "SELECT id, intake FROM pause_rule WHERE NOT delivery"):
        freed = fetch(db, _LET_GO, (served, now, -number, left))
        for destination in {destination for (destination,) in freed}:
            destinations.touch(db, destination, now)
        left -= len(freed)
        if left <= 0:
            return False
        if not has_sides:
            db.execute("DELETE FROM pause_rule WHERE id = ?", (number,))
    return True


def _served(db: apsw.Connection) -> int:
    """Return the count once: to SQLite it is a call for each row."""
    return int(db.execute("SELECT served()").get)


def add(db: apsw.Connection, rule: PauseRule) -> PauseRule:
    """Add a rule, or change the one that says the same until another time or for another reason."""
    said = (other for other in rules(db) if other.named.is_same(rule.named))
    number = next((other.number for other in said if other.sides == rule.sides), None)
    db.execute(
        "INSERT OR REPLACE INTO pause_rule"
        " (id, scope, value, intake, delivery, since, until, by, reason)"
        " VALUES (?,?,?,?,?,?,?,?,?)",
        (
            number,
            *rule.named,
            Side.INTAKE in rule.sides,
            Side.DELIVERY in rule.sides,
            to_ms(rule.since),
            None if rule.until is None else to_ms(rule.until),
            rule.by,
            rule.reason,
        ),
    )
    return replace(rule, number=number or db.last_insert_rowid())


def end(
    db: apsw.Connection, wanted: Collection[int | Named] | None, sides: Collection[Side]
) -> list[PauseRule]:
    """Take sides off rules; return what was taken of each."""
    ended = []
    for rule in rules(db):
        gone = rule.sides & set(sides)
        if gone and rule.is_one_of(wanted):
            ended.append(replace(rule, sides=gone))
            for side in gone:
                db.execute(f"UPDATE pause_rule SET {side} = 0 WHERE id = ?", (rule.number,))  # noqa: S608 -- a constant
    return ended
