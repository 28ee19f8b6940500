"""Between rows and accounts, API keys, sessions and the audit, whatever the engine."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from ipaddress import ip_network
from typing import Any, TypeVar

from relayd.policy.console.roles import Role, Scope
from relayd.ports.people import Account, ApiKey, AuditEntry, Sees, Session
from relayd.store.values import from_ms, to_ms

T = TypeVar("T")

ACCOUNT = "name, role, reads_content, password_hash, disabled, created_at, last_login_at, subject"
KEY = (
    "id, name, secret_hash, scopes, senders, networks, messages_per_minute, sees, created_at,"
    " expires_at, last_used_at, disabled"
)
SESSION = "token_hash, account, begun_at, seen_at, client"
AUDIT = "number, at, by, client, action, target, detail"


def read_account(row: Sequence[Any]) -> Account:
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


def read_key(row: Sequence[Any]) -> ApiKey:
    return ApiKey(
        id=row[0],
        name=row[1],
        secret_hash=bytes(row[2]),
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


def read_session(row: Sequence[Any]) -> Session:
    token_hash, name, begun_at, seen_at, client = row
    return Session(
        token_hash=bytes(token_hash),
        account=name,
        begun_at=from_ms(begun_at),
        seen_at=from_ms(seen_at),
        client=client,
    )


def read_entry(row: Sequence[Any]) -> AuditEntry:
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


def first(found: Iterable[T]) -> T | None:
    return next(iter(found), None)


def _instant(ms: int | None) -> datetime | None:
    return None if ms is None else from_ms(ms)


def row_of_account(account: Account) -> tuple[Any, ...]:
    return (
        account.name,
        account.role.value,
        account.reads_content,
        account.password_hash,
        account.disabled,
        to_ms(account.created_at),
        _ms(account.last_login_at),
        account.subject,
    )


def row_of_key(key: ApiKey) -> tuple[Any, ...]:
    return (
        key.id,
        key.name,
        key.secret_hash,
        " ".join(sorted(key.scopes)),
        " ".join(key.senders),
        " ".join(map(str, key.networks)),
        key.requests_per_minute,
        key.sees.value,
        to_ms(key.created_at),
        _ms(key.expires_at),
        _ms(key.last_used_at),
        key.disabled,
    )


def _ms(at: datetime | None) -> int | None:
    return None if at is None else to_ms(at)
