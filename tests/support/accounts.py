"""A users file for tests, and what is known of its users: its hashes are real, and cost as little as argon2 allows."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import argon2
import pytest

from relayd.accounts import passwords
from relayd.accounts.passwords import hash_password
from relayd.control.log_ins import LogIns
from relayd.mail.account import Account, with_account
from relayd.policy.console import backoff
from relayd.policy.console.backoff import LoginBackOff
from relayd.policy.intake.known_sources import OCTETS, KnownSources

_CHEAP = argon2.PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)


@cache
def cheap_hash(password: str) -> str:
    return _CHEAP.hash(password)


@contextmanager
def cheap_hashes() -> Iterator[None]:
    """Have relayd make such hashes too."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(passwords, "_HASHER", _CHEAP)
        yield


@cache
def dear_hash(password: str) -> str:
    """As `relayd user add` makes it."""
    return hash_password(password)


def lone_sources() -> KnownSources:
    """The table of a worker that shares it with none."""
    return KnownSources(b"secret", bytearray(OCTETS))


def lone_log_ins(monotonic: Callable[[], float] = time.monotonic) -> LogIns:
    """What checks passwords of the console in a worker that shares no counts."""
    return LogIns(LoginBackOff(b"secret", bytearray(backoff.OCTETS)), monotonic)


def write_users(path: Path, *accounts: tuple[str, str, str]) -> Path:
    """Write the file of (name, password, senders set apart by blanks) in one step."""
    text = ""
    for name, password, senders in accounts:
        account = Account(name=name, hash=cheap_hash(password), senders=tuple(senders.split()))
        text = with_account(text, account)
    fresh = path.with_suffix(".new")
    fresh.write_text(text)
    fresh.chmod(0o640)
    fresh.replace(path)
    return path
