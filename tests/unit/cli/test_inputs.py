"""Files by name, standard input and folders, and the bar that shows how far it is."""

import io
import sys
from pathlib import Path

import pytest

from relayd.cli.inputs import read_inputs
from tests.support.cli_world import World
from tests.support.screens import Screen

BOUNCE = b"Subject: hello\r\n\r\nno bounce\r\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "mails"
    (folder / "new").mkdir(parents=True)
    for name in ("b.eml", "a.eml", "new/c.eml", ".hidden"):
        (folder / name).write_bytes(BOUNCE)
    return folder


def standard_input(monkeypatch: pytest.MonkeyPatch, octets: bytes) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(octets)))


def test_a_folder_stands_for_its_files(folder: Path) -> None:
    names = [each.name for each in read_inputs([str(folder), str(folder / "a.eml")])]
    shown = [str(Path(name).relative_to(folder)) for name in names]
    assert shown == ["a.eml", "b.eml", "new/c.eml", "a.eml"]
    assert all(each.octets == BOUNCE for each in read_inputs([str(folder)]))


def test_what_cannot_be_read_says_why(folder: Path) -> None:
    [missing] = read_inputs([str(folder / "none")])
    assert (missing.octets, missing.trouble) == (b"", "No such file or directory")


def test_a_bar_only_for_many_and_on_a_terminal(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for is_terminal, names, has_bar in (
        (True, [str(folder)], True),
        (True, [str(folder / "a.eml")], False),
        (False, [str(folder)], False),
    ):
        shown = Screen() if is_terminal else io.StringIO()
        with monkeypatch.context() as patch:
            patch.setattr("sys.stderr", shown)
            patch.setenv("TERM", "xterm")
            patch.setenv("COLUMNS", "60")
            assert len(list(read_inputs(names))) == (3 if len(names[0]) == len(str(folder)) else 1)
        assert (" of 3 " in shown.getvalue()) == has_bar
        assert not shown.getvalue() or shown.getvalue().endswith("\r\x1b[K")


def test_parse_bounce_reads_folders_and_standard_input(
    world: World, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    standard_input(monkeypatch, BOUNCE)
    ran = world.run("parse-bounce", str(folder), "-")
    assert [row["kind"] for row in ran.rows] == ["notbounce"] * 4
    assert ran.rows[-1]["id"] == "-"


def test_classify_reads_folders_files_and_standard_input(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    replies = tmp_path / "replies"
    replies.mkdir()
    line = '{"id": "1", "text": "550 5.1.1 no such user"}\n'
    (replies / "a.jsonl").write_text(line)
    (replies / "b.txt").write_text("550 5.1.1 no such user\n\n452 4.2.2 mailbox full\n")
    standard_input(monkeypatch, line.encode())
    ran = world.run("classify", "--jsonl", str(replies), "-")
    assert [row["id"] for row in ran.rows] == [
        "1",
        f"{replies}/b.txt:1",
        f"{replies}/b.txt:3",
        "1",
    ]
    assert [row["category"] for row in ran.rows][:3] == [
        "bad_mailbox",
        "bad_mailbox",
        "mailbox_full",
    ]
    assert world.run("classify", str(replies)).rows == ran.rows[:3]
    missing = world.run("classify", "--jsonl", str(tmp_path / "none"))
    assert (missing.status, missing.out) == (66, "")
