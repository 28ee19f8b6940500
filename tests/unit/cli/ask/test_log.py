import bz2
import gzip
import json
import lzma
import os
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path

import click
import pytest

from relayd.cli.ask import log, tail
from relayd.mail.words import EventKind
from relayd.ports.view import Query
from tests.support.cli_world import World

LINES = [
    {
        "ts": "2026-03-01T12:00:00.000Z",
        "event": "received",
        "queue_id": "0" * 13,
        "message_id": "<1@app.test>",
        "from": "app@app.test",
        "rcpt": "a@example.org",
        "tag": "news",
        "status": "queued",
        "client_ip": "192.0.2.7",
        "auth_user": "shop",
    },
    {
        "ts": "2026-03-01T12:00:01.000Z",
        "event": "bounced",
        "queue_id": "0" * 13,
        "message_id": "<1@app.test>",
        "from": "app@app.test",
        "rcpt": "a@example.org",
        "tag": "news",
        "status": "bounced",
        "bounce_class": "hard",
        "category": "bad_mailbox",
        "reply": "550 5.1.1 no such user",
        "remote_host": "mx.example.org",
    },
    {
        "ts": "2026-03-02T12:00:00.000Z",
        "event": "relayed",
        "queue_id": "1" * 13,
        "from": "",
        "rcpt": "b@Example.com",
        "status": "relayed",
        "reply": "250 \x9bok",
    },
]


@pytest.fixture
def filled(world: World) -> list[str]:
    lines = [json.dumps(line, ensure_ascii=False) for line in LINES]
    world.log.write_text("\n".join(["not ours \x1b[2J", *lines, ""]))
    return lines


@pytest.mark.usefixtures("filled")
def test_read_in_words(world: World) -> None:
    ran = world.run("log")
    lines = ran.out.splitlines()
    assert ran.status == 0
    assert lines[0] == "not ours ?[2J"
    assert lines[2] == (
        "2026-03-01 12:00:01Z  bounced    0000000000000  app@app.test -> a@example.org"
        "  (hard, bad_mailbox)  550 5.1.1 no such user  [mx.example.org]"
    )
    assert "<> -> b@Example.com" in lines[3]
    assert all(line.isprintable() for line in lines)


def test_json_passes_lines_through(world: World, filled: list[str]) -> None:
    lines = world.run("log", "--json", "--since", "2026-01-01").out.splitlines()
    assert lines[:2] == filled[:2]
    assert lines[2].isprintable()
    assert [json.loads(line) for line in lines] == LINES


FILTERS: dict[str, tuple[list[str], list[int]]] = {
    "event": (["--event", "bounced"], [1]),
    "status": (["--status", "relayed"], [2]),
    "recipient": (["--recipient", "A@example.org"], [0, 1]),
    "domain": (["--domain", "example.com"], [2]),
    "sender": (["--sender", "app@app.test"], [0, 1]),
    "null sender": (["--sender", "<>"], [2]),
    "tag": (["--tag", "news", "--event", "received"], [0]),
    "message-id": (["--message-id", "1@APP.test"], [0, 1]),
    "since": (["--since", "2026-03-02"], [2]),
    "until": (["--until", "2026-03-01T12:00:01Z"], [0]),
    "bounce class": (["--bounce-class", "hard"], [1]),
    "category": (["--category", "bad_mailbox"], [1]),
    "other category": (["--category", "greylist"], []),
    "nothing": (["--tag", "other"], []),
    "user, whose name is in the reception": (["--user", "Shop"], [0, 1]),
    "other user": (["--user", "app"], []),
    "client": (["--client", "192.0.2.0/24", "--client", "::1"], [0, 1]),
    "other client": (["--client", "192.0.3.0/24"], []),
    "client, and what became of it": (["--client", "192.0.2.7", "--status", "bounced"], [1]),
    "doubles": (["--possible-duplicate"], []),
}


@pytest.mark.usefixtures("filled")
@pytest.mark.parametrize(("arguments", "wanted"), FILTERS.values(), ids=FILTERS)
def test_filters(world: World, arguments: list[str], wanted: list[int]) -> None:
    assert world.run("log", "--json", *arguments).rows == [LINES[place] for place in wanted]


def test_line_without_an_address_is_shown() -> None:
    told = log.in_words({"ts": "T", "event": "held", "queue_id": "Q", "reason": "a look"})
    assert click.unstyle(told) == "T  held       Q  a look"


def test_who_acted_is_told() -> None:
    told = log.in_words(
        {"ts": "T", "event": "dropped", "queue_id": "Q", "by": "ann", "rcpt": "a@x"}
    )
    assert click.unstyle(told) == "T  dropped    Q  <> -> a@x  by ann"


@pytest.mark.parametrize("field", ["since", "until"])
def test_line_without_a_time_is_neither_since_nor_until(field: str) -> None:
    query = Query(**{field: datetime(2026, 3, 1, tzinfo=UTC)})  # type: ignore[arg-type]
    wanted = log.wanted_by((), query)
    assert wanted is not None
    assert not any(wanted(fields) for fields in ({}, {"ts": "x"}, {"ts": "2026-03-02"}, {"ts": 7}))


def test_filter_by_event_only_is_a_filter() -> None:
    assert log.wanted_by([EventKind.HELD], Query()) is not None
    assert log.wanted_by((), Query()) is None


def test_no_log_is_66(world: World) -> None:
    ran = world.run("log")
    assert (ran.status, ran.out) == (os.EX_NOINPUT, "")
    assert ran.err == f"relayd: status log {world.log}: No such file or directory\n"


def test_log_on_standard_output_cannot_be_read(world: World) -> None:
    world.settings.write_text(world.settings.read_text().replace(str(world.log), "-"))
    ran = world.run("log")
    assert ran.status == os.EX_NOINPUT
    assert "standard output" in ran.err


def followed(path: Path, *steps: Callable[[], object], recent: int | None = None) -> list[str]:
    """What following gives when each step happens while the follower waits."""
    waiting: Iterator[Callable[[], object]] = iter(steps)

    def pause() -> bool:
        step = next(waiting, None)
        if step is not None:
            step()
        return step is not None

    return list(tail.follow(str(path), recent=recent, pause=pause))


def append(path: Path, text: str) -> Callable[[], object]:
    def do() -> None:
        with path.open("a") as file:
            file.write(text)

    return do


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "status.log"


def test_follow_gives_whole_lines(path: Path) -> None:
    path.write_text("1\n2\n3")
    steps = [append(path, "3"), append(path, "3\n"), append(path, "\n4\n5")]
    assert followed(path, *steps) == ["1", "2", "333", "", "4"]


def test_follow_waits_for_the_file(path: Path) -> None:
    assert followed(path) == []
    assert followed(path, lambda: None, append(path, "1\n2\n"), recent=1) == ["1", "2"]


@pytest.mark.parametrize(
    ("recent", "lines"),
    [
        (None, ["11", "22", "33"]),
        (0, []),
        (1, []),
        (3, ["33"]),
        (4, ["33"]),
        (99, ["11", "22", "33"]),
    ],
)
def test_follow_begins_with_recent_whole_lines(
    path: Path, recent: int | None, lines: list[str]
) -> None:
    path.write_text("11\n22\n33\n")
    assert followed(path, append(path, "44\n"), recent=recent) == [*lines, "44"]


def test_follow_survives_a_rename(path: Path) -> None:
    """The old file is read to its end: its writers go on with it until the new one is written to."""
    path.write_text("1\n")
    old = path.with_suffix(".1")
    steps = [
        lambda: path.rename(old),
        append(old, "2\n"),
        path.touch,
        append(old, "3\n4"),
        lambda: (append(old, "\n5\n")(), append(path, "6\n")()),
        append(path, "7\n"),
    ]
    assert followed(path, *steps) == ["1", "2", "3", "4", "5", "6", "7"]


def test_follow_survives_truncation(path: Path) -> None:
    path.write_text("1\n2\n3\n")
    steps = [lambda: path.write_text(""), append(path, "4\n"), append(path, "5\n")]
    assert followed(path, *steps) == ["1", "2", "3", "4", "5"]


def test_follow_is_not_upset_by_strange_octets(path: Path) -> None:
    path.write_bytes(b"\xff\x00\n")
    (line,) = followed(path)
    assert line == "\ufffd\x00"


def test_following_ends_quietly_on_interrupt(
    world: World, filled: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """^C is how following ends; it shows the recent lines before it waits."""

    def interrupted() -> bool:
        raise KeyboardInterrupt

    monkeypatch.setattr(log, "_wait", interrupted)
    ran = world.run("log", "-f", "--json")
    assert (ran.status, ran.out.splitlines()[:2]) == (0, filled[:2])


def test_refusal_names_the_client() -> None:
    refused = {"ts": "T", "event": "refused", "client_ip": "192.0.2.7", "rcpt": "", "reply": "550"}
    assert log.in_words(refused).endswith("  from client 192.0.2.7  550")


def a_rotation(world: World, name: str, line: Mapping[str, object], at: datetime) -> Path:
    """A file that was last written at that time, packed as its name says."""
    path = world.log.with_name(name)
    octets = (json.dumps(line) + "\n").encode()
    if path.suffix == ".gz":
        octets = gzip.compress(octets)
    elif path.suffix == ".xz":
        octets = lzma.compress(octets)
    elif path.suffix == ".bz2":
        octets = bz2.compress(octets)
    path.write_bytes(octets)
    os.utime(path, (at.timestamp(), at.timestamp()))
    return path


def test_rotated_files_are_read_first_the_oldest_before_the_others(world: World) -> None:
    """Also right after a rotation, when the file itself is empty or not there yet."""
    times = [datetime(2026, 3, 1, 12 + hour, tzinfo=UTC) for hour in range(5)]
    names = ["status.log-20260101.xz", "status.log.3.bz2", "status.log.2.gz", "status.log.1"]
    for number, name in enumerate(names):
        line = {"ts": times[number].isoformat(), "event": "relayed", "rcpt": f"{number}@x.test"}
        a_rotation(world, name, line, times[number])
    for other in ("status.log.save", "status.log.1.zst", "status.logs.1", "other.log.1"):
        world.log.with_name(other).write_text(json.dumps({"rcpt": "not@x.test"}) + "\n")
    there = [f"{number}@x.test" for number in range(4)]
    assert [row["rcpt"] for row in world.run("log", "--json").rows] == there
    world.log.write_text("")
    assert [row["rcpt"] for row in world.run("log", "--json").rows] == there
    world.log.write_text(json.dumps({"ts": times[4].isoformat(), "rcpt": "now@x.test"}) + "\n")
    recent = world.run("log", "--json", "--since", "2026-03-01T13:30:00Z").rows
    assert [row["rcpt"] for row in recent] == ["2@x.test", "3@x.test", "now@x.test"]


@pytest.mark.parametrize("name", ["status.log.1.gz", "status.log.1.xz", "status.log.1.bz2"])
def test_a_damaged_rotated_file_is_named(world: World, name: str) -> None:
    path = a_rotation(world, name, {"rcpt": "a@x.test"}, datetime(2026, 3, 1, tzinfo=UTC))
    path.write_bytes(path.read_bytes()[:-6])
    ran = world.run("log")
    assert ran.status == os.EX_NOINPUT
    assert str(path) in ran.err
    path.write_bytes(b"not packed at all")
    assert world.run("log").status == os.EX_NOINPUT


@pytest.mark.usefixtures("filled")
def test_instants_of_lines_in_utc(world: World, elsewhere: str) -> None:
    assert world.run("log").out.splitlines()[1].startswith(f"2026-03-01 17:45:00{elsewhere}")
    assert world.run("log", "--utc").out.splitlines()[1].startswith("2026-03-01 12:00:00Z")
