"""`relayd check-content`: scores explained, and its exit status."""

import io
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.background import Background
from tests.support.checkers import FakeChecker, rspamd_says, spamd_says
from tests.support.cli_world import SETTINGS, World

SYMBOLS = {"MISSING_MID": 2.5, "STRANGE_THING": 4.0, "DKIM_VALID": -0.1}


@pytest.fixture
def checker() -> Iterator[FakeChecker]:
    with Background() as background:
        yield background.enter(FakeChecker(rspamd_says(6.4, SYMBOLS)))


@pytest.fixture
def mail(world: World, checker: FakeChecker) -> Path:
    settle(world, f'rspamd = "http://{checker.endpoint}"\ntag = 6')
    file = world.folder / "mail.eml"
    file.write_bytes(b"Subject: x\n\nHello.\n")
    return file


def settle(world: World, content: str) -> None:
    world.settings.write_text(f"{SETTINGS.format(folder=world.folder)}[content]\n{content}\n")


def test_each_symbol_is_explained(world: World, checker: FakeChecker, mail: Path) -> None:
    """The heaviest first; the checker's own words for what we do not know."""
    ran = world.run("check-content", str(mail))
    assert ran.status == 1
    first, *_ = ran.out.splitlines()
    assert first == f"{mail}: 6.4, at or above 6 (rspamd at {checker.endpoint})"
    assert ran.cells[1:] == [
        ["SCORE", "SYMBOL", "MEANS"],
        ["4", "STRANGE_THING", "about STRANGE_THING"],
        [
            "2.5",
            "MISSING_MID",
            (
                "There is no Message-ID: let the application write one,"
                " or set listen.add_headers to always."
            ),
        ],
        ["-0.1", "DKIM_VALID", "The DKIM signature is valid: good."],
    ]
    assert checker.questions[0].content == b"Subject: x\r\n\r\nHello.\r\n"


THRESHOLDS = {
    "the lowest of ours": ("hold = 6.4\nrefuse = 7", 6.4, 1),
    "not reached": ("tag = 6.5\nrefuse = 10", 6.5, 0),
    "the checker's own": ("", 15.0, 0),
}


@pytest.mark.parametrize(("lines", "threshold", "status"), THRESHOLDS.values(), ids=THRESHOLDS)
def test_the_threshold(
    world: World, checker: FakeChecker, mail: Path, lines: str, threshold: float, status: int
) -> None:
    settle(world, f'rspamd = "http://{checker.endpoint}"\n{lines}')
    ran = world.run("check-content", str(mail), "--json")
    assert ran.status == status
    assert [row["threshold"] for row in ran.rows] == [threshold]


def test_json(world: World, mail: Path) -> None:
    (row,) = world.run("check-content", "--json", str(mail)).rows
    symbols = row.pop("symbols")
    assert row == {
        "id": str(mail),
        "content_score": 6.4,
        "threshold": 6.0,
        "checker": "rspamd",
    }
    assert symbols[0] == {
        "symbol": "STRANGE_THING",
        "score": 4.0,
        "description": "about STRANGE_THING",
        "advice": None,
    }
    assert symbols[1]["advice"].startswith("There is no Message-ID")


def test_spamd_from_standard_input(
    world: World, checker: FakeChecker, monkeypatch: pytest.MonkeyPatch
) -> None:
    settle(world, f'spamd = "{checker.endpoint}"')
    checker.answer = spamd_says(4.9, {"MISSING_MID": 0.1})
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"a\r\nb\n")))
    ran = world.run("check-content", "-")
    assert ran.status == 0
    assert ran.out.startswith("-: 4.9, below 5 (spamd at ")
    assert checker.questions[0].content == b"a\r\nb\r\n"


def test_a_large_file_is_checked_and_said_to_be_one(
    world: World, checker: FakeChecker, mail: Path
) -> None:
    settle(world, f'rspamd = "http://{checker.endpoint}"\nsize_limit = "1KB"')
    mail.write_bytes(b"x" * 1001)
    ran = world.run("check-content", str(mail))
    assert ran.status == 0
    assert "the daemon does not check one so large" in ran.err


def test_a_file_that_cannot_be_read(world: World, mail: Path) -> None:
    """The others are checked."""
    ran = world.run("check-content", "--json", "nowhere.eml", str(mail))
    assert ran.status == os.EX_NOINPUT
    assert ran.err == "relayd: nowhere.eml: No such file or directory\n"
    assert len(ran.rows) == 1


def test_a_checker_that_is_down(world: World, checker: FakeChecker, mail: Path) -> None:
    checker.answer = b""
    ran = world.run("check-content", str(mail))
    assert ran.status == os.EX_TEMPFAIL
    assert ran.err == f"relayd: rspamd at {checker.endpoint}: its answer is not HTTP\n"
    assert not ran.out


def test_no_checker(world: World) -> None:
    ran = world.run("check-content", "mail.eml")
    assert ran.status == os.EX_CONFIG
    assert "[content] names no checker: set rspamd or spamd" in ran.err
