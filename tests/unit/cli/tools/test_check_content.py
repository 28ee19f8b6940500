"""`relayd check-content`: scores explained, the header judged, and its exit status."""

import io
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.background import Background
from tests.support.checkers import FakeChecker, rspamd_says, spamd_says
from tests.support.cli_world import SETTINGS, World

HEADER = (
    b"From: a@x.test\r\nDate: Sun, 01 Mar 2026 12:00:00 +0000\r\nMessage-ID: <1@x.test>\r\n"
    b"DKIM-Signature: v=1; d=x.test; h=From:List-Unsubscribe:List-Unsubscribe-Post\r\n"
    b"List-Unsubscribe: <https://x.test/u>\r\nList-Unsubscribe-Post: List-Unsubscribe=One-Click\r\n"
)
SYMBOLS = {"MISSING_MID": 2.5, "STRANGE_THING": 4.0, "DKIM_VALID": -0.1}


@pytest.fixture
def checker() -> Iterator[FakeChecker]:
    with Background() as background:
        yield background.enter(FakeChecker(rspamd_says(6.4, SYMBOLS)))


@pytest.fixture
def mail(world: World, checker: FakeChecker) -> Path:
    settle(world, f'rspamd = "http://{checker.endpoint}"\ntag = 6')
    file = world.folder / "mail.eml"
    file.write_bytes(HEADER + b"Subject: x\n\nHello.\n")
    return file


def settle(world: World, content: str) -> None:
    world.settings.write_text(f"{SETTINGS.format(folder=world.folder)}[content]\n{content}\n")


def test_each_symbol_is_explained(world: World, checker: FakeChecker, mail: Path) -> None:
    """The heaviest first; the checker's own words for what we do not know."""
    ran = world.run("check-content", str(mail))
    assert ran.status == 1
    first, *_ = ran.out.splitlines()
    assert first == f"{mail}: 6.4, at or above 6 (rspamd at {checker.endpoint})"
    assert ran.cells[1:-1] == [
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
    assert checker.questions[0].content == HEADER + b"Subject: x\r\n\r\nHello.\r\n"


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
    assert row.pop("flaws") == []
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
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(HEADER + b"a: \r\n b\n")))
    ran = world.run("check-content", "-")
    assert ran.status == 0
    assert ran.out.startswith("-: 4.9, below 5 (spamd at ")
    assert checker.questions[0].content == HEADER + b"a: \r\n b\r\n"


def test_a_large_file_is_checked_and_said_to_be_one(
    world: World, checker: FakeChecker, mail: Path
) -> None:
    settle(world, f'rspamd = "http://{checker.endpoint}"\nsize_limit = "1KB"')
    mail.write_bytes(HEADER + b"\r\n" + b"x" * 1001)
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


FLAW = {
    "level": "fail",
    "field": "From",
    "reason": "there is no From field",
    "remedy": "Have the application write one From field with one address.",
}


def test_without_a_checker_the_header_is_judged(world: World) -> None:
    """What receivers refuse is a failure; what else is missing is told."""
    file = world.folder / "mail.eml"
    file.write_bytes(HEADER.replace(b"From: ", b"X: ") + b"\r\nHello.\r\n")
    ran = world.run("check-content", str(file))
    assert ran.status == 1
    assert ran.cells[0] == [f"{file}: not scored: [content] names no checker"]
    assert ran.cells[1:3] == [["LEVEL", "FIELD", "REASON", "REMEDY"], [*FLAW.values()]]
    (row,) = world.run("check-content", "--json", str(file)).rows
    assert row.pop("flaws")[0] == FLAW

    assert row == {"id": str(file), "symbols": []}


def test_a_warning_is_no_failure(world: World) -> None:
    file = world.folder / "mail.eml"
    file.write_bytes(HEADER.replace(b"d=x.test", b"d=y.test") + b"\r\nHello.\r\n")
    ran = world.run("check-content", str(file))
    assert ran.status == 0
    assert ran.cells[2][:2] == ["warn", "From"]


def test_mail_that_relayd_would_sign(world: World) -> None:
    """A key of the domain, or of a parent of it."""
    table = '[[dkim]]\ndomain = "test"\nselector = "a"\nkey_file = "a.pem"\n'
    world.settings.write_text(f"{world.settings.read_text()}{table}")
    file = world.folder / "mail.eml"
    file.write_bytes(HEADER.replace(b"DKIM-Signature", b"X") + b"\r\nHello.\r\n")
    ran = world.run("check-content", str(file))
    assert (ran.status, ran.out.splitlines()[1]) == (0, "nothing is wrong with the header")


def test_a_good_header(world: World) -> None:
    file = world.folder / "mail.eml"
    file.write_bytes(HEADER + b"\r\nHello.\r\n")
    ran = world.run("check-content", str(file))
    assert (ran.status, ran.out.splitlines()[1]) == (0, "nothing is wrong with the header")


def test_on_a_terminal(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """The remedy follows the reason."""
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    file = world.folder / "mail.eml"
    file.write_bytes(HEADER.replace(b"Message-ID", b"X"))
    assert "Message-ID: it is missing. Have the" in world.run("check-content", str(file)).out
