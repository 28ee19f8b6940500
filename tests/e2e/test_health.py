"""What must be seen without looking for it: above the tables, in metrics, in `/readyz`.

A full disk and a store that takes no results are in tests/crash/test_disk_full.py.
"""

import contextlib
import io
import re
import signal
from pathlib import Path

from relayd.cli.command import run
from tests.support.daemon import Daemon, Ran, a_daemon, a_smarthost, eventually
from tests.support.pointers import without_pointers
from tests.support.ports import free_port
from tests.support.scraping import get, scrape
from tests.support.scripted_server import Script

NEW = "AUTH XOAUTH2 dXNlcj1hcHABYXV0aD1CZWFyZXIgbmV3AQE="  # of app, with the token "new"
SCRIPT: Script = {"EHLO": ["AUTH XOAUTH2"], "AUTH": "535 5.7.8 no", NEW: "235 welcome"}
COMMANDS = (
    ("status",),
    ("status", "--json"),
    ("queue", "list"),
    ("top", "--once", "--every", "0.1"),
)
SEEN = (  # what a banner line says of each state
    "destination smarthost is left alone until 20",
    "login refused: ",
    "535 5.7.8 no",
    "a redirect is in force: mail goes to qa@x.test",
    "soft_bounce is on",
    "paused: intake of all mail, until somebody ends it",
    "paused: delivery of all mail, until somebody ends it",
)
METRICS = (
    "relayd_login_refused",
    "relayd_destinations_paused",
    "relayd_redirect",
    "relayd_soft_bounce",
    "relayd_paused",
)
# What is said of a list without rows is no state of the relay.
_NOTHING = re.compile(r"(?m)^relayd: (no mail yet|nothing waits in the queue)\n")
STOPPED = "the daemon is stopped: nobody takes mail, and nothing is delivered"


def relayd(relay: Daemon, *arguments: str) -> Ran:
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        status = run(["-c", str(relay.file), *arguments])
    return Ran(
        status=status, out=out.getvalue(), err=_NOTHING.sub("", without_pointers(err.getvalue())[0])
    )


def write(token: Path, text: str) -> None:
    fresh = token.with_name("fresh")
    fresh.write_text(text)
    fresh.chmod(0o600)
    fresh.replace(token)


def reload(relay: Daemon, port: int, switches: str = "", tables: str = "") -> None:
    reloaded = len(relay.events("reloaded"))
    relay.write(more=f'[metrics]\naddress = "127.0.0.1:{port}"\n{tables}')
    relay.file.write_text(f"{switches}\n{relay.file.read_text()}")
    relay.signal(signal.SIGHUP)
    eventually(lambda: len(relay.events("reloaded")) > reloaded, "reloaded")


def test_each_state_is_seen_in_every_place(tmp_path: Path) -> None:
    """First all is well, then everything is wrong at once, then all is well again, then it is stopped."""
    token, port = tmp_path / "token", free_port()
    write(token, "old")
    login = f'username = "app"\nauth = "xoauth2"\ntoken_file = "{token}"\n'
    metrics = f'[metrics]\naddress = "127.0.0.1:{port}"'
    with (
        a_smarthost(SCRIPT) as smarthost,
        a_daemon(tmp_path, smarthost.port, smarthost_more=login, more=metrics) as relay,
    ):

        def quiet() -> bool:
            return not any(relayd(relay, *command).err for command in COMMANDS)

        assert quiet()
        assert get(port, "/readyz") == (200, "ok\n")
        page = scrape(port)
        assert not sum(page.value(name) for name in METRICS)

        relay.send("a@x.test")
        eventually(lambda: "login refused" in relayd(relay, "status").err, "it is told")
        [cells] = [line.split("\t") for line in relayd(relay, "queue", "list").out.splitlines()[1:]]
        assert any("535 5.7.8 no" in cell for cell in cells), "WHY"
        told = re.compile(r"nothing is delivered: login refused: .* 535 5\.7\.8 no .*\n")
        eventually(lambda: told.fullmatch(get(port, "/readyz")[1]), "it takes mail and keeps it")
        refusals = len(relay.events("login_refused"))
        reload(relay, port, "soft_bounce = true", '[redirect]\nto = "qa@x.test"')
        # A new worker tries the login again; a pause that came first would keep it from trying.
        eventually(lambda: len(relay.events("login_refused")) > refusals, "refused once more")
        eventually(lambda: SEEN[0] in relayd(relay, "status").err, "and it is left alone again")
        assert relayd(relay, "drain", "--reason", "moving house").status == 0
        assert relayd(relay, "pause", "all").status == 0
        for command in COMMANDS:
            ran = relayd(relay, *command)
            assert ran.status == 0
            for words in SEEN:
                assert words in ran.err, (command, words)
        body = eventually(
            lambda: text if "login refused" in (text := get(port, "/readyz")[1]) else "",
            "all of it",
        )
        intake, delivery, _ = body.splitlines()
        assert intake.startswith("paused: intake of all mail, until somebody ends it, by ")
        assert intake.endswith(": moving house")
        assert delivery.startswith("paused: delivery of all mail, until somebody ends it, by ")
        assert get(port, "/healthz")[0] == 200
        eventually(lambda: all(scrape(port).value(name) for name in METRICS), "each metric")

        write(token, "new")
        reload(relay, port)
        assert relayd(relay, "resume", "all").status == 0
        eventually(lambda: get(port, "/readyz") == (200, "ok\n"), "ready")
        smarthost.received(1)
        eventually(quiet, "all is well")

        assert relay.stop() == 0
        for command in COMMANDS:
            ran = relayd(relay, *command)
            assert ran.status == (69 if command[0] == "top" else 0)
            assert ran.err == f"{STOPPED} (systemctl start relayd)\n"
