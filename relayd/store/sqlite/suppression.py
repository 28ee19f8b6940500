"""What speaks against addresses: a table of its own, which the history does not shorten.

The rules are those of `relayd.mail.suppression`. Few rows are kept of one address, so they are read and judged here.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING

import apsw

from relayd.mail.ids import MessageId
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
from relayd.store.sqlite.values import fetch, from_ms, query_key, to_ms

if TYPE_CHECKING:  # the view needs none of it
    from relayd.mail.outcome import Bounced

_A_PERSON = 0  # where the id of a message is for a bounce
_LOOKED_AT = 1000  # rows of one address, to show for whom it is suppressed
_COLUMNS = "address, scope, is_proof, message_id, by, at, reason"
OF_SENDER = f"SELECT {_COLUMNS} FROM suppression WHERE address_key = ?1 AND scope IN ('', ?2)"  # noqa: S608 -- constants
_OF_ADDRESS = f"SELECT {_COLUMNS} FROM suppression WHERE address_key = ?"  # noqa: S608 -- constants
# For a JSON array of keys, in its order: the rows of each as JSON.
_OF_MANY = (
    "SELECT wanted.value, (SELECT json_group_array(json_array("  # noqa: S608 -- constants
    f"{_COLUMNS})) FROM (SELECT {_COLUMNS} FROM suppression WHERE address_key = wanted.value"
    f" ORDER BY scope, is_proof, message_id LIMIT {_LOOKED_AT})) FROM json_each(?) wanted ORDER BY wanted.key"
)
_KEYS = (
    "SELECT DISTINCT address_key FROM suppression WHERE address_key > ? AND address_key < ?"
    " ORDER BY address_key LIMIT ?"
)
_KEYS_BACK = (
    "SELECT DISTINCT address_key FROM suppression WHERE address_key < ?"
    " ORDER BY address_key DESC LIMIT ?"
)
_SENT_TO = (
    "SELECT address, address_key, reverse_path FROM recipient JOIN message ON id = message_id"
    " WHERE message_id = ? AND number = ? AND NOT returned AND redirected_to IS NULL"
)
_LAST = "\U0010ffff"  # behind all keys
_AT_ONCE = 500  # addresses


def is_suppressed(db: apsw.Connection, address: str, sender: str) -> bool:
    rows = fetch(db, OF_SENDER, (query_key(address), sender := sender.lower()))
    return bool(rows) and judged_suppressed(map(_suppression, rows), sender)


def of_keys(db: apsw.Connection, keys: Sequence[str]) -> dict[str, list[Suppression]]:
    """Return what is in force for each of those addresses, if anything is."""
    import orjson  # noqa: PLC0415 -- questions about recipients need none of it

    found = {
        key: in_force([_suppression(row) for row in orjson.loads(rows)])
        for key, rows in fetch(db, _OF_MANY, (orjson.dumps(keys).decode(),))
        if rows != "[]"
    }
    return {key: those for key, those in found.items() if those}


def keys_behind(
    db: apsw.Connection,
    key: str,
    *,
    recipients: Sequence[str] = (),
    domains: Sequence[str] = (),
    limit: int,
) -> list[str]:
    """Return the next keys of addresses of which something is known: of all, of some domains, or some of them."""
    begins = sorted({f"{domain.lower()}@" for domain in domains})
    ranges = [(begin, f"{begin[:-1]}A") for begin in begins] or [("", _LAST)]  # A is behind @
    if recipients:
        wanted = sorted(set(map(query_key, recipients)))
        among = [one for one in wanted if any(first < one < last for first, last in ranges)]
        return [one for one in among if one > key][:limit]
    found: list[str] = []
    for first, last in ranges:
        rows = fetch(db, _KEYS, (max(key, first), last, limit - len(found)))
        found += [each for (each,) in rows]
    return found


def behind(db: apsw.Connection, address: str, *, limit: int) -> list[Suppression]:
    """Return about `limit` of what is in force, of addresses behind `address`."""
    found: list[Suppression] = []
    key = query_key(address) if address else ""
    while len(found) < limit:
        keys = keys_behind(db, key, limit=min(limit - len(found), _AT_ONCE))
        if not keys:
            break
        key = keys[-1]
        for those in of_keys(db, keys).values():
            found += those
    return found


def ahead_of(db: apsw.Connection, address: str, *, limit: int) -> list[Suppression]:
    """Return about `limit` of what is in force, of the last addresses ahead of `address`."""
    found: list[Suppression] = []
    key = query_key(address)
    while len(found) < limit:
        keys = [one for (one,) in fetch(db, _KEYS_BACK, (key, min(limit - len(found), _AT_ONCE)))]
        if not keys:
            break
        key = keys[-1]
        found = [each for those in of_keys(db, keys[::-1]).values() for each in those] + found
    return found


def keep_bounce(
    db: apsw.Connection,
    bounce: "Bounced",
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
    for address, key, sender in fetch(db, _SENT_TO, recipient):
        scope = sender if is_late else EVERYBODY
        at = from_ms(now)
        _keep(db, key, of_bounce(bounce, address, recipient[0], reply=reply, scope=scope, at=at))


def keep_complaint(
    db: apsw.Connection, kind: str, recipient: tuple[MessageId, int], *, now: int
) -> None:
    """Note that a recipient wants no more mail of the sender; as `keep_bounce`."""
    for address, key, sender in fetch(db, _SENT_TO, recipient):
        at = from_ms(now)
        _keep(db, key, of_complaint(address, recipient[0], kind=kind, scope=sender, at=at))


def suppress(
    db: apsw.Connection, wanted: Iterable[ToSuppress], *, by: str, at: datetime
) -> list[bool]:
    """Suppress addresses on the word of a person; tell of each whether that is new."""
    new = []
    for each in wanted:
        is_new = not is_suppressed(db, each.address, each.scope)
        if is_new:
            _keep(db, query_key(each.address), of_person(each, by=by, at=at))
        new.append(is_new)
    return new


def unsuppress(db: apsw.Connection, address: str) -> bool:
    """Forget what spoke against an address; False, and all stays, when it was not suppressed."""
    key = query_key(address)
    if not in_force([_suppression(row) for row in fetch(db, _OF_ADDRESS, (key,))]):
        return False
    db.execute("DELETE FROM suppression WHERE address_key = ?", (key,))
    return True


def _keep(db: apsw.Connection, key: str, new: Suppression) -> None:
    known = map(_suppression, fetch(db, OF_SENDER, (key, new.scope)))
    if is_worth_keeping(new, known):
        message_id = _A_PERSON if new.message_id is None else new.message_id
        row = (new.address, new.scope, new.is_proof, message_id, new.by, to_ms(new.at), new.reason)
        db.execute(
            f"INSERT INTO suppression (address_key, {_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",  # noqa: S608 -- constants
            (key, *row),
        )


def _suppression(row: Sequence[object]) -> Suppression:
    address, scope, is_proof, message_id, by, at, reason = row
    return Suppression(
        address=str(address),
        scope=str(scope),
        is_proof=bool(is_proof),
        message_id=None if message_id == _A_PERSON else MessageId(message_id),  # type: ignore[arg-type]
        by=str(by),
        at=from_ms(at),  # type: ignore[arg-type]
        reason=str(reason),
    )
