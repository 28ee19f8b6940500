"""What `check` and `doctor` begin with: mode, redirect, whether the daemon runs and with what, version."""

from pathlib import Path
from typing import Any

import relayd
from tests.support.daemon import Daemon, a_daemon, a_smarthost, eventually

_NO_DNS = '[dns]\nnameservers = ["127.0.0.1:1"]\ntimeout = "1s"\n'  # nobody is asked
QUICK = ("doctor", "--quick", "--json")


def first_lines(daemon: Daemon) -> set[str]:
    return {daemon.run(*each).out.splitlines()[0] for each in (("check",), ("doctor", "--quick"))}


def finding(daemon: Daemon) -> tuple[int, dict[str, Any]]:
    ran = daemon.run(*QUICK)
    return ran.status, ran.rows[0]


def test_running_stale_and_stopped(tmp_path: Path) -> None:
    ends = f"version: {relayd.__version__}"
    with (
        a_smarthost({"GREETING": "421 4.3.2 Later"}) as smarthost,
        a_daemon(tmp_path, smarthost.port, more=_NO_DNS) as daemon,
    ):
        assert first_lines(daemon) == {f"mode: smarthost, redirect: none, daemon: running, {ends}"}
        _, found = finding(daemon)
        assert (found["check"], found["level"]) == ("daemon", "ok")
        daemon.write(more=f'{_NO_DNS}[redirect]\nto = "qa@example.org"\n')
        stale = "stale (it runs with other settings: systemctl reload relayd)"
        assert first_lines(daemon) == {
            f"mode: smarthost, redirect: qa@example.org, daemon: {stale}, {ends}"
        }
        _, found = finding(daemon)
        assert (found["check"], found["level"]) == ("daemon", "warn")
        daemon.send("a@x.test")
        eventually(lambda: set(daemon.statuses().values()) == {"deferred"}, "it waits")
        daemon.stop()
        assert first_lines(daemon) == {
            f"mode: smarthost, redirect: qa@example.org, daemon: stopped, {ends}"
        }
        status, found = finding(daemon)
        assert (status, found["check"], found["level"]) == (1, "daemon", "fail")
        assert "1 wait for it" in found["reason"]
