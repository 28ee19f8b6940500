"""Questions about accounts, API keys, sessions and the audit."""

from relayd.ports.people import Account, ApiKey, AuditEntry, AuditQuery, LoggedIn, Session
from relayd.store.people_rows import (
    ACCOUNT,
    AUDIT,
    KEY,
    SESSION,
    first,
    read_account,
    read_entry,
    read_key,
    read_session,
)
from relayd.store.postgres.conditions import Where
from relayd.store.postgres.line import Session as Db
from relayd.store.values import to_ms

_AUDIT = f"SELECT {AUDIT} FROM audit"  # noqa: S608 -- constants


async def accounts(db: Db) -> list[Account]:
    sql = f"SELECT {ACCOUNT} FROM account ORDER BY name"  # noqa: S608 -- constants, as below
    return [read_account(row) for row in await db.fetch(sql)]


async def account(db: Db, name: str) -> Account | None:
    sql = f"SELECT {ACCOUNT} FROM account WHERE name = $1"  # noqa: S608
    return first(map(read_account, await db.fetch(sql, name)))


async def account_of(db: Db, subject: str) -> Account | None:
    sql = f"SELECT {ACCOUNT} FROM account WHERE subject = $1"  # noqa: S608
    return first(map(read_account, await db.fetch(sql, subject)))


async def keys(db: Db) -> list[ApiKey]:
    return [read_key(row) for row in await db.fetch(f"SELECT {KEY} FROM api_key ORDER BY name")]  # noqa: S608


async def key(db: Db, key_id: str) -> ApiKey | None:
    return first(map(read_key, await db.fetch(f"SELECT {KEY} FROM api_key WHERE id = $1", key_id)))  # noqa: S608


async def session(db: Db, token_hash: bytes) -> Session | None:
    sql = f"SELECT {SESSION} FROM session WHERE token_hash = $1"  # noqa: S608
    return first(map(read_session, await db.fetch(sql, token_hash)))


async def sessions(db: Db, name: str) -> list[Session]:
    sql = f"SELECT {SESSION} FROM session WHERE account = $1 ORDER BY seen_at DESC, token_hash"  # noqa: S608
    return [read_session(row) for row in await db.fetch(sql, name)]


async def logged_in(db: Db, token_hash: bytes) -> LoggedIn | None:
    found = await session(db, token_hash)
    whose = None if found is None else await account(db, found.account)
    return None if found is None or whose is None else LoggedIn(session=found, account=whose)


async def audit(
    db: Db, query: AuditQuery, *, limit: int, before: int | None, after: int | None
) -> list[AuditEntry]:
    asked = Where()
    for column, value in (("by", query.by), ("action", query.action), ("target", query.target)):
        if value:
            asked.add(f"lower({column}) = {{}}", value.encode().lower().decode())
    for comparison, limit_of in (
        ("at >= {}", None if query.since is None else to_ms(query.since)),
        ("at < {}", None if query.until is None else to_ms(query.until)),
        ("number < {}", before),
        ("number > {}", after),
    ):
        if limit_of is not None:
            asked.add(comparison, limit_of)
    order = "DESC" if after is None else "ASC"
    most = asked.bind(limit)
    sql = f"{_AUDIT} WHERE {asked.sql} ORDER BY number {order} LIMIT {most}"
    found = [read_entry(row) for row in await db.fetch(sql, *asked.args)]
    return found if after is None else found[::-1]
