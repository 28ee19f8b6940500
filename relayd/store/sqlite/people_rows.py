"""Between rows and accounts, API keys, sessions and the audit: the questions."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from ipaddress import ip_network
from typing import Any, TypeVar

import apsw

from relayd.policy.console.roles import Role, Scope
from relayd.ports.people import (
    Account,
    ApiKey,
    AuditEntry,
    AuditQuery,
    LoggedIn,
    Sees,
    Session,
)
from relayd.store.sqlite.values import fetch, from_ms, to_ms

T = TypeVar("T")

ACCOUNT = "name, role, reads_content, password_hash, disabled, created_at, last_login_at, subject"
KEY = (
    "id, name, secret_hash, scopes, senders, networks, messages_per_minute, sees, created_at,"
    " expires_at, last_used_at, disabled"
)
SESSION = "token_hash, account, begun_at, seen_at, client"
_AUDIT = "SELECT number, at, by, client, action, target, detail FROM audit"


def accounts(db: apsw.Connection) -> list[Account]:
    return [_account(row) for row in fetch(db, f"SELECT {ACCOUNT} FROM account ORDER BY name")]  # noqa: S608 -- constants, as below


def account(db: apsw.Connection, name: str) -> Account | None:
    sql = f"SELECT {ACCOUNT} FROM account WHERE name = ?"  # noqa: S608
    return _first(map(_account, fetch(db, sql, (name,))))


def account_of(db: apsw.Connection, subject: str) -> Account | None:
    sql = f"SELECT {ACCOUNT} FROM account WHERE subject = ?"  # noqa: S608
    return _first(map(_account, fetch(db, sql, (subject,))))


def keys(db: apsw.Connection) -> list[ApiKey]:
    return [_key(row) for row in fetch(db, f"SELECT {KEY} FROM api_key ORDER BY name")]  # noqa: S608


def key(db: apsw.Connection, key_id: str) -> ApiKey | None:
    return _first(map(_key, fetch(db, f"SELECT {KEY} FROM api_key WHERE id = ?", (key_id,))))  # noqa: S608


def session(db: apsw.Connection, token_hash: bytes) -> Session | None:
    sql = f"SELECT {SESSION} FROM session WHERE token_hash = ?"  # noqa: S608
    return _first(map(_session, fetch(db, sql, (token_hash,))))


def sessions(db: apsw.Connection, name: str) -> list[Session]:
    sql = f"SELECT {SESSION} FROM session WHERE account = ? ORDER BY seen_at DESC, token_hash"  # noqa: S608
    return [_session(row) for row in fetch(db, sql, (name,))]


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
    found = [_entry(row) for row in fetch(db, sql, [*(value for _, value in wanted), limit])]
    return found if after is None else found[::-1]


def _account(row: Sequence[Any]) -> Account:
    name, role, reads_content, password_hash, disabled, created_at, last_login_at, subject = row
    return Account(
        name=name,
        role=Role(role),
        reads_content=bool(reads_content),
        password_hash=password_hash,
        disabled=bool(disabled),
        created_at=from_ms(created_at),
        last_login_at=_instant(last_login_at),
        subject=subject,
    )


def _key(row: Sequence[Any]) -> ApiKey:
    return ApiKey(
        id=row[0],
        name=row[1],
        secret_hash=row[2],
        scopes=frozenset(map(Scope, row[3].split())),
        senders=tuple(row[4].split()),
        networks=tuple(map(ip_network, row[5].split())),
        requests_per_minute=row[6],
        sees=Sees(row[7]),
        created_at=from_ms(row[8]),
        expires_at=_instant(row[9]),
        last_used_at=_instant(row[10]),
        disabled=bool(row[11]),
    )


def _session(row: Sequence[Any]) -> Session:
    token_hash, name, begun_at, seen_at, client = row
    return Session(
        token_hash=token_hash,
        account=name,
        begun_at=from_ms(begun_at),
        seen_at=from_ms(seen_at),
        client=client,
    )


def _entry(row: Sequence[Any]) -> AuditEntry:
    number, at, by, client, action, target, detail = row
    return AuditEntry(
        number=number,
        at=from_ms(at),
        by=by,
        client=client,
        action=action,
        target=target,
        detail=detail,
    )


def _first(found: Iterable[T]) -> T | None:
    return next(iter(found), None)


def _instant(ms: int | None) -> datetime | None:
    return None if ms is None else from_ms(ms)
