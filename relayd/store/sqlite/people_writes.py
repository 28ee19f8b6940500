"""Writes about accounts, API keys, sessions and the audit, each inside one transaction."""

from dataclasses import replace
from datetime import datetime

import apsw

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
from relayd.store.sqlite import people_rows
from relayd.store.sqlite.values import fetch, to_ms

_AT_ONCE = 500  # rows deleted in one transaction


def add_account(db: apsw.Connection, account: Account, author: Author, now: datetime) -> bool:
    if people_rows.account(db, account.name) is not None:
        return False
    _put(db, account)
    note(db, Deed(Action.ACCOUNT_ADDED, account.name, told_of_account(account)), author, now)
    return True


def change_account(
    db: apsw.Connection, name: str, change: AccountChange, author: Author, now: datetime
) -> bool:
    account = people_rows.account(db, name)
    if account is None:
        return False
    if told := told_of_change(account, change):
        _put(db, change.applied_to(account))
        db.execute("DELETE FROM session WHERE account = ?", (name,))
        note(db, Deed(Action.ACCOUNT_CHANGED, name, told), author, now)
    return True


def drop_account(db: apsw.Connection, name: str, author: Author, now: datetime) -> bool:
    account = people_rows.account(db, name)
    if account is None:
        return False
    db.execute("DELETE FROM account WHERE name = ?", (name,))
    db.execute("DELETE FROM session WHERE account = ?", (name,))
    note(db, Deed(Action.ACCOUNT_REMOVED, name, told_of_account(account)), author, now)
    return True


def add_key(db: apsw.Connection, key: ApiKey, author: Author, now: datetime) -> bool:
    if fetch(db, "SELECT 1 FROM api_key WHERE id = ? OR name = ?", (key.id, key.name)):
        return False
    db.execute(
        f"INSERT INTO api_key ({KEY}) VALUES (?,?,?,?,?,?,?,?,?,?,?,?)",  # noqa: S608 -- constants
        row_of_key(key),
    )
    note(db, Deed(Action.KEY_ADDED, key.id, told_of_key(key)), author, now)
    return True


def change_key(
    db: apsw.Connection, key_id: str, *, disabled: bool, author: Author, now: datetime
) -> bool:
    key = people_rows.key(db, key_id)
    if key is None:
        return False
    if key.disabled != disabled:
        db.execute("UPDATE api_key SET disabled = ? WHERE id = ?", (disabled, key_id))
        told = f"name {key.name}, {'disabled' if disabled else 'enabled'}"
        note(db, Deed(Action.KEY_CHANGED, key_id, told), author, now)
    return True


def drop_key(db: apsw.Connection, key_id: str, author: Author, now: datetime) -> bool:
    key = people_rows.key(db, key_id)
    if key is None:
        return False
    db.execute("DELETE FROM api_key WHERE id = ?", (key_id,))
    note(db, Deed(Action.KEY_REMOVED, key_id, told_of_key(key)), author, now)
    return True


def touch_key(db: apsw.Connection, key_id: str, now: datetime) -> None:
    db.execute("UPDATE api_key SET last_used_at = ? WHERE id = ?", (to_ms(now), key_id))


def open_session(
    db: apsw.Connection,
    session: Session,
    *,
    how: str,
    author: Author,
    now: datetime,
    if_hash: str | None = None,
) -> bool:
    account = people_rows.account(db, session.account)
    if account is None or account.disabled or if_hash not in (None, account.password_hash):
        return False
    begun_at = to_ms(session.begun_at)
    db.execute(
        f"INSERT OR REPLACE INTO session ({SESSION}) VALUES (?, ?, ?, ?, ?)",  # noqa: S608 -- constants
        (session.token_hash, account.name, begun_at, to_ms(session.seen_at), session.client),
    )
    db.execute("UPDATE account SET last_login_at = ? WHERE name = ?", (begun_at, account.name))
    note(db, Deed(Action.LOGGED_IN, account.name, how), author, now)
    return True


def let_in(
    db: apsw.Connection,
    session: Session,
    *,
    subject: str,
    role: Role,
    how: str,
    now: datetime,
) -> LetIn:
    account = people_rows.account_of(db, subject) or people_rows.account(db, session.account)
    name = session.account if account is None else account.name
    author = Author(by=as_account(name), client=session.client)
    if account is None:
        new = Account(name=name, role=role, created_at=now, subject=subject)
        add_account(db, new, author, now)
    elif (refused := why_not_let_in(account, subject)) is not None:
        return refused
    else:
        change_account(db, name, AccountChange(role=role, subject=subject), author, now)
    open_session(db, replace(session, account=name), how=how, author=author, now=now)
    return LetIn.DONE


def touch_session(db: apsw.Connection, token_hash: bytes, now: datetime) -> None:
    db.execute("UPDATE session SET seen_at = ? WHERE token_hash = ?", (to_ms(now), token_hash))


def end_session(db: apsw.Connection, token_hash: bytes, author: Author, now: datetime) -> bool:
    sql = "DELETE FROM session WHERE token_hash = ? RETURNING account"
    ended = fetch(db, sql, (token_hash,))
    for (name,) in ended:
        note(db, Deed(Action.LOGGED_OUT, name), author, now)
    return bool(ended)


def end_sessions(db: apsw.Connection, name: str, author: Author, now: datetime) -> int:
    ended = fetch(db, "DELETE FROM session WHERE account = ? RETURNING account", (name,))
    if ended:
        note(db, Deed(Action.LOGGED_OUT, name, f"{len(ended)} sessions"), author, now)
    return len(ended)


def note(db: apsw.Connection, deed: Deed, author: Author, now: datetime) -> None:
    db.execute(
        "INSERT INTO audit (at, by, client, action, target, detail) VALUES (?, ?, ?, ?, ?, ?)",
        (
            to_ms(now),
            author.by,
            author.client,
            deed.action,
            deed.target[:DETAIL_LIMIT],
            deed.detail[:DETAIL_LIMIT],
        ),
    )


def forget(db: apsw.Connection, audit_before: datetime, now: datetime) -> int:
    over = fetch(
        db,
        "DELETE FROM session WHERE token_hash IN (SELECT token_hash FROM session"
        " WHERE begun_at <= ? OR seen_at <= ? LIMIT ?) RETURNING 1",
        (to_ms(now - LONGEST), to_ms(now - IDLE), _AT_ONCE),
    )
    old = fetch(
        db,
        "DELETE FROM audit WHERE number IN"
        " (SELECT number FROM audit WHERE at < ? ORDER BY at LIMIT ?) RETURNING 1",
        (to_ms(audit_before), _AT_ONCE),
    )
    return len(over) + len(old)


def _put(db: apsw.Connection, account: Account) -> None:
    db.execute(
        f"INSERT OR REPLACE INTO account ({ACCOUNT}) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",  # noqa: S608 -- constants
        row_of_account(account),
    )
