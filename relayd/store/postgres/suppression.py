"""What speaks against addresses: a table of its own, which the history does not shorten.

The rules are those of `relayd.mail.suppression`. Few rows are kept of one address, so they are read and judged here.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

from relayd.mail.ids import MessageId
from relayd.mail.outcome import Bounced
from relayd.mail.suppression import (
    EVERYBODY,
    Suppression,
    ToSuppress,
    in_force,
    is_worth_keeping,
    of_bounce,
    of_complaint,
    of_person,
)
from relayd.mail.suppression import is_suppressed as judged_suppressed
from relayd.store.postgres.line import Row, Session
from relayd.store.values import from_ms, query_key, to_ms, without_nul

_A_PERSON = 0  # where the id of a message is for a bounce
_LOOKED_AT = 1000  # rows of one address, to show for whom it is suppressed
_AT_ONCE = 500  # addresses
_LAST = "\U0010ffff"  # behind all keys
_COLUMNS = "address, scope, is_proof, message_id, by, at, reason"
_OF_SENDER = (
    f"SELECT {_COLUMNS} FROM suppression WHERE address_key = $1 AND scope IN ('', $2::text)"  # noqa: S608 -- constants
)
_OF_ADDRESS = f"SELECT {_COLUMNS} FROM suppression WHERE address_key = $1"  # noqa: S608 -- constants
_OF_MANY = (
    f"SELECT {_COLUMNS}, wanted.key FROM unnest($1::text[]) WITH ORDINALITY AS wanted (key, n)"  # noqa: S608 -- constants
    " CROSS JOIN LATERAL (SELECT * FROM suppression WHERE address_key = wanted.key"
    f" ORDER BY scope, is_proof, message_id LIMIT {_LOOKED_AT}) kept"
    " ORDER BY wanted.n, scope, is_proof, message_id"
)
_KEYS = (
    "SELECT DISTINCT address_key FROM suppression WHERE address_key > $1 AND address_key < $2"
    " ORDER BY address_key LIMIT $3"
)
_KEYS_BACK = (
    "SELECT DISTINCT address_key FROM suppression WHERE address_key < $1"
    " ORDER BY address_key DESC LIMIT $2"
)
_SENT_TO = (
    "SELECT r.address, r.address_key, m.reverse_path FROM every_recipient r"
    " JOIN message m ON m.id = r.message_id"
    " WHERE r.message_id = $1 AND m.id = $1 AND r.number = $2 AND NOT r.returned AND r.redirected_to IS NULL"
)
_KEEP = (
    f"INSERT INTO suppression (address_key, {_COLUMNS}) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)"  # noqa: S608 -- constants
    " ON CONFLICT DO NOTHING"
)


async def is_suppressed(db: Session, address: str, sender: str) -> bool:
    """Tell whether an address is suppressed, for mail of `sender`; empty: for mail of everybody."""
    sender = sender.lower()
    rows = await db.fetch(_OF_SENDER, query_key(address), sender)
    return bool(rows) and judged_suppressed(map(_suppression, rows), sender)


async def of_keys(db: Session, keys: Sequence[str]) -> Mapping[str, Sequence[Suppression]]:
    """Return what is in force for each of those addresses, if anything is."""
    known: dict[str, list[Suppression]] = {}
    for row in await db.fetch(_OF_MANY, list(keys)) if keys else ():
        known.setdefault(row[7], []).append(_suppression(row[:7]))
    found = {key: in_force(rows) for key, rows in known.items()}
    return {key: those for key, those in found.items() if those}


async def keys_behind(
    db: Session,
    key: str,
    *,
    recipients: Sequence[str] = (),
    domains: Sequence[str] = (),
    limit: int,
) -> Sequence[str]:
    """Return the next keys of addresses of which something is known: of all, of some domains, or some of them."""
    begins = sorted({f"{domain.lower()}@" for domain in domains})
    ranges = [(begin, f"{begin[:-1]}A") for begin in begins] or [("", _LAST)]  # A is behind @
    if recipients:
        wanted = sorted(set(map(query_key, recipients)))
        among = [one for one in wanted if any(first < one < last for first, last in ranges)]
        return [one for one in among if one > key][:limit]
    found: list[str] = []
    for first, last in ranges:
        rows = await db.fetch(_KEYS, max(key, first), last, limit - len(found))
        found += [each for (each,) in rows]
    return found


async def behind(db: Session, address: str, *, limit: int) -> Sequence[Suppression]:
    """Return about `limit` of what is in force, of addresses behind `address`."""
    found: list[Suppression] = []
    key = query_key(address) if address else ""
    while len(found) < limit:
        keys = await keys_behind(db, key, limit=min(limit - len(found), _AT_ONCE))
        if not keys:
            break
        key = keys[-1]
        for those in (await of_keys(db, keys)).values():
            found += those
    return found


async def ahead_of(db: Session, address: str, *, limit: int) -> Sequence[Suppression]:
    """Return about `limit` of what is in force, of the last addresses ahead of `address`."""
    found: list[Suppression] = []
    key = query_key(address)
    while len(found) < limit:
        rows = await db.fetch(_KEYS_BACK, key, min(limit - len(found), _AT_ONCE))
        keys = [one for (one,) in rows]
        if not keys:
            break
        key = keys[-1]
        known = await of_keys(db, keys[::-1])
        found = [each for those in known.values() for each in those] + found
    return found


async def keep_bounce(
    db: Session,
    bounce: Bounced,
    recipient: tuple[MessageId, int],
    *,
    reply: str | None = None,
    is_late: bool = False,
    now: int,
) -> None:
    """Note what a bounce says about its address. One that comes late speaks to the sender of its message.

    Nothing, where `[redirect]` put another address in its place. Nothing, if it is of our own mail: nobody
    gave us that address to write to.
    """
    for address, key, sender in await db.fetch(_SENT_TO, *recipient):
        scope = sender if is_late else EVERYBODY
        at = from_ms(now)
        new = of_bounce(bounce, address, recipient[0], reply=reply, scope=scope, at=at)
        await _keep(db, key, new)


async def keep_complaint(
    db: Session, kind: str, recipient: tuple[MessageId, int], *, now: int
) -> None:
    """Note that a recipient wants no more mail of the sender; as `keep_bounce`."""
    for address, key, sender in await db.fetch(_SENT_TO, *recipient):
        new = of_complaint(address, recipient[0], kind=kind, scope=sender, at=from_ms(now))
        await _keep(db, key, new)


async def suppress(
    db: Session, wanted: Iterable[ToSuppress], *, by: str, at: datetime
) -> list[bool]:
    """Suppress addresses on the word of a person; tell of each whether that is new."""
    new = []
    for each in wanted:
        is_new = not await is_suppressed(db, each.address, each.scope)
        if is_new:
            await _keep(db, query_key(each.address), of_person(each, by=by, at=at))
        new.append(is_new)
    return new


async def unsuppress(db: Session, address: str) -> bool:
    """Forget what spoke against an address; False, and all stays, when it was not suppressed."""
    key = query_key(address)
    if not in_force([_suppression(row) for row in await db.fetch(_OF_ADDRESS, key)]):
        return False
    await db.execute("DELETE FROM suppression WHERE address_key = $1", key)
    return True


async def _keep(db: Session, key: str, new: Suppression) -> None:
    known = [_suppression(row) for row in await db.fetch(_OF_SENDER, key, new.scope)]
    if is_worth_keeping(new, known):
        message_id = _A_PERSON if new.message_id is None else new.message_id
        row = (
            new.address,
            new.scope,
            new.is_proof,
            message_id,
            new.by,
            to_ms(new.at),
            without_nul(new.reason),
        )
        await db.execute(_KEEP, key, *row)


def _suppression(row: Row) -> Suppression:
    address, scope, is_proof, message_id, by, at, reason = row
    return Suppression(
        address=address,
        scope=scope,
        is_proof=is_proof,
        message_id=None if message_id == _A_PERSON else MessageId(message_id),
        by=by,
        at=from_ms(at),
        reason=reason,
    )
