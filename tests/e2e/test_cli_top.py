"""`relayd top` on a running relay: in a pipe, and on a terminal until ^C."""

import codecs
import os
import pty
import re
import signal
import subprocess
import sys
from pathlib import Path

from tests.support.daemon import ROOT, a_daemon, a_smarthost, eventually


def test_a_snapshot_has_rates_and_totals(tmp_path: Path) -> None:
    with (
        a_smarthost({"RCPT TO:<gone@x.test>": "550 5.1.1 no such user"}) as smarthost,
        a_daemon(tmp_path, smarthost.port) as daemon,
    ):
        daemon.send("a@x.test", "gone@x.test")
        eventually(lambda: "bounced" in daemon.statuses().values(), "bounced")
        smarthost.received(2)  # the report, too
        ran = daemon.run("top", "--json", "--every", "0.1")
        assert (ran.status, ran.err) == (0, "")
        [row] = ran.rows
        assert (row["running"], row["workers"], row["paused_workers"]) == (True, 2, 0)
        assert (row["totals"]["received"], row["totals"]["bounced"]) == (3, 1)
        assert row["rates"].keys() == row["totals"].keys()
        assert row["errors"][0]["reply"] == "550 5.1.1 no such user"
        assert row["slowest"][0]["destination"] == "smarthost"
        ran = daemon.run("top", "--every", "0.1")
        assert ran.status == 0
        assert "RECIPIENTS\tPER SECOND\tSINCE START" in ran.out.splitlines()
        assert "received\t0.0\t3" in ran.out.splitlines()


def test_a_screen_is_drawn_until_somebody_ends_it(tmp_path: Path) -> None:
    """It goes on while the daemon ends, says so, and gives the terminal back."""
    with a_smarthost({}) as smarthost, a_daemon(tmp_path, smarthost.port) as daemon:
        ours, theirs = pty.openpty()
        environment = {**os.environ, "TERM": "xterm-256color", "COLUMNS": "100", "LINES": "40"}
        command = [sys.executable, "-m", "relayd", "-c", str(daemon.file), "top", "--every", "0.1"]
        with subprocess.Popen(
            command, cwd=ROOT, env=environment, stdin=theirs, stdout=theirs, stderr=theirs
        ) as process:
            os.close(theirs)
            seen, decoder = "", codecs.getincrementaldecoder("utf-8")()

            def shows(what: str) -> bool:
                nonlocal seen
                seen += decoder.decode(os.read(ours, 65536))
                plain = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", seen)
                return re.search(what, plain) is not None

            eventually(lambda: shows(r"received +0\.0 +0"), "rates")
            eventually(lambda: shows(r"workers 2 "), "workers")
            daemon.stop()
            eventually(lambda: shows("NO DAEMON ANSWERS"), "the end of the daemon is told")
            process.send_signal(signal.SIGINT)
            eventually(lambda: shows("$") and "\x1b[?1049l" in seen, "the screen is left")
            assert process.wait(10) == 0
        os.close(ours)
