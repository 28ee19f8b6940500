"""Accounts: who may log in, and one line of the users file for each.

Owns the text of the file. A line has the name, an argon2id hash of the password, and the senders
that the account may use, set apart by blanks; without senders it may use any. Empty lines and
comments, which begin with "#", mean nothing.

Source: RFC 4616 §2 (names); the PHC string format (hashes).
"""

import base64
import re
from collections.abc import Mapping
from dataclasses import dataclass

from relayd.mail.address import Address, PathError, parse_address

# What a hash may ask of us: a slip of the hand must not stop every login.
_MEMORY_LIMIT = 1 << 18  # KiB
_ROUNDS_LIMIT = 64
_THREADS_LIMIT = 16
_THREAD_NEEDS = 8  # KiB, RFC 9106 §3.1

_NAME = re.compile(r"(?!#)[!-~]{1,255}")
_HASH = re.compile(
    r"\$argon2id\$v=19\$m=([1-9]\d{0,8}),t=([1-9]\d{0,8}),p=([1-9]\d{0,8})"
    r"\$([A-Za-z0-9+/]{11,86})\$([A-Za-z0-9+/]{22,172})",
    re.ASCII,
)


class AccountError(ValueError):
    """Not an account; the text says why, without a word of what was given."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    name: str
    hash: str
    senders: tuple[str, ...] = ()  # addresses and `@domain`s; none: any

    def __repr__(self) -> str:
        return f"Account({self.name!r}, hash=***, senders={self.senders!r})"

    def may_send_as(self, reverse_path: Address | None) -> bool:
        """Tell whether the reverse-path is this account's to use; the null one is everybody's."""
        return reverse_path is None or is_among(self.senders, reverse_path)


def is_among(senders: tuple[str, ...], address: Address) -> bool:
    """Tell whether an address is one of these, or of a domain that is; without any, all are.

    Case does not count. A domain does not stand for those below it.
    """
    domain = f"@{address.domain}".lower()
    own = f"{address.local}{domain}".lower()
    return not senders or any(each.lower() in (domain, own) for each in senders)


def parse_name(text: str) -> str:
    """Raises AccountError."""
    if not _NAME.fullmatch(text):
        raise AccountError(
            'expected a name of at most 255 printable ASCII characters, without blanks or "#" first'
        )
    return text


def parse_sender(text: str) -> str:
    """Read an address or `@domain`; `*@domain` is the same as that. Raises AccountError."""
    if text.startswith("*@"):
        text = text[1:]
    try:
        parse_address(f"x{text}" if text.startswith("@") else text)
    except PathError:
        raise AccountError("expected senders as user@example.org or @example.org") from None
    if any(char.isspace() for char in text):
        raise AccountError("expected senders without blanks")
    return text


def parse_accounts(text: str) -> Mapping[str, Account]:
    """Read a users file. Raises AccountError, which names the line."""
    accounts: dict[str, Account] = {}
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        try:
            account = _parse_line(line)
        except AccountError as error:
            raise AccountError(f"line {number}: {error}") from None
        if account.name in accounts:
            raise AccountError(f"line {number}: this name is further up already")
        accounts[account.name] = account
    return accounts


def with_account(text: str, account: Account) -> str:
    """Return the file with the account, in the place of one of its name or at the end."""
    line = " ".join((account.name, account.hash, *account.senders))
    lines = text.splitlines()
    for number, other in enumerate(lines):
        if other.split()[:1] == [account.name]:
            lines[number] = line
            break
    else:
        lines.append(line)
    return "".join(f"{each}\n" for each in lines)


def without_account(text: str, name: str) -> str:
    """Return the file without the account of that name."""
    return "".join(f"{line}\n" for line in text.splitlines() if line.split()[:1] != [name])


def _parse_line(line: str) -> Account:
    words = line.split()
    if len(words) < 2:
        raise AccountError("expected NAME HASH [SENDER ...]")
    return Account(
        name=parse_name(words[0]),
        hash=parse_hash(words[1]),
        senders=tuple(parse_sender(each) for each in words[2:]),
    )


def parse_hash(text: str) -> str:
    """Raises AccountError."""
    found = _HASH.fullmatch(text)
    if found is None:
        raise AccountError("expected an argon2id hash, as `relayd user add` writes it")
    memory, rounds, threads = map(int, found.groups()[:3])
    if memory < _THREAD_NEEDS * threads or not all(map(_is_base64, found.groups()[3:])):
        raise AccountError("expected an argon2id hash that a password can be checked against")
    if memory > _MEMORY_LIMIT or rounds > _ROUNDS_LIMIT or threads > _THREADS_LIMIT:
        raise AccountError("this hash costs too much memory, time or threads")
    return text


def _is_base64(text: str) -> bool:
    """Tell whether it is what an encoder writes, who leaves out the padding."""
    octets = base64.b64decode(text + "=" * (-len(text) % 4)) if len(text) % 4 != 1 else b""
    return base64.b64encode(octets).decode().rstrip("=") == text
