"""Queue, disk, clock, file modes; and what all findings have."""

from datetime import UTC, datetime, timedelta

import pytest

from relayd.policy.doctor.finding import Check, Finding, Level, has_failed, tally
from relayd.policy.doctor.machine import (
    DiskFacts,
    FileFacts,
    FileKind,
    QueueFacts,
    StoreFacts,
    in_words,
    judge_clock,
    judge_disk,
    judge_files,
    judge_queue,
    judge_soft_bounce,
    judge_store,
)
from relayd.policy.privacy import Privacy

NOW = datetime(2026, 11, 26, 12, tzinfo=UTC)
PATH = "/var/lib/relayd/queue.db"
FIVE_DAYS = timedelta(days=5)


def a_store(**facts: object) -> StoreFacts:
    usual = {"path": PATH, "checked": True, "octets": 4_200_000, "schema": 3, "newest_schema": 3}
    return StoreFacts(**{**usual, **facts})  # type: ignore[arg-type]


STORES = {
    "fine": (a_store(), Level.OK, "readable, schema 3, 4.2 MB, checked"),
    "large": (a_store(checked=False), Level.OK, "too large to be checked"),
    "none yet": (a_store(exists=False), Level.SKIPPED, "no queue yet"),
    "unreadable": (a_store(problem="not a database"), Level.FAIL, "not a database"),
    "not for us": (a_store(denied=True), Level.UNKNOWN, "you may not read"),
    "damaged": (
        a_store(complaints=("row 7 missing", "more")),
        Level.FAIL,
        "damaged: row 7 missing",
    ),
    "moved": (a_store(moved="the queue went to b"), Level.FAIL, "the queue went to b"),
    "older": (a_store(schema=2), Level.WARN, "schema 2, this relayd has 3"),
}


@pytest.mark.parametrize(("facts", "level", "words"), STORES.values(), ids=STORES)
def test_the_queue_file(facts: StoreFacts, level: Level, words: str) -> None:
    found = judge_store(facts)
    assert (found.level, found.subject) == (level, PATH)
    assert words in found.reason
    assert bool(found.remedy) == (level not in {Level.OK, Level.SKIPPED})


def waiting(age: timedelta | None, *, held: int = 0) -> QueueFacts:
    return QueueFacts(
        waiting=0 if age is None else 3, held=held, oldest_at=None if age is None else NOW - age
    )


@pytest.mark.parametrize(
    ("facts", "level", "words"),
    [
        (waiting(None), Level.OK, "nothing waits"),
        (waiting(None, held=2), Level.OK, "nothing waits, 2 held"),
        (waiting(timedelta(hours=2), held=1), Level.OK, "3 waiting, the oldest for 2 h, 1 held"),
        (waiting(timedelta(days=2)), Level.WARN, "the oldest for 2 d"),
        (waiting(timedelta(days=7)), Level.FAIL, "the oldest for 7 d"),
    ],
)
def test_how_long_mail_waits(facts: QueueFacts, level: Level, words: str) -> None:
    found = judge_queue(facts, FIVE_DAYS, NOW)
    assert found.level is level
    assert words in found.reason
    assert bool(found.remedy) == (level is not Level.OK)


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(-5, "0 s"), (59, "59 s"), (60, "1 min"), (7199, "1 h"), (86400, "1 d")],
)
def test_ages(seconds: int, words: str) -> None:
    assert in_words(timedelta(seconds=seconds)) == words


GB = 10**9
DISKS = {
    "fine": (DiskFacts(path="/", free=5 * GB, inodes=10**6), 35, Level.OK, "5.0 GB free"),
    "inodes are not counted": (DiskFacts(path="/", free=5 * GB, inodes=None), 35, Level.OK, "5.0"),
    "low": (DiskFacts(path="/", free=GB // 2, inodes=10**6), 35, Level.WARN, "0.5 GB free"),
    "low, and inodes are not counted": (
        DiskFacts(path="/", free=GB // 2, inodes=None),
        35,
        Level.WARN,
        "0.5 GB free",
    ),
    "full": (DiskFacts(path="/", free=10**7, inodes=10**6), 35, Level.FAIL, "only 10 MB free"),
    "no room for two messages": (
        DiskFacts(path="/", free=GB // 2, inodes=10**6),
        500,
        Level.FAIL,
        "only 500 MB free",
    ),
    "few inodes": (DiskFacts(path="/", free=5 * GB, inodes=500), 35, Level.WARN, "only 500 inodes"),
    "no inodes": (DiskFacts(path="/", free=5 * GB, inodes=9), 35, Level.FAIL, "only 9 inodes free"),
    "read-only": (
        DiskFacts(path="/", free=5 * GB, inodes=None, read_only=True),
        35,
        Level.FAIL,
        "read-only",
    ),
}


@pytest.mark.parametrize(("facts", "megabytes", "level", "words"), DISKS.values(), ids=DISKS)
def test_room(facts: DiskFacts, megabytes: int, level: Level, words: str) -> None:
    found = judge_disk(facts, megabytes * 10**6)
    assert found.level is level
    assert words in found.reason
    assert bool(found.remedy) == (level is not Level.OK)


@pytest.mark.parametrize(
    ("synchronised", "level"), [(True, Level.OK), (False, Level.WARN), (None, Level.UNKNOWN)]
)
def test_the_clock(*, synchronised: bool | None, level: Level) -> None:
    found = judge_clock(synchronised=synchronised)
    assert found.level is level
    assert bool(found.remedy) == (level is Level.WARN)


def test_the_safety_net_is_no_secret() -> None:
    assert list(judge_soft_bounce(is_on=False)) == []
    [found] = judge_soft_bounce(is_on=True)
    assert (found.check, found.level) == (Check.SOFT_BOUNCE, Level.WARN)
    assert "soft_bounce = false" in found.remedy


MODES = {
    "settings for all to read": (FileKind.SETTINGS, 0o644, None, "", ""),
    "settings for all to write": (
        FileKind.SETTINGS,
        0o666,
        Level.FAIL,
        "others may change",
        "0644",
    ),
    "settings for a group": (FileKind.SETTINGS, 0o664, Level.WARN, "its group may change", "0644"),
    "their directory": (
        FileKind.SETTINGS_DIRECTORY,
        0o1777,
        Level.FAIL,
        "others may change",
        "0755",
    ),
    "a key": (FileKind.SECRET, 0o640, None, "", ""),
    "a key for all": (FileKind.SECRET, 0o644, Level.FAIL, "others may read", "0640"),
    "a key that its group changes": (
        FileKind.SECRET,
        0o660,
        Level.WARN,
        "group may change",
        "0640",
    ),
    "state": (FileKind.STATE_DIRECTORY, 0o700, None, "", ""),
    "state for a group": (FileKind.STATE_DIRECTORY, 0o750, None, "", ""),
    "state for all": (FileKind.STATE_DIRECTORY, 0o755, Level.FAIL, "others may read", "0750"),
    "state to be entered": (
        FileKind.STATE_DIRECTORY,
        0o711,
        Level.WARN,
        "others may enter, but neither list nor change",
        "0710",
    ),
    "state to be entered by others alone": (
        FileKind.STATE_DIRECTORY,
        0o701,
        Level.WARN,
        "others may enter",
        "0700",
    ),
    "state to be changed by a group": (
        FileKind.STATE_DIRECTORY,
        0o770,
        Level.WARN,
        "its group may change",
        "0750",
    ),
    "state to be listed": (FileKind.STATE_DIRECTORY, 0o704, Level.FAIL, "others may read", "0700"),
    "state to be changed": (
        FileKind.STATE_DIRECTORY,
        0o703,
        Level.FAIL,
        "others may change",
        "0700",
    ),
    "settings that seem a program": (FileKind.SETTINGS, 0o755, None, "", ""),
    "a key that seems a program": (FileKind.SECRET, 0o711, None, "", ""),
    "the queue, for others to execute": (FileKind.DATABASE, 0o611, None, "", ""),
    "the queue": (FileKind.DATABASE, 0o600, None, "", ""),
    "the queue for a group": (FileKind.DATABASE, 0o640, None, "", ""),
    "the queue for all": (FileKind.DATABASE, 0o644, Level.FAIL, "others may read", "0640"),
    "the queue, executable": (FileKind.DATABASE, 0o700, None, "", ""),
}


@pytest.mark.parametrize(("kind", "mode", "level", "words", "chmod"), MODES.values(), ids=MODES)
def test_modes(kind: FileKind, mode: int, level: Level | None, words: str, chmod: str) -> None:
    (found,) = judge_files([FileFacts(path="/x", kind=kind, mode=mode)])
    assert found.level is (level or Level.OK)
    assert words in found.reason
    assert found.remedy == (f"Run chmod {chmod} on it." if chmod else "")


@pytest.mark.parametrize(
    ("privacy", "mode", "level", "words"),
    [
        (Privacy.PRIVATE, 0o444, Level.OK, "none open to others"),
        (Privacy.SHIELDED, 0o644, Level.WARN, "others, if they can get at it, may read secrets"),
        (Privacy.OPEN, 0o644, Level.FAIL, "others may read secrets"),
        (Privacy.PRIVATE, 0o600, Level.OK, "none open to others"),
    ],
)
def test_a_secret_is_judged_by_what_surrounds_it(
    privacy: Privacy, mode: int, level: Level, words: str
) -> None:
    facts = FileFacts(path="/x", kind=FileKind.SECRET, mode=mode, privacy=privacy)
    (found,) = judge_files([facts])
    assert found.level is level
    assert words in found.reason


def test_every_open_file_is_named() -> None:
    files = [FileFacts(path=path, kind=FileKind.DATABASE, mode=0o644) for path in ("/a", "/b")]
    assert [each.subject for each in judge_files(files)] == ["/a", "/b"]


def test_counting() -> None:
    found = [
        Finding(check=Check.CLOCK, subject="", level=level, reason="x")
        for level in (Level.OK, Level.OK, Level.WARN)
    ]
    assert tally(found) == {
        Level.OK: 2,
        Level.WARN: 1,
        Level.FAIL: 0,
        Level.UNKNOWN: 0,
        Level.SKIPPED: 0,
    }
    assert not has_failed(found)
    assert has_failed(
        [*found, Finding(check=Check.CLOCK, subject="", level=Level.FAIL, reason="x")]
    )
