"""Questions about accounts, API keys, sessions and the audit."""

import apsw

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
from relayd.store.sqlite.values import fetch, to_ms

_AUDIT = f"SELECT {AUDIT} FROM audit"  # noqa: S608 -- constants


def accounts(db: apsw.Connection) -> list[Account]:
    return [read_account(row) for row in fetch(db, f"SELECT {ACCOUNT} FROM account ORDER BY name")]  # noqa: S608 -- constants, as below


def account(db: apsw.Connection, name: str) -> Account | None:
    sql = f"SELECT {ACCOUNT} FROM account WHERE name = ?"  # noqa: S608
    return first(map(read_account, fetch(db, sql, (name,))))


def account_of(db: apsw.Connection, subject: str) -> Account | None:
    sql = f"SELECT {ACCOUNT} FROM account WHERE subject = ?"  # noqa: S608
    return first(map(read_account, fetch(db, sql, (subject,))))


def keys(db: apsw.Connection) -> list[ApiKey]:
    return [read_key(row) for row in fetch(db, f"SELECT {KEY} FROM api_key ORDER BY name")]  # noqa: S608


def key(db: apsw.Connection, key_id: str) -> ApiKey | None:
    return first(map(read_key, fetch(db, f"SELECT {KEY} FROM api_key WHERE id = ?", (key_id,))))  # noqa: S608


def session(db: apsw.Connection, token_hash: bytes) -> Session | None:
    sql = f"SELECT {SESSION} FROM session WHERE token_hash = ?"  # noqa: S608
    return first(map(read_session, fetch(db, sql, (token_hash,))))


def sessions(db: apsw.Connection, name: str) -> list[Session]:
    sql = f"SELECT {SESSION} FROM session WHERE account = ? ORDER BY seen_at DESC, token_hash"  # noqa: S608
    return [read_session(row) for row in fetch(db, sql, (name,))]


def logged_in(db: apsw.Connection, token_hash: bytes) -> LoggedIn | None:
    found = session(db, token_hash)
    whose = None if found is None else account(db, found.account)
    return None if found is None or whose is None else LoggedIn(session=found, account=whose)


def audit(
    db: apsw.Connection, query: AuditQuery, *, limit: int, before: int | None, after: int | None
) -> list[AuditEntry]:
    wanted: list[tuple[str, object]] = [
        (f"{column} = ? COLLATE NOCASE", value)
        for column, value in (("by", query.by), ("action", query.action), ("target", query.target))
        if value
    ]
    if query.since is not None:
        wanted.append(("at >= ?", to_ms(query.since)))
    if query.until is not None:
        wanted.append(("at < ?", to_ms(query.until)))
    if before is not None:
        wanted.append(("number < ?", before))
    if after is not None:
        wanted.append(("number > ?", after))
    where = f" WHERE {' AND '.join(part for part, _ in wanted)}" if wanted else ""
    sql = f"{_AUDIT}{where} ORDER BY number {'DESC' if after is None else 'ASC'} LIMIT ?"
    found = [read_entry(row) for row in fetch(db, sql, [*(value for _, value in wanted), limit])]
    return found if after is None else found[::-1]
