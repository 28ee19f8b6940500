"""Read what a domain says about TLS at its mail hosts: MTA-STS, its record and its policy.

Owns the grammar, which host a policy lists, and when a policy that is kept has to be fetched again. The
DNS, the web server and the store are for others; every text that means nothing is a `NoPolicy`, in words.

A record or policy that breaks the grammar is none at all. Empty lines are forgiven: they lose nothing.

Source: RFC 8461 §3.1 (record), §3.2 (policy), §3.3 (fetching), §4.1 (hosts), §5.1 (when it is asked again).
"""

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from relayd.mail.dns import DomainError, a_labels
from relayd.mail.http import HttpAnswer

OCTETS = 64 * 1024  # of a policy, at most (RFC 8461 §3.3 proposes that)
MAX_AGE = 31_557_600  # seconds: a year (§3.2)
REFRESH_AFTER = timedelta(days=1)  # §3.3
USED_WITHIN = timedelta(days=30)  # by a delivery, or it is not fetched again by itself
RETRY_AFTER = timedelta(minutes=5)  # after a failed fetch; §3.3 asks for such a limit
_HOSTS = 250  # lines `mx`; nobody has as many, and each of many policies is held in memory

_VERSION = re.compile(r"v=STSv1[ \t]*;")
_ID = re.compile(r"[A-Za-z0-9]{1,32}")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,31}")
_VALUE = re.compile(r"[!-:<>-~]+")  # printable, without `;`, `=` and spaces
_AGE = re.compile(r"[0-9]{1,10}", re.ASCII)
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


class StsMode(StrEnum):
    """RFC 8461 §3.2, §5."""

    ENFORCE = "enforce"
    TESTING = "testing"
    NONE = "none"


class StsFault(StrEnum):
    """Why a policy could not be had, in the words of reports (RFC 8460 §4.3.2.2)."""

    FETCH = "sts-policy-fetch-error"
    INVALID = "sts-policy-invalid"
    CERTIFICATE = "sts-webpki-invalid"


@dataclass(frozen=True, slots=True)
class NoPolicy:
    """Nothing that could be applied."""

    why: str  # one cleaned line, for people
    fault: StsFault | None = None  # None: the domain does not claim to have a policy


@dataclass(frozen=True, slots=True, kw_only=True)
class StsPolicy:
    """What a domain says about its mail hosts."""

    mode: StsMode
    hosts: tuple[str, ...]  # A-labels; `*.` in front: one label, any
    max_age: timedelta
    id: str  # of the record that told of it

    def fits(self, host: str) -> bool:
        """Tell whether the policy lists a mail host, given as A-labels in lower case (RFC 8461 §4.1)."""
        return host in self.hosts or f"*.{host.partition('.')[2]}" in self.hosts

    @property
    def lines(self) -> tuple[str, ...]:
        """Return what the policy says, a line for each of its fields (RFC 8461 §3.2)."""
        seconds = int(self.max_age.total_seconds())
        hosts = (f"mx: {host}" for host in self.hosts)
        return ("version: STSv1", f"mode: {self.mode}", *hosts, f"max_age: {seconds}")


@dataclass(frozen=True, slots=True, kw_only=True)
class StsEntry:
    """What is kept of a domain: its policy, or that there was none to be had."""

    domain: str  # A-labels
    policy: StsPolicy | None
    fetched_at: datetime  # without a policy: of the first try
    used_at: datetime  # of the last delivery that asked
    not_before: datetime | None = None  # it is not fetched before
    why: str = ""  # the last fetch failed

    @property
    def expires_at(self) -> datetime:
        """Return when the policy ends."""
        return self.fetched_at + (self.policy.max_age if self.policy else timedelta())

    def live(self, now: datetime) -> StsPolicy | None:
        """Return the policy that counts for a delivery; None as well for one that says `none`."""
        if self.policy is None or self.policy.mode is StsMode.NONE or now >= self.expires_at:
            return None
        return self.policy


def read_record(texts: Sequence[str]) -> str | NoPolicy:
    """Return the id that the records at `_mta-sts` give to the policy (RFC 8461 §3.1).

    What does not begin as such a record is nothing to us; two that do are none.
    """
    records = [text for text in texts if _VERSION.match(text)]
    if not records:
        return NoPolicy("there is no MTA-STS record")
    if len(records) > 1:
        return NoPolicy(f"there are {len(records)} MTA-STS records, one is allowed")
    _, *fields = (field.strip(" \t") for field in records[0].split(";"))
    if not fields[-1]:
        del fields[-1]  # the delimiter at the end
    ids = []
    for field in fields:
        name, _, value = field.partition("=")
        if not _NAME.fullmatch(name) or not _VALUE.fullmatch(value):
            return NoPolicy("the MTA-STS record has a field that is none")
        if name == "id":
            ids.append(value)
    if not ids:
        return NoPolicy("the MTA-STS record has no id")
    if not _ID.fullmatch(ids[0]):
        return NoPolicy("the id of the MTA-STS record is not 1 to 32 letters and digits")
    return ids[0]


def judge(answer: HttpAnswer, policy_id: str) -> StsPolicy | NoPolicy:
    """Return the policy in what the web server answered (RFC 8461 §3.3: status 200, plain text, no redirect)."""
    why = None
    if 300 <= answer.status < 400:
        why = f"it answers {answer.status}, and no redirect is followed"
    elif answer.status != 200:
        why = f"it answers {answer.status}"
    elif answer.media_type != "text/plain":
        why = "its answer is not text/plain"
    elif not answer.has_end:
        why = "its answer does not say how long it is, so anybody may have cut it"
    if why is not None:
        return NoPolicy(f"the MTA-STS policy cannot be fetched: {why}", StsFault.FETCH)
    return read_policy(answer.body, policy_id)


def read_policy(octets: bytes, policy_id: str) -> StsPolicy | NoPolicy:
    """Return the policy that a web server gave, in time that grows with its length only (RFC 8461 §3.2).

    Of a field that is there twice the first one counts, but for `mx`.
    """
    if len(octets) > OCTETS:
        return _invalid(f"has more than {OCTETS} octets")
    try:
        text = octets.decode()
    except UnicodeDecodeError:
        return _invalid("is not UTF-8")
    first: dict[str, str] = {}
    hosts: dict[str, None] = {}
    for line in text.replace("\r\n", "\n").split("\n"):
        name, colon, value = line.partition(":")
        value = value.strip(" \t")
        if not line.strip(" \t"):
            continue
        if not colon or not _NAME.fullmatch(name) or not value or _CONTROL.search(value):
            return _invalid("has a line that is no field")
        first.setdefault(name, value)
        if name == "mx":
            if (host := _host(value)) is None:
                return _invalid("lists a mail host that is no domain name")
            hosts[host] = None
            if len(hosts) > _HOSTS:
                return _invalid(f"lists more than {_HOSTS} mail hosts")
    return _judged(first, hosts, policy_id)


def needs_refresh(entry: StsEntry | None, policy_id: str, now: datetime) -> bool:
    """Tell whether the policy has to be fetched, given the id that the record has now (RFC 8461 §3.1, §5.1)."""
    if entry is None:
        return True
    if entry.not_before is not None and now < entry.not_before:
        return False
    return entry.policy is None or now >= entry.expires_at or entry.policy.id != policy_id


def _judged(first: dict[str, str], hosts: Collection[str], policy_id: str) -> StsPolicy | NoPolicy:
    if first.get("version") != "STSv1":
        return _invalid("is not of version STSv1")
    if first.get("mode") not in set(StsMode):
        return _invalid("has no mode that is known")
    mode = StsMode(first["mode"])
    if not _AGE.fullmatch(first.get("max_age", "")) or int(first["max_age"]) > MAX_AGE:
        return _invalid(f"has no max_age from 0 to {MAX_AGE}")
    if not hosts and mode is not StsMode.NONE:
        return _invalid("lists no mail host")
    return StsPolicy(
        mode=mode,
        hosts=tuple(hosts),
        max_age=timedelta(seconds=int(first["max_age"])),
        id=policy_id,
    )


def _host(value: str) -> str | None:
    wildcard = "*." if value.startswith("*.") else ""
    name = value.removeprefix(wildcard)
    try:
        return wildcard + a_labels(name) if name.isascii() else None
    except DomainError:
        return None


def _invalid(what: str) -> NoPolicy:
    return NoPolicy(f"the MTA-STS policy {what}", StsFault.INVALID)
