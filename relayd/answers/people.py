"""Accounts, API keys and the audit as texts and fields, the same in terminal, API and console."""

from relayd.mail.words import format_instant, instant_or_none
from relayd.ports.people import Account, AccountChange, ApiKey, AuditEntry

Fields = dict[str, object]
ACCOUNT_FIELDS = ("name", "role", "reads_content", "disabled", "created_at", "last_login_at")
AUDIT_FIELDS = ("ts", "by", "client_ip", "action", "target", "detail")
KEY_FIELDS = (
    "id",
    "name",
    "scopes",
    "senders",
    "networks",
    "requests_per_minute",
    "sees",
    "created_at",
    "expires_at",
    "last_used_at",
    "disabled",
)


def account_fields(account: Account) -> Fields:
    """Return what may be told of an account: all but the hash of its password."""
    return {
        "name": account.name,
        "role": account.role.value,
        "reads_content": account.reads_content,
        "disabled": account.disabled,
        "created_at": format_instant(account.created_at),
        "last_login_at": instant_or_none(account.last_login_at),
    }


def key_fields(key: ApiKey) -> Fields:
    """Return what may be told of an API key: all but the hash of its secret."""
    return {
        "id": key.id,
        "name": key.name,
        "scopes": sorted(key.scopes),
        "senders": list(key.senders),
        "networks": [str(each) for each in key.networks],
        "requests_per_minute": key.requests_per_minute,
        "sees": key.sees.value,
        "created_at": format_instant(key.created_at),
        "expires_at": instant_or_none(key.expires_at),
        "last_used_at": instant_or_none(key.last_used_at),
        "disabled": key.disabled,
    }


def audit_fields(entry: AuditEntry) -> Fields:
    return {
        "ts": format_instant(entry.at),
        "by": entry.by,
        "client_ip": entry.client or None,
        "action": entry.action,
        "target": entry.target or None,
        "detail": entry.detail or None,
    }


def told_of_account(account: Account) -> str:
    """Say what an account is, for the audit."""
    told = [f"role {account.role}"]
    if account.reads_content:
        told.append("reads content")
    if account.subject:
        told.append(f"of {account.subject}")
    return ", ".join(told)


def told_of_change(account: Account, change: AccountChange) -> str:
    """Say what is to be different about an account, for the audit; empty: nothing."""
    after = change.applied_to(account)
    told = []
    if after.role != account.role:
        told.append(f"role {account.role} → {after.role}")
    if after.reads_content != account.reads_content:
        told.append("reads content" if after.reads_content else "no longer reads content")
    if after.disabled != account.disabled:
        told.append("disabled" if after.disabled else "enabled")
    if after.password_hash != account.password_hash:
        told.append("new password")
    if after.subject != account.subject:
        told.append(f"of {after.subject}")
    return ", ".join(told)


def told_of_key(key: ApiKey) -> str:
    """Say what a key may do, for the audit."""
    told = [f"name {key.name}", f"scopes {' '.join(sorted(key.scopes))}", f"sees {key.sees}"]
    if key.senders:
        told.append(f"senders {' '.join(key.senders)}")
    if key.networks:
        told.append(f"networks {' '.join(map(str, key.networks))}")
    if key.expires_at is not None:
        told.append(f"until {format_instant(key.expires_at)}")
    return ", ".join(told)
