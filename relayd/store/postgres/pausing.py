"""Pause rules inside one transaction: what they are, whom they hold, and letting go.

A recipient that a rule holds has the rule's slot, `-number`, so it is found by no claim, and found at once
when the rule ends. It gets there when a claim meets it: each row is looked at once, however many
there are. What a rule no longer stops is let go by the claims as well, some rows in each.
"""

from collections.abc import Collection, Sequence
from dataclasses import replace

from relayd.mail.envelope import NewMessage
from relayd.mail.pause import Named, PauseRule, Side, Traits, rule_for
from relayd.store.postgres import destinations, pause_rows
from relayd.store.postgres.line import Session
from relayd.store.postgres.moment import Moment
from relayd.store.values import domain_of, from_ms, to_ms

AT_ONCE = 2000  # recipients that one transaction looks at, and as many that it lets go

_DUE = (
    "SELECT r.message_id, r.number, r.address_key, m.reverse_path, m.tag, m.auth_user"
    " FROM queue r JOIN message m ON m.id = r.message_id WHERE r.destination = $1"
    " AND r.state = 'queued' AND r.slot IS NULL AND r.next_attempt_at <= $2"
    " ORDER BY r.next_attempt_at, r.message_id, r.number LIMIT $3 FOR UPDATE OF r SKIP LOCKED"
)
_HOLD = (
    "UPDATE queue SET slot = $1, uncounted = uncounted - $2 WHERE message_id = $3 AND number = $4"
)
_LET_GO = (
    "WITH held AS MATERIALIZED (SELECT message_id, number FROM queue WHERE slot = $3"
    " ORDER BY message_id, number LIMIT $4 FOR UPDATE)"
    " UPDATE queue SET slot = NULL, uncounted = uncounted + $1,"
    " next_attempt_at = least(next_attempt_at, $2) FROM held"
    " WHERE queue.message_id = held.message_id AND queue.number = held.number RETURNING destination"
)
_ADD = (
    f"INSERT INTO pause_rule ({pause_rows.COLUMNS.partition(', ')[2]})"  # noqa: S608 -- constants
    " VALUES ($1, $2, $3, $4, $5, $6, $7, $8) RETURNING id"
)
# Not one that somebody ended since it was read.
_CHANGE = (
    "UPDATE pause_rule SET scope = $2, value = $3, since = $6, until = $7, by = $8, reason = $9"
    " WHERE id = $1 AND intake = $4 AND delivery = $5"
)
_RULELESS = (
    "WITH RECURSIVE h AS ((SELECT slot FROM queue WHERE slot < 0 ORDER BY slot LIMIT 1) UNION ALL"
    " SELECT (SELECT slot FROM queue WHERE slot > h.slot AND slot < 0 ORDER BY slot LIMIT 1) FROM h WHERE slot < 0)"
    " SELECT slot FROM h WHERE slot < 0 AND NOT EXISTS (SELECT 1 FROM pause_rule WHERE id = -h.slot)"
)


async def there_are(db: Session) -> bool:
    """Tell whether there are rules, or recipients that one held."""
    return bool(await db.value("SELECT EXISTS (SELECT 1 FROM pause_rule)"))


async def delivery_rules(db: Session, *, kept: bool = False) -> list[PauseRule]:
    """Return the rules that stop deliveries; of some the time may be over.

    `kept`: this transaction may give them recipients. `let_go` waits for it, and so sees these as well.
    """
    return [rule for rule in await pause_rows.read(db, kept=kept) if Side.DELIVERY in rule.sides]


async def stops(db: Session, message: NewMessage, *, now: int) -> bool:
    """Tell whether a rule stops the delivery of any recipient of a new message."""
    found = await delivery_rules(db)
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


async def sift(
    db: Session, destination: str, stopping: Sequence[PauseRule], *, at: Moment, limit: int
) -> tuple[int, int]:
    """Give due recipients of a destination to the rules that stop them.

    Return how many of those that are left are stopped by none, up to `limit`, and how many were given. They
    are the first ones in the order of a claim.
    """
    free = 0
    held: list[tuple[int, int, int, int]] = []
    now = from_ms(at.now)
    for row in await db.fetch(_DUE, destination, at.now, AT_ONCE):
        message_id, number, key, sender, tag, user = row
        traits = Traits(sender, tag, user, domain_of(key), destination)
        rule = rule_for(traits, stopping, now)
        if rule is not None:
            held.append((-rule.number, at.served, message_id, number))
        else:
            free += 1
            if free == limit:
                break
    if held:
        await db.many(_HOLD, held)
    return free, len(held)


async def let_go(db: Session, *, at: Moment) -> bool:
    """Make due what ended rules hold, up to a number; return whether that was all."""
    await db.execute(
        "UPDATE pause_rule SET intake = false, delivery = false WHERE until <= $1", at.now
    )
    left = AT_ONCE
    for number, has_sides in await db.fetch(
        "SELECT id, intake FROM pause_rule WHERE NOT delivery ORDER BY id FOR UPDATE"
    ):
        left -= await _free(db, -number, left, at=at)
        if left <= 0:
            return False
        if not has_sides:
            await db.execute("DELETE FROM pause_rule WHERE id = $1", number)
    return True


async def let_go_ruleless(db: Session, *, at: Moment) -> int:
    """Make due what is held by a rule that is gone, up to a number for each; return how many that were."""
    gone = await db.fetch(_RULELESS)
    return sum([await _free(db, slot, AT_ONCE, at=at) for (slot,) in gone])


async def _free(db: Session, slot: int, limit: int, *, at: Moment) -> int:
    freed = await db.fetch(_LET_GO, at.served, at.now, slot, limit)
    keys = sorted({destination for (destination,) in freed})
    await destinations.touch(db, dict.fromkeys(keys, at.now))
    return len(freed)


async def add(db: Session, rule: PauseRule) -> PauseRule:
    """Add a rule, or change the one that says the same until another time or for another reason."""
    said = (other for other in await pause_rows.read(db) if other.named.is_same(rule.named))
    number = next((other.number for other in said if other.sides == rule.sides), None)
    until = None if rule.until is None else to_ms(rule.until)
    facts = (to_ms(rule.since), until, rule.by, rule.reason)
    sides = (Side.INTAKE in rule.sides, Side.DELIVERY in rule.sides)
    if number is not None and await db.execute(_CHANGE, number, *rule.named, *sides, *facts):
        return replace(rule, number=number)
    return replace(rule, number=await db.value(_ADD, *rule.named, *sides, *facts))


async def end(
    db: Session, wanted: Collection[int | Named] | None, sides: Collection[Side]
) -> list[PauseRule]:
    """Take sides off rules; return what was taken of each."""
    ended = []
    for rule in await pause_rows.read(db):
        gone = rule.sides & set(sides)
        if gone and rule.is_one_of(wanted):
            ended.append(replace(rule, sides=gone))
            for side in gone:
                await db.execute(
                    f"UPDATE pause_rule SET {side} = false WHERE id = $1",  # noqa: S608 -- a constant
                    rule.number,
                )
    return ended
