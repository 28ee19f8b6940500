"""A daemon whose settings are in its environment, and commands that have it too, or have not."""

import json
import os
import signal
import smtplib
from contextlib import closing, suppress
from functools import partial
from pathlib import Path

import pytest

from relayd.control import client
from relayd.control.set_keys import set_to_json
from relayd.errors import RelaydError
from tests.support import relayd_process
from tests.support.daemon import CEILING, Daemon, a_smarthost, eventually
from tests.support.ports import free_port


def test_the_daemon_keeps_its_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Over a reload, in its workers and against the console; a shell without it is told so."""
    with a_smarthost() as smarthost, closing(Daemon(tmp_path, free_port())) as daemon:
        hosts = f"127.0.0.1:{smarthost.port}"
        daemon.up("env", f"RELAYD_SMARTHOST__HOSTS={hosts}", "RELAYD_USE_REMOTE_SMTP=false")
        daemon.send("before@x.test")
        daemon.write(workers=1)
        daemon.signal(signal.SIGHUP)
        eventually(lambda: daemon.events("reloaded"), "it has read the file again")
        daemon.send("after@x.test")
        smarthost.received(2)
        socket = str(tmp_path / "control.sock")
        with pytest.raises(RelaydError, match="RELAYD_USE_REMOTE_SMTP sets use_remote_smtp"):
            client.ask(socket, set_to_json({"use_remote_smtp": (True, False)}), timeout=60)

        missing = "RELAYD_SMARTHOST__HOSTS, RELAYD_USE_REMOTE_SMTP"
        assert (
            f"its environment has {missing}, and this one has not"
            in daemon.run("config", "diff").out
        )
        assert f"daemon: stale (it has {missing} in its environment" in daemon.run("check").out
        changed = daemon.run("config", "set", "limits.recipients", "9")
        assert f"its environment has {missing}" in changed.out

        monkeypatch.setenv("RELAYD_SMARTHOST__HOSTS", hosts)
        monkeypatch.setenv("RELAYD_USE_REMOTE_SMTP", "false")
        assert "daemon: running" in daemon.run("check").out
        changed = daemon.run("config", "set", "smarthost.hosts", "192.0.2.1:25")
        assert "RELAYD_SMARTHOST__HOSTS of the environment counts" in changed.out
        assert "daemon: runs with it now" in changed.out


@pytest.mark.skipif(Path("/etc/relayd").exists(), reason="this machine has settings")
def test_a_daemon_without_a_file(tmp_path: Path) -> None:
    """As in a container: every process has the same variables, and nobody names a file."""
    port = free_port()
    with a_smarthost() as smarthost:
        environment = os.environ | {
            "RELAYD_FQDN": "relay.test",
            "RELAYD_LISTEN__0__ADDRESS": f"127.0.0.1:{port}",
            "RELAYD_SMARTHOST__HOSTS": f"127.0.0.1:{smarthost.port}",
            "RELAYD_SMARTHOST__TLS": "off",
            "RELAYD_WORKERS": "1",
            "RELAYD_STORE__URL": f"sqlite:{tmp_path}/queue.db",
            "RELAYD_CONTROL__SOCKET": f"{tmp_path}/control.sock",
            "RELAYD_STATUS_LOG__PATH": "-",
            "RELAYD_AUTH__USERS_FILE": f"{tmp_path}/users",
            "RELAYD_PORT": "tcp://10.0.0.1:25",
        }

        def run(*arguments: str, typed: str = "") -> str:
            done = relayd_process.run(*arguments, typed=typed, env=environment, timeout=40)
            assert done.returncode == 0, done.stderr
            return done.stdout

        control = tmp_path / "control.sock"
        with (tmp_path / "daemon.log").open("wb") as log:
            daemon = relayd_process.start("serve", stdout=log, stderr=log, env=environment)
        try:
            eventually(control.exists, "it serves")
            eventually(partial(_listens, port), "it listens")
            with smtplib.SMTP("127.0.0.1", port) as session:
                session.sendmail("app@x.test", ["a@x.test"], "Subject: x\r\n\r\nx\r\n")
            run("sendmail", "b@x.test", typed="Subject: y\n\ny\n")
            smarthost.received(2)
            eventually(lambda: run("status").count("relayed") == 2, "both are told as relayed")
            assert json.loads(run("status", "--recipient", "a@x.test", "--json"))["rcpt"]
            assert "settings OK: environment" in run("check")
            assert "the daemon runs with" in run("reload")
            run("user", "add", "app", typed="a-long-password-of-ours\n")
            assert "app" in run("user", "list")
            daemon.send_signal(signal.SIGTERM)
            assert daemon.wait(CEILING) == 0
        finally:
            with suppress(ProcessLookupError):
                daemon.kill()
            daemon.wait()


def _listens(port: int) -> bool:
    with suppress(OSError), smtplib.SMTP("127.0.0.1", port):
        return True
    return False
