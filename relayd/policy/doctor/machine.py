"""Judge the machine below relayd: the queue file and what is in it, room on disk, clock, file modes.

Sources: A-95 (file modes); RFC 5321 §4.5.4.1 (how long mail may wait).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum

from relayd.policy.doctor.finding import Check, Finding, Level
from relayd.policy.privacy import Privacy

LONG_WAIT = timedelta(days=1)
LEAST_FREE, LOW_FREE = 100 * 10**6, 10**9  # octets
LEAST_INODES, LOW_INODES = 100, 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreFacts:
    path: str
    exists: bool = True
    denied: bool = False  # the one who asks may not read it
    problem: str = ""  # why it cannot be read
    moved: str = ""  # why no relayd may serve it, though it can be read: `relayd.store.moved`
    complaints: tuple[str, ...] = ()  # of SQLite's quick check
    checked: bool = False  # it was made: the file is small enough
    octets: int = 0
    schema: int = 0
    newest_schema: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueFacts:
    """Recipients that neither are through nor held."""

    waiting: int
    held: int
    oldest_at: datetime | None  # when the oldest of those that wait was received


@dataclass(frozen=True, slots=True, kw_only=True)
class DiskFacts:
    """The file system of a directory, or of the nearest one above it that exists."""

    path: str
    free: int  # octets for us
    inodes: int | None  # free ones; None: the file system does not count them
    read_only: bool = False


class FileKind(Enum):
    """What a file is, and the mode bits that it may have."""

    SETTINGS = (0o644, "settings")
    SETTINGS_DIRECTORY = (0o755, "the directory of the settings")
    SECRET = (0o640, "secrets")
    STATE_DIRECTORY = (0o750, "the directory of the queue")
    DATABASE = (0o640, "the queue")

    @property
    def may_have(self) -> int:
        return self.value[0]

    @property
    def words(self) -> str:
        return self.value[1]

    @property
    def is_directory(self) -> bool:
        return bool(self.may_have & 0o100)


@dataclass(frozen=True, slots=True, kw_only=True)
class FileFacts:
    path: str
    kind: FileKind
    mode: int  # the permission bits
    privacy: Privacy | None = None  # of a secret


MOVED = "relayd does not start on it (docs/howto/cluster.md#from-one-machine-with-a-queue-file)."


def judge_store(facts: StoreFacts) -> Finding:
    """Judge the queue file."""

    def found(level: Level, reason: str, remedy: str = "") -> Finding:
        return Finding(
            check=Check.STORE, subject=facts.path, level=level, reason=reason, remedy=remedy
        )

    if not facts.exists:
        return found(Level.SKIPPED, "no queue yet: relayd makes it at its first start")
    if facts.denied:
        remedy = "Ask as root, or as the user that relayd runs as."
        return found(Level.UNKNOWN, "you may not read the queue", remedy)
    at_the_path = "Look at the path in store.url, and at the disk."
    for reason, remedy in ((facts.problem, at_the_path), (facts.moved, MOVED)):
        if reason:
            return found(Level.FAIL, reason, remedy)
    if facts.complaints:
        reason = f"SQLite finds the file damaged: {facts.complaints[0]}"
        return found(Level.FAIL, reason, "Stop relayd, keep the file, restore the last backup.")
    size = f"{facts.octets / 10**6:.1f} MB"
    checked = "checked" if facts.checked else "too large to be checked in passing"
    if facts.schema < facts.newest_schema:
        reason = f"schema {facts.schema}, this relayd has {facts.newest_schema}"
        return found(Level.WARN, reason, "Restart relayd: it brings the file up to date.")
    return found(Level.OK, f"readable, schema {facts.schema}, {size}, {checked}")


def judge_queue(facts: QueueFacts, give_up_after: timedelta, now: datetime) -> Finding:
    """Judge how long mail waits."""
    level, remedy = Level.OK, ""
    held = f", {facts.held} held" if facts.held else ""
    if facts.oldest_at is None:
        reason = f"nothing waits{held}"
    else:
        age = now - facts.oldest_at
        reason = f"{facts.waiting} waiting, the oldest for {in_words(age)}{held}"
        if age > give_up_after + LONG_WAIT:
            level = Level.FAIL
            remedy = "See that relayd runs: mail as old as this should have been given up."
        elif age > LONG_WAIT:
            level = Level.WARN
            remedy = "Look with relayd status --status deferred why it waits."
    return Finding(check=Check.QUEUE, subject="", level=level, reason=reason, remedy=remedy)


def in_words(age: timedelta) -> str:
    """An age for people, in its largest unit."""
    seconds = int(age.total_seconds())
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= size:
            return f"{seconds // size} {unit}"
    return f"{max(0, seconds)} s"


def judge_disk(facts: DiskFacts, message_size: int) -> Finding:
    """Judge the room for a queue or a log. `message_size`: the largest message that is taken."""
    least = max(LEAST_FREE, 2 * message_size)
    free = f"{facts.free / 10**9:.1f} GB free"
    remedy = "Make room, shorten store.history, or move it to a larger disk."
    level, reason = Level.OK, free
    if facts.read_only:
        level, reason = Level.FAIL, "the file system is read-only"
        remedy = "Find out why it is, and mount it for writing."
    elif facts.free < least:
        level, reason = Level.FAIL, f"only {facts.free / 10**6:.0f} MB free"
    elif facts.inodes is not None and facts.inodes < LEAST_INODES:
        level, reason = Level.FAIL, f"only {facts.inodes} inodes free"
    elif facts.free < max(LOW_FREE, least):
        level = Level.WARN
    elif facts.inodes is not None and facts.inodes < LOW_INODES:
        level, reason = Level.WARN, f"{free}, but only {facts.inodes} inodes"
    return Finding(
        check=Check.DISK,
        subject=facts.path,
        level=level,
        reason=reason,
        remedy="" if level is Level.OK else remedy,
    )


def judge_soft_bounce(*, is_on: bool) -> Iterator[Finding]:
    """Warn while the safety net is spread: nothing is to be said without it."""
    if is_on:
        yield Finding(
            check=Check.SOFT_BOUNCE,
            subject="",
            level=Level.WARN,
            reason="soft_bounce is on: mail that would bounce is deferred, and no sender hears of it",
            remedy="set soft_bounce = false when the change that it was for has proved right",
        )


def judge_clock(*, synchronised: bool | None) -> Finding:
    """Judge the clock; None: the kernel does not say."""
    remedy = "Run chrony, systemd-timesyncd or another NTP client, here or on the machine below."
    level, reason = Level.OK, "kept by NTP"
    if synchronised is None:
        level, reason, remedy = Level.UNKNOWN, "the system does not say whether NTP keeps it", ""
    elif not synchronised:
        level = Level.WARN
        reason = "nothing keeps it right: Date fields, retries and certificates depend on it"
    return Finding(
        check=Check.CLOCK,
        subject="",
        level=level,
        reason=reason,
        remedy="" if level is Level.OK else remedy,
    )


def judge_files(files: Sequence[FileFacts]) -> tuple[Finding, ...]:
    """Judge who may read or write our files: a finding for each that is too open."""
    bad = tuple(_too_open(files))
    if bad:
        return bad
    return (
        Finding(
            check=Check.FILES,
            subject="",
            level=Level.OK,
            reason=f"{len(files)} files and directories, none open to others",
        ),
    )


def _too_open(files: Sequence[FileFacts]) -> Iterator[Finding]:
    for facts in files:
        who, what, level = _who_may(facts)
        if not what:
            continue
        yield Finding(
            check=Check.FILES,
            subject=facts.path,
            level=level,
            reason=f"{who} may {what} {facts.kind.words} (mode {facts.mode:04o})",
            remedy=f"Run chmod {facts.mode & facts.kind.may_have:04o} on it.",
        )


def _who_may(facts: FileFacts) -> tuple[str, str, Level]:
    """Return who may do what and should not; it is empty if all is well."""
    surplus = facts.mode & ~facts.kind.may_have
    if not facts.kind.is_directory:
        surplus &= ~0o111  # none of our files is a program
    if facts.privacy is Privacy.PRIVATE:
        surplus &= ~0o007  # systemd keeps others from it
    for who, bits in (("others", surplus & 0o007), ("its group", surplus >> 3 & 0o007)):
        level = Level.FAIL if who == "others" else Level.WARN
        if bits & 0o002:
            return who, "change", level
        if bits & 0o004 and facts.privacy is Privacy.SHIELDED and who == "others":
            return f"{who}, if they can get at it,", "read", Level.WARN
        if bits & 0o004:
            return who, "read", level
        if bits:
            return who, "enter, but neither list nor change", Level.WARN
    return "", "", Level.OK
