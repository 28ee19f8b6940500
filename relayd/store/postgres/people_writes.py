"""Writes about accounts, API keys, sessions and the audit, each inside one transaction."""

from dataclasses import replace
from datetime import datetime

from relayd.answers.people import told_of_account, told_of_change, told_of_key
from relayd.policy.console.names import as_account
from relayd.policy.console.roles import Role
from relayd.policy.console.sessions import IDLE, LONGEST
from relayd.ports.people import (
    DETAIL_LIMIT,
    Account,
    AccountChange,
    Action,
    ApiKey,
    Author,
    Deed,
    LetIn,
    Session,
    why_not_let_in,
)
from relayd.store.people_rows import ACCOUNT, KEY, SESSION, row_of_account, row_of_key
from relayd.store.postgres import people_rows
from relayd.store.postgres.line import Session as Db
from relayd.store.values import to_ms

_AT_ONCE = 500  # rows deleted in one transaction
_SAME_KEY = "SELECT 1 FROM api_key WHERE id = $1 OR name = $2"


def _numbered(columns: str) -> str:
    return ", ".join(f"${place}" for place in range(1, columns.count(",") + 2))


def _replaced(columns: str) -> str:
    return ", ".join(f"{name} = excluded.{name}" for name in columns.split(", ")[1:])


_ADD_KEY = f"INSERT INTO api_key ({KEY}) VALUES ({_numbered(KEY)})"  # noqa: S608 -- constants, as below
_OPEN = (
    f"INSERT INTO session ({SESSION}) VALUES ({_numbered(SESSION)})"  # noqa: S608
    f" ON CONFLICT (token_hash) DO UPDATE SET {_replaced(SESSION)}"
)
_PUT = (
    f"INSERT INTO account ({ACCOUNT}) VALUES ({_numbered(ACCOUNT)})"  # noqa: S608
    f" ON CONFLICT (name) DO UPDATE SET {_replaced(ACCOUNT)}"
)


async def add_account(db: Db, account: Account, author: Author, now: datetime) -> bool:
    if await people_rows.account(db, account.name) is not None:
        return False
    await _put(db, account)
    await note(db, Deed(Action.ACCOUNT_ADDED, account.name, told_of_account(account)), author, now)
    return True


async def change_account(
    db: Db, name: str, change: AccountChange, author: Author, now: datetime
) -> bool:
    account = await people_rows.account(db, name)
    if account is None:
        return False
    if told := told_of_change(account, change):
        await _put(db, change.applied_to(account))
        await db.execute("DELETE FROM session WHERE account = $1", name)
        await note(db, Deed(Action.ACCOUNT_CHANGED, name, told), author, now)
    return True


async def drop_account(db: Db, name: str, author: Author, now: datetime) -> bool:
    account = await people_rows.account(db, name)
    if account is None:
        return False
    await db.execute("DELETE FROM account WHERE name = $1", name)
    await db.execute("DELETE FROM session WHERE account = $1", name)
    await note(db, Deed(Action.ACCOUNT_REMOVED, name, told_of_account(account)), author, now)
    return True


async def add_key(db: Db, key: ApiKey, author: Author, now: datetime) -> bool:
    if await db.fetch(_SAME_KEY, key.id, key.name):
        return False
    await db.execute(
        _ADD_KEY,
        *row_of_key(key),
    )
    await note(db, Deed(Action.KEY_ADDED, key.id, told_of_key(key)), author, now)
    return True


async def change_key(db: Db, key_id: str, *, disabled: bool, author: Author, now: datetime) -> bool:
    key = await people_rows.key(db, key_id)
    if key is None:
        return False
    if key.disabled != disabled:
        await db.execute("UPDATE api_key SET disabled = $1 WHERE id = $2", disabled, key_id)
        told = f"name {key.name}, {'disabled' if disabled else 'enabled'}"
        await note(db, Deed(Action.KEY_CHANGED, key_id, told), author, now)
    return True


async def drop_key(db: Db, key_id: str, author: Author, now: datetime) -> bool:
    key = await people_rows.key(db, key_id)
    if key is None:
        return False
    await db.execute("DELETE FROM api_key WHERE id = $1", key_id)
    await note(db, Deed(Action.KEY_REMOVED, key_id, told_of_key(key)), author, now)
    return True


async def touch_key(db: Db, key_id: str, now: datetime) -> None:
    await db.execute("UPDATE api_key SET last_used_at = $1 WHERE id = $2", to_ms(now), key_id)


async def open_session(
    db: Db,
    session: Session,
    *,
    how: str,
    author: Author,
    now: datetime,
    if_hash: str | None = None,
) -> bool:
    account = await people_rows.account(db, session.account)
    if account is None or account.disabled or if_hash not in (None, account.password_hash):
        return False
    begun_at = to_ms(session.begun_at)
    await db.execute(
        _OPEN, session.token_hash, account.name, begun_at, to_ms(session.seen_at), session.client
    )
    await db.execute(
        "UPDATE account SET last_login_at = $1 WHERE name = $2", begun_at, account.name
    )
    await note(db, Deed(Action.LOGGED_IN, account.name, how), author, now)
    return True


async def let_in(
    db: Db,
    session: Session,
    *,
    subject: str,
    role: Role,
    how: str,
    now: datetime,
) -> LetIn:
    account = await people_rows.account_of(db, subject) or await people_rows.account(
        db, session.account
    )
    name = session.account if account is None else account.name
    author = Author(by=as_account(name), client=session.client)
    if account is None:
        new = Account(name=name, role=role, created_at=now, subject=subject)
        await add_account(db, new, author, now)
    elif (refused := why_not_let_in(account, subject)) is not None:
        return refused
    else:
        await change_account(db, name, AccountChange(role=role, subject=subject), author, now)
    await open_session(db, replace(session, account=name), how=how, author=author, now=now)
    return LetIn.DONE


async def touch_session(db: Db, token_hash: bytes, now: datetime) -> None:
    await db.execute(
        "UPDATE session SET seen_at = $1 WHERE token_hash = $2", to_ms(now), token_hash
    )


async def end_session(db: Db, token_hash: bytes, author: Author, now: datetime) -> bool:
    sql = "DELETE FROM session WHERE token_hash = $1 RETURNING account"
    ended = await db.fetch(sql, token_hash)
    for (name,) in ended:
        await note(db, Deed(Action.LOGGED_OUT, name), author, now)
    return bool(ended)


async def end_sessions(db: Db, name: str, author: Author, now: datetime) -> int:
    ended = await db.fetch("DELETE FROM session WHERE account = $1 RETURNING account", name)
    if ended:
        await note(db, Deed(Action.LOGGED_OUT, name, f"{len(ended)} sessions"), author, now)
    return len(ended)


async def note(db: Db, deed: Deed, author: Author, now: datetime) -> None:
    await db.execute(
        "INSERT INTO audit (at, by, client, action, target, detail) VALUES ($1, $2, $3, $4, $5, $6)",
        to_ms(now),
        author.by,
        author.client,
        str(deed.action),
        deed.target[:DETAIL_LIMIT],
        deed.detail[:DETAIL_LIMIT],
    )


async def forget(db: Db, audit_before: datetime, now: datetime) -> int:
    over = await db.execute(
        "DELETE FROM session WHERE token_hash IN (SELECT token_hash FROM session"
        " WHERE begun_at <= $1 OR seen_at <= $2 LIMIT $3)",
        to_ms(now - LONGEST),
        to_ms(now - IDLE),
        _AT_ONCE,
    )
    old = await db.execute(
        "DELETE FROM audit WHERE number IN"
        " (SELECT number FROM audit WHERE at < $1 ORDER BY at LIMIT $2)",
        to_ms(audit_before),
        _AT_ONCE,
    )
    return over + old


async def _put(db: Db, account: Account) -> None:
    await db.execute(_PUT, *row_of_account(account))
