"""A reload swaps the workers; clients and mail do not notice (F-24)."""

import os
import re
import signal
import socket
import ssl
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from relayd.control.client import ask
from relayd.files import is_locked
from relayd.ports.view import Query, Status
from tests.support.certificates import Authority
from tests.support.daemon import (
    CEILING,
    PASS_SOCKET,
    Daemon,
    a_daemon,
    a_smarthost,
    eventually,
)
from tests.support.ports import free_port, is_open


def test_a_session_outlives_a_reload_and_its_mail_is_delivered(tmp_path: Path) -> None:
    with a_smarthost({}) as smarthost, a_daemon(tmp_path, smarthost.port, workers=1) as daemon:
        client = daemon.client()
        client.ehlo()
        client.mail("app@app.test")
        rules = daemon.folder / "rules.d"
        rules.mkdir()
        (rules / "10.toml").write_text(
            '[[rule]]\nid = "own"\ncategory = "policy"\ntext = "computer says no"\n'
        )
        daemon.signal(signal.SIGHUP)
        eventually(lambda: daemon.events("reloaded"), "reloaded")
        assert client.rcpt("late@x.test")[0] == 250
        assert client.data("Subject: x\r\n\r\nx\r\n")[0] == 250
        daemon.send("new@x.test")
        for address in ("late@x.test", "new@x.test"):
            query = Query(recipient=(address,), status=(Status.RELAYED,))
            eventually(lambda query=query: daemon.rows(query), f"{address} relayed")  # type: ignore[misc]
        client.quit()
        assert daemon.stop() == 0


def test_a_third_reload_hurries_idle_clients_and_no_message(tmp_path: Path) -> None:
    """Workers of two earlier settings at most: the older let go of their idle clients for a third."""
    with a_smarthost({}) as smarthost, a_daemon(tmp_path, smarthost.port, workers=1) as daemon:
        idle, busy = daemon.client(), daemon.client()
        for client in (idle, busy):
            client.ehlo()
        busy.mail("app@app.test")
        busy.rcpt("slow@x.test")
        assert busy.docmd("DATA")[0] == 354
        reload_to(daemon, 1)
        later = daemon.client()
        reload_to(daemon, 2)
        daemon.write(more='[doctor]\nblocklists = ["l3.test"]')
        daemon.signal(signal.SIGHUP)
        assert idle.getreply() == (421, b"4.3.2 Shutting down, try again soon")
        assert daemon.events("reload_waits")
        assert len(daemon.events("reloaded")) == 2
        assert later.noop()[0] == 250
        busy.send(b"Subject: x\r\n\r\nx\r\n.\r\n")
        assert busy.getreply()[0] == 250
        eventually(lambda: len(daemon.events("reloaded")) == 3, "the third reload")
        assert later.noop()[0] == 250
        query = Query(recipient=("slow@x.test",), status=(Status.RELAYED,))
        eventually(lambda: daemon.rows(query), "relayed")
        assert not daemon.events("worker_killed")
        for client in (idle, busy, later):
            client.close()


def reload_to(daemon: Daemon, number: int) -> None:
    """Put other settings in force, and wait until only their workers accept."""
    daemon.write(more=f'[doctor]\nblocklists = ["l{number}.test"]')
    daemon.signal(signal.SIGHUP)
    eventually(lambda: len(daemon.events("reloaded")) == number, "reloaded")

    def is_new() -> bool:
        pid = daemon.events("worker_started")[-1]["pid"]
        done = ask(str(daemon.folder / "control.sock"), {"verb": "status"})
        return bool(done["status"]["pid"] == pid)

    eventually(lambda: all(is_new() for _ in range(5)), "the old ones accept no more")


@pytest.mark.parametrize("what", ["listener", "metrics"])
def test_an_address_comes_back_though_workers_that_leave_have_it_yet(
    tmp_path: Path, what: str
) -> None:
    """They need a moment to let go of it; here they are stopped, so that it is a long one."""
    with a_smarthost({}) as smarthost:
        old, new = free_port(), free_port()
        daemon = Daemon(tmp_path, smarthost.port, workers=1)

        def listen_at(port: int) -> None:
            table = "[[listen]]" if what == "listener" else "[metrics]"
            daemon.write(more=f'{table}\naddress = "127.0.0.1:{port}"')
            daemon.signal(signal.SIGHUP)

        with closing(daemon):
            daemon.write(more=f'[metrics]\naddress = "127.0.0.1:{old}"')
            if what == "listener":
                daemon.write(more=f'[[listen]]\naddress = "127.0.0.1:{old}"')
            daemon.up()
            first = stop_idle(daemon)
            try:
                listen_at(new)
                eventually(lambda: daemon.events("reloaded"), "reloaded")
                listen_at(old)
                with pytest.raises(AssertionError, match="too soon"):
                    eventually(lambda: len(daemon.events("reloaded")) == 2, "too soon", within=1)
            finally:
                os.kill(first, signal.SIGCONT)
            eventually(lambda: len(daemon.events("reloaded")) == 2, "reloaded")
            assert not daemon.events("reload_refused")
            with socket.create_connection(("127.0.0.1", old)) as client:
                client.sendall(b"GET /healthz HTTP/1.0\r\n\r\n" if what == "metrics" else b"")
                assert client.recv(100).startswith((b"220 ", b"HTTP/1.1 200"))

            with socket.create_server(("127.0.0.1", new := free_port())):
                listen_at(new)
                refused = eventually(lambda: daemon.events("reload_refused"), "refused", within=5)
            assert "another program listens there" in refused[0]["error"]


@pytest.mark.parametrize("again", [False, True], ids=["taken away", "given back"])
def test_a_listener_that_is_taken_away_refuses_though_a_client_lingers(
    tmp_path: Path, *, again: bool
) -> None:
    """Nobody would greet who comes; and workers that leave let go of it at once."""
    with (
        a_smarthost({}) as smarthost,
        closing(Daemon(tmp_path, smarthost.port, workers=1)) as daemon,
    ):
        port = free_port()
        other = f'[[listen]]\naddress = "127.0.0.1:{port}"'
        daemon.write(more=other)
        daemon.up()
        with daemon.client() as lingers:
            lingers.ehlo()
            lingers.mail("app@app.test")
            daemon.write(more="")
            daemon.signal(signal.SIGHUP)
            eventually(lambda: daemon.events("reloaded"), "reloaded")
            eventually(lambda: not is_open(port), "nobody listens", within=5)
            if again:
                daemon.write(more=other)
                daemon.signal(signal.SIGHUP)
                eventually(lambda: len(daemon.events("reloaded")) == 2, "reloaded", within=8)
                with socket.create_connection(("127.0.0.1", port)) as client:
                    assert client.recv(100).startswith(b"220 ")
            assert lingers.rset()[0] == 250


def stop_idle(daemon: Daemon) -> int:
    """Stop the only worker, while it has no turn to write: the next one would wait for it. Return its pid."""
    [pid] = [each["pid"] for each in daemon.events("worker_started")]

    def is_idle() -> bool:
        os.kill(pid, signal.SIGSTOP)
        if not is_locked(f"{daemon.queue}.write"):
            return True
        os.kill(pid, signal.SIGCONT)
        return False

    eventually(is_idle, "it writes nothing")
    return int(pid)


def test_what_is_written_while_a_reload_waits_is_not_taken(tmp_path: Path) -> None:
    """A reload is for the settings as they were when it was asked for."""
    with a_smarthost({}) as smarthost:
        old, new = free_port(), free_port()
        daemon = Daemon(tmp_path, smarthost.port, workers=1)
        with closing(daemon):
            daemon.write(more=f'[metrics]\naddress = "127.0.0.1:{old}"')
            daemon.up()
            first = stop_idle(daemon)
            try:
                for number, port in ((1, new), (2, old)):
                    daemon.write(more=f'[metrics]\naddress = "127.0.0.1:{port}"')
                    daemon.signal(signal.SIGHUP)
                    if number == 1:
                        eventually(lambda: daemon.events("reloaded"), "reloaded")
                with pytest.raises(AssertionError, match="too soon"):
                    eventually(lambda: len(daemon.events("reloaded")) == 2, "too soon", within=2)
                daemon.file.write_text("half of a file = ")
            finally:
                os.kill(first, signal.SIGCONT)
            eventually(lambda: len(daemon.events("reloaded")) == 2, "reloaded")
            assert not daemon.events("reload_refused")


def test_an_address_that_relayd_has_itself_is_told_apart(tmp_path: Path) -> None:
    """0.0.0.0 and 127.0.0.1 are in each other's way; who is served meanwhile is served on."""
    with a_smarthost({}) as smarthost, a_daemon(tmp_path, smarthost.port) as daemon:
        daemon.write(host="0.0.0.0", listen_more='networks = ["127.0.0.0/8"]')
        daemon.signal(signal.SIGHUP)
        [refused] = eventually(lambda: daemon.events("reload_refused"), "refused")
        assert f"relayd itself listens on 127.0.0.1:{daemon.port}" in refused["error"]
        daemon.send("a@x.test")


def test_a_restart_under_socket_activation_refuses_no_connection(tmp_path: Path) -> None:
    """Who comes while no daemon runs waits in the socket that systemd holds, and is served."""
    with (
        socket.create_server(("127.0.0.1", 0)) as held,
        a_smarthost({}) as smarthost,
        closing(Daemon(tmp_path, smarthost.port, workers=1)) as daemon,
    ):
        own, daemon.port = daemon.port, held.getsockname()[1]
        text = daemon.file.read_text()
        daemon.file.write_text(text.replace(f"127.0.0.1:{own}", "systemd:smtp"))

        def start() -> None:
            seen = len(daemon.events("started"))
            daemon.start(sys.executable, "-c", PASS_SOCKET, str(held.fileno()), keep=held)
            eventually(lambda: len(daemon.events("started")) > seen, "the daemon is ready")

        start()
        daemon.send("before@x.test")
        assert daemon.stop() == 0
        with socket.create_connection(("127.0.0.1", daemon.port), CEILING) as waiting:
            start()
            assert waiting.recv(100).startswith(b"220 ")
        daemon.send("after@x.test")
        assert daemon.stop() == 0


def test_sighup_looks_at_the_certificate_at_once(tmp_path: Path) -> None:
    """With the settings as they were; no worker is replaced for it."""
    authority = Authority(tmp_path)
    pair = authority.write_pair(tmp_path, "old.test")
    with (
        a_smarthost({}) as smarthost,
        closing(Daemon(tmp_path, smarthost.port, workers=1)) as daemon,
    ):
        tls = f'tls = "starttls"\n[tls]\ncertificate = "{pair.certificate}"\nkey = "{pair.key}"\n'
        text = daemon.file.read_text()
        daemon.file.write_text(text.replace("[limits]", f"{tls}[limits]"))
        daemon.up()
        assert name_shown(daemon) == "old.test"
        authority.write_pair(tmp_path, "new.test")
        daemon.signal(signal.SIGHUP)
        eventually(lambda: daemon.events("settings_kept"), "the signal was heeded")
        eventually(lambda: name_shown(daemon) == "new.test", "the new certificate")
        assert len(daemon.events("worker_started")) == 1


def name_shown(daemon: Daemon) -> str:
    """The name in the certificate on the unix socket."""
    with socket.socket(socket.AF_UNIX) as plain:
        plain.settimeout(CEILING)
        plain.connect(str(daemon.folder / "smtp.sock"))
        for said in (b"", b"EHLO app.test\r\n", b"STARTTLS\r\n"):
            plain.sendall(said)
            reply = b""
            while not re.search(rb"(?m)^[0-9]{3} .*\r\n\Z", reply):
                reply += plain.recv(1000)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.load_verify_locations(daemon.folder / "authority.pem")
        context.check_hostname = False
        with context.wrap_socket(plain, server_hostname="any.test") as secure:
            shown = secure.getpeercert()
        assert shown is not None
        return str(shown["subjectAltName"][0][1])


def test_sockets_that_were_deleted_are_made_again(tmp_path: Path) -> None:
    """By whoever tidied up: no restart is needed, and a session that is open goes on."""
    with a_smarthost() as smarthost, a_daemon(tmp_path, smarthost.port) as daemon:
        with socket.socket(socket.AF_UNIX) as early:
            early.settimeout(10)
            early.connect(str(tmp_path / "smtp.sock"))
            assert early.recv(100).startswith(b"220 ")
            sockets = [tmp_path / "smtp.sock", tmp_path / "control.sock"]
            for path in sockets:
                path.unlink()
            eventually(lambda: all(path.exists() for path in sockets), "both are there again")
            eventually(lambda: daemon.events("reloaded"), "workers have them")
            early.sendall(b"NOOP\r\n")
            assert early.recv(100) == b"250 2.0.0 OK\r\n"
        with socket.socket(socket.AF_UNIX) as late:
            late.settimeout(10)
            late.connect(str(tmp_path / "smtp.sock"))
            assert late.recv(100).startswith(b"220 ")
        assert {each["address"] for each in daemon.events("socket_lost")} == {
            f"unix:{path}" for path in sockets
        }
        daemon.send("a@x.test")
        smarthost.received(1)
        assert daemon.run("queue", "expedite", "--all").status == 0


def test_a_reload_to_a_store_that_is_away_leaves_clients_to_those_who_have_one(
    tmp_path: Path,
) -> None:
    """A daemon that has just started has nobody else: it is up, and turns clients away."""
    away: dict[str, Any] = {
        "store": f"postgresql://relayd@/relayd?host={tmp_path}/nowhere",
        "store_more": f'folder = "{tmp_path}"',
    }
    near = {"store": f"sqlite:{tmp_path}/queue.db", "store_more": ""}
    with a_smarthost({}) as smarthost, a_daemon(tmp_path, smarthost.port, **away) as daemon:
        with socket.create_connection(("127.0.0.1", daemon.port), timeout=CEILING) as client:
            assert client.recv(100).startswith(b"421 4.3.2 ")
        daemon.write(**near)
        daemon.signal(signal.SIGHUP)
        eventually(lambda: daemon.events("reloaded"), "a reload to a store that is there")
        eventually(lambda: len(daemon.events("worker_ended")) == 2, "the lock of `away` is free")
        before, ready = len(daemon.events("store_away")), len(daemon.events("worker_ready"))
        daemon.write(**away)
        daemon.signal(signal.SIGHUP)
        eventually(lambda: len(daemon.events("store_away")) == before + 2, "both workers wait")
        for number in range(8):  # who waits takes none of them
            daemon.send(f"{number}@x.test")
        assert len(daemon.events("worker_ready")) == ready
        assert len(daemon.events("reloaded")) == 1
        assert daemon.stop() == 0
