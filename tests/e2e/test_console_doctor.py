"""Checks that an admin starts on the page of the console, with a real daemon: one run at a time, in a process of its own."""

import os
import re
import signal
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from relayd.config.load import load
from relayd.control import client
from relayd.doctor.running import is_running, read_run, take_turn
from relayd.doctor.saved import saved
from relayd.errors import RelaydError
from relayd.policy.console.roles import Role
from relayd.policy.doctor.finding import Check, Level
from tests.support.console import Console, a_console
from tests.support.daemon import Daemon, SmarthostThread, a_daemon, a_smarthost, eventually
from tests.support.scripted_server import HANG


@pytest.fixture
def smarthost() -> Iterator[SmarthostThread]:
    with a_smarthost() as started:
        yield started


@pytest.fixture
def daemon(tmp_path: Path, smarthost: SmarthostThread) -> Iterator[Daemon]:
    with a_daemon(tmp_path, smarthost.port) as started:
        yield started


@pytest.fixture
def console(daemon: Daemon) -> Iterator[Console]:
    with a_console(daemon.folder, beside=daemon.file) as made:
        yield made


def press(console: Console, checks: str) -> None:
    done = console.post("/doctor", role=Role.ADMIN, checks=checks)
    assert (done.status, done.location) == (303, "/doctor"), done.text


def ended(daemon: Daemon) -> bool:
    run = read_run(daemon.folder)
    return not is_running(daemon.folder) and run is not None and run.has_ended


def test_all_checks_are_made_and_saved(console: Console, daemon: Daemon) -> None:
    assert "There is no result yet" in console.get("/doctor", role=Role.ADMIN).text
    press(console, "all")
    eventually(lambda: ended(daemon), "the end of the checks")
    result = saved(load(str(daemon.file)))
    assert result is not None
    levels = {each.check: each.level for each in result.findings}
    assert levels[Check.DAEMON] is Level.OK
    assert levels[Check.SMARTHOST] is Level.OK
    page = console.get("/doctor", role=Role.VIEWER).text
    assert "takes our EHLO" in page
    assert "Checks are being made" not in page
    asked = daemon.events("doctor_asked")
    assert [(each["checks"], each["by"]) for each in asked] == [("all", "admin (console)")]
    audit = daemon.run("console", "audit", "--json").rows
    assert [each["target"] for each in audit if each["action"] == "doctor"] == ["checks all"]


def test_a_quick_look_leaves_the_saved_result(console: Console, daemon: Daemon) -> None:
    press(console, "quick")
    eventually(lambda: ended(daemon), "the end of the quick look")
    assert saved(load(str(daemon.file))) is None
    page = console.get("/doctor", role=Role.ADMIN).text
    assert "the daemon runs with these settings" in page
    assert "for admin (console)" in page
    assert "There is no result yet" in page


def test_progress_is_shown_and_there_is_one_run_at_a_time(
    console: Console, daemon: Daemon, smarthost: SmarthostThread
) -> None:
    smarthost.server.script["GREETING"] = HANG
    press(console, "all")

    def looks_at_the_smarthost() -> bool:
        run = read_run(daemon.folder)
        return run is not None and run.steps[run.done : run.done + 1] == ("the smarthost",)

    eventually(looks_at_the_smarthost, "the check of the smarthost")
    page = re.sub(r"<[^>]*>", "", console.get("/doctor", role=Role.ADMIN).text)
    assert "our name in the DNS: done" in page
    assert "the smarthost: looking…" in page
    assert "Quick look" not in page  # no button
    again = console.post("/doctor", role=Role.ADMIN, checks="quick")
    assert again.status == 409
    assert "checks are being made already" in again.text
    with pytest.raises(RelaydError, match="already"):
        client.ask(str(daemon.folder / "control.sock"), {"verb": "doctor", "checks": "quick"})
    os.kill(pid_of_run(daemon), signal.SIGKILL)
    eventually(lambda: not is_running(daemon.folder), "the end of the run")
    page = console.get("/doctor", role=Role.ADMIN).text
    assert "did not come to their end" in page
    os.close(take_turn(daemon.folder))  # the next one may begin


def test_a_run_ends_with_its_worker(
    console: Console, daemon: Daemon, smarthost: SmarthostThread
) -> None:
    smarthost.server.script["GREETING"] = HANG
    press(console, "all")
    eventually(lambda: is_running(daemon.folder), "a run")
    assert daemon.stop() == 0
    eventually(lambda: not is_running(daemon.folder), "the end of the run")


def test_what_goes_wrong_is_told(console: Console, daemon: Daemon) -> None:
    daemon.write(more='[doctor]\nblocklists = "x"')
    press(console, "all")
    page = eventually(
        lambda: (
            text
            if "have no result" in (text := console.get("/doctor", role=Role.ADMIN).text)
            else ""
        ),
        "the trouble",
    )
    assert "doctor.blocklists" in page
    assert console.get("/doctor", role=Role.VIEWER).status == 200


@pytest.mark.parametrize("checks", ["", "some"])
def test_other_checks_there_are_none(console: Console, checks: str) -> None:
    assert console.post("/doctor", role=Role.ADMIN, checks=checks).status == 400


def test_who_is_no_admin_starts_none(console: Console) -> None:
    assert console.post("/doctor", role=Role.OPERATOR, checks="quick").status == 403
    assert '<button name="checks"' not in console.get("/doctor", role=Role.OPERATOR).text


def pid_of_run(daemon: Daemon) -> int:
    """The process that makes the checks, found by its words."""
    for each in Path("/proc").iterdir():
        with suppress(OSError):  # it has ended, or is no process
            words = (each / "cmdline").read_bytes()
            if b"relayd.worker.doctor_run\0" + bytes(daemon.file) in words:
                return int(each.name)
    raise AssertionError("no such process")
