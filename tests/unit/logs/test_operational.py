"""No call of the operational log ever raises."""

import json
import os
import re
import sys
from pathlib import Path

import pytest
import structlog

from relayd.logs import operational
from relayd.settings import LogSettings


class Unprintable:
    def __repr__(self) -> str:
        raise ValueError("not with me")


def set_up(form: str, level: str = "info") -> None:
    operational.configure(LogSettings(status_log="-", level=level, format=form))


@pytest.mark.parametrize("form", ["json", "console"])
def test_a_log_call_never_raises(
    form: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    set_up(form)
    log = structlog.get_logger()
    log.warning("fine", one="\ud800", two=2**70, three=b"\xff\n", four={"a": "\udfff"})
    log.info("also fine", odd=Unprintable())
    try:
        int("\ud800")
    except ValueError:
        log.exception("with a traceback")
    assert capsys.readouterr().err.count("fine") == 2

    class Gone:
        def write(self, _: str) -> None:
            raise BrokenPipeError

        def flush(self) -> None:
            raise ValueError("closed")

    monkeypatch.setattr(sys, "stderr", Gone())
    log.error("nobody listens")


def test_lines_below_the_level_are_left_out(capsys: pytest.CaptureFixture[str]) -> None:
    set_up("json", level="warning")
    log = structlog.get_logger()
    log.info("too low")
    log.warning("high enough", queue_id="7")
    [line] = capsys.readouterr().err.splitlines()
    read = json.loads(line)
    assert (read["event"], read["level"], read["queue_id"]) == ("high enough", "warning", "7")
    assert read["ts"].endswith("Z")


@pytest.mark.parametrize("configured", [True, False])
def test_silence_ends(capsys: pytest.CaptureFixture[str], *, configured: bool) -> None:
    if configured:
        set_up("json")
    log = structlog.get_logger()
    with operational.silenced():
        log.error("unheard")
    log.error("heard")
    printed = capsys.readouterr()
    assert "unheard" not in printed.err + printed.out
    assert "heard" in (printed.err if configured else printed.out)
    assert structlog.is_configured() is configured


def journal_of(fd: int) -> str:
    status = os.fstat(fd)
    return f"{status.st_dev}:{status.st_ino}"


@pytest.mark.parametrize("form", ["json", "console"])
def test_journald_learns_how_bad_it_is(
    form: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """So that `journalctl -p err` has the errors, each line of them, and nothing else."""
    with (tmp_path / "stderr").open("w+") as stderr:
        monkeypatch.setattr("sys.stderr", stderr)
        monkeypatch.setenv("JOURNAL_STREAM", journal_of(stderr.fileno()))
        set_up(form, "debug")
        log = structlog.get_logger()
        for level in ("debug", "info", "warning", "error", "critical"):
            getattr(log, level)(level)
        try:
            int("two\nlines")
        except ValueError:
            log.exception("a bug")
        stderr.seek(0)
        lines = stderr.read().splitlines()
    assert [line[:3] for line in lines[:5]] == ["<7>", "<6>", "<4>", "<3>", "<2>"]
    assert len(lines) > 5
    assert {line[:3] for line in lines[5:]} == {"<3>"}
    if form == "json":
        assert [json.loads(line[3:])["event"] for line in lines[:2]] == ["debug", "info"]


@pytest.mark.parametrize("stream", ["", "1:2"])
def test_nobody_else_reads_priorities(
    stream: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """systemd hands JOURNAL_STREAM on to children whose output goes elsewhere."""
    with (tmp_path / "stderr").open("w+") as stderr:
        monkeypatch.setattr("sys.stderr", stderr)
        monkeypatch.setenv("JOURNAL_STREAM", stream)
        set_up("json")
        structlog.get_logger().error("bad")
        stderr.seek(0)
        assert stderr.read().startswith('{"')


def test_the_console_has_the_time_of_all_commands(capsys: pytest.CaptureFixture[str]) -> None:
    """Local, as tables show it; JSON is in UTC."""
    set_up("console")
    structlog.get_logger().info("started")
    assert re.match(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\dZ \[info", capsys.readouterr().err)
    set_up("json")
    structlog.get_logger().info("started")
    assert re.fullmatch(r"\S{10}T\S+Z", json.loads(capsys.readouterr().err)["ts"])
