"""`relayd serve` as real processes, from an application's connection to the smarthost's."""

import json
import os
import re
import shutil
import signal
import smtplib
import socket
import stat
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import apsw
import pytest

from relayd.ports.view import Query, RecipientRow, Status
from tests.support import relayd_process
from tests.support.daemon import (
    CEILING,
    Daemon,
    SmarthostThread,
    a_daemon,
    a_smarthost,
    eventually,
    without_trace,
)
from tests.support.pointers import without_pointers
from tests.support.ports import free_port, is_open
from tests.support.scripted_server import HANG

SCRIPT = {
    "RCPT TO:<nobody@x.test>": "550 5.1.1 No such user",
    "RCPT TO:<full@x.test>": "452 4.2.2 Mailbox full",
    "RCPT TO:<busy@x.test>": "451 4.3.0 Come back tomorrow",
    "RCPT TO:<wrong@x.test>": "550 5.7.1 Wrong smarthost",
}
RAW = b"Subject: r\xc3\xa4w\r\nX-Odd: \t \r\n\r\n.dot\r\n..two\r\n\x0b \r\nno end"


@pytest.fixture(scope="module")
def smarthost() -> Iterator[SmarthostThread]:
    with a_smarthost(SCRIPT) as smarthost:
        yield smarthost


@pytest.fixture(scope="module")
def daemon(
    smarthost: SmarthostThread, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Daemon]:
    """One relay for all tests that leave it running; each uses addresses of its own."""
    with a_daemon(tmp_path_factory.mktemp("relayd"), smarthost.port) as daemon:
        yield daemon
        assert daemon.stop() == 0
        assert not Path(f"{daemon.queue}-wal").exists(), "all of it is in the file"


def row_of(daemon: Daemon, address: str) -> RecipientRow:
    [row] = daemon.rows(Query(recipient=(address,)))
    return row


def becomes(daemon: Daemon, address: str, status: str) -> dict[str, Any]:
    """Wait for a status; return what the command says then."""
    eventually(lambda: row_of(daemon, address).status == status, f"{address} is {status}")
    [told] = daemon.status("--recipient", address)
    assert told["status"] == status
    return told


def sent_to(smarthost: SmarthostThread, address: str) -> list[bytes]:
    return [one.content for one in smarthost.messages if f"TO:<{address}>" in str(one.rcpts)]


def test_a_burst_of_clients_is_shared_by_the_workers(
    smarthost: SmarthostThread, tmp_path: Path
) -> None:
    """Clients may stay for hours: one worker must not have them all."""
    with a_daemon(tmp_path, smarthost.port, traceable=True) as daemon:
        share_out_a_burst(daemon)


def share_out_a_burst(daemon: Daemon) -> None:
    workers = [event["pid"] for event in daemon.events("worker_started")]

    def clients() -> list[int]:
        """How many connections to our port each worker has: not those of its own to others."""
        ours = accepted(daemon.port)
        return [len(ours & sockets_of(pid)) for pid in workers]

    def is_shared() -> bool:
        burst = [socket.create_connection(("127.0.0.1", daemon.port)) for _ in range(20)]
        for client in burst:
            assert client.recv(4) == b"220 "
        shares = clients()
        for client in burst:
            client.close()
        assert sum(shares) == 20
        eventually(lambda: sum(clients()) == 0, "all of them are gone")
        return min(shares) >= 8

    eventually(is_shared, "both have their part, unless one had no time for that")


def accepted(port: int) -> set[str]:
    """The inodes of sockets that clients are connected to at this port of 127.0.0.1; proc_net_tcp(5)."""
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return {row[9] for row in rows if row[1] == f"0100007F:{port:04X}" and row[3] == "01"}


def sockets_of(pid: int) -> set[str]:
    found = set()
    for descriptor in Path(f"/proc/{pid}/fd").iterdir():
        try:
            kind, _, inode = str(descriptor.readlink()).partition(":")
        except FileNotFoundError:  # closed meanwhile
            continue
        if kind == "socket":
            found.add(inode.strip("[]"))
    return found


def test_others_get_at_no_file(smarthost: SmarthostThread, tmp_path: Path) -> None:
    """Whatever the umask where it is started; a large message lies on a file of its own (A-95)."""
    daemon = Daemon(tmp_path, smarthost.port, workers=1, more='[routes]\n"held.test" = "hold"\n')
    with closing(daemon):
        daemon.up("sh", "-c", 'umask 0; exec "$@"', "sh")
        daemon.send("a@held.test", content="Subject: large\r\n\r\n" + "x" * 70 * 5000)
        modes = {
            str(path.relative_to(tmp_path)): stat.S_IMODE(path.lstat().st_mode)
            for path in tmp_path.rglob("*")
        }
    ours = {name: mode for name, mode in modes.items() if name.startswith("queue.db")}
    locks = {"queue.db.lock", "queue.db.write"}
    assert {ours[name] for name in locks} == {0o600}
    read_by_the_group = ours.keys() - locks - {"queue.db.content"}
    assert {ours[name] for name in read_by_the_group} == {0o640}
    assert len([name for name in ours if name.startswith("queue.db.content/")]) == 1
    assert modes["queue.db.content"] == 0o750
    assert modes["control.sock"] == 0o660
    assert modes["status.log"] == 0o640


def test_mail_from_smtplib_is_relayed_unchanged(daemon: Daemon, smarthost: SmarthostThread) -> None:
    with daemon.client() as client:
        client.ehlo()
        assert client.mail("app@app.test", ["BODY=8BITMIME"])[0] == 250
        assert client.rcpt("raw@x.test")[0] == 250
        code, text = client.data(RAW + b"\r\n")
    found = re.fullmatch(rb"2\.0\.0 OK queued as ([0-9A-Z]{13})", text)
    assert code == 250
    assert found
    row = becomes(daemon, "raw@x.test", "relayed")
    assert row["queue_id"] == found[1].decode()
    [content] = sent_to(smarthost, "raw@x.test")
    assert without_trace(content) == RAW + b"\r\n"
    assert b"by relay.test" in content
    assert found[1] in content.partition(b"\r\nSubject")[0]


def test_each_recipient_has_its_own_status(daemon: Daemon) -> None:
    queue_id = daemon.send("good@x.test", "nobody@x.test", "full@x.test")
    becomes(daemon, "good@x.test", "relayed")
    bounced = becomes(daemon, "nobody@x.test", "bounced")
    assert (bounced["bounce_class"], bounced["suppress"], bounced["code"]) == ("hard", True, 550)
    full = becomes(daemon, "full@x.test", "bounced")
    assert (full["bounce_class"], full["attempt"]) == ("soft", 2)
    shown = daemon.run("status", "show", queue_id)
    assert shown.status == 0
    for words in ("good@x.test", "No such user", "attempt 2", "Mailbox full", "final status"):
        assert words in shown.out
    told = daemon.run("status", "show", queue_id, "--json").rows
    assert [[event["event"] for event in one["history"]] for one in told] == [
        ["received", "relayed"],
        ["received", "bounced"],
        ["received", "deferred", "bounced"],
    ]


def test_the_status_log_says_what_the_history_says(daemon: Daemon) -> None:
    """Section 4 of the interface: they never disagree."""
    queue_id = daemon.send("twin@x.test", "nobody@x.test")
    becomes(daemon, "twin@x.test", "relayed")

    def lines() -> list[dict[str, Any]]:
        return [line for line in daemon.log_lines() if line.get("queue_id") == queue_id]

    eventually(lambda: len(lines()) == 4, "four lines")
    told = daemon.run("status", "show", queue_id, "--json").rows
    for one in told:
        own = [line for line in lines() if line["rcpt"] == one["rcpt"]]
        assert [(line["ts"], line["event"]) for line in own] == [
            (event["ts"], event["event"]) for event in one["history"]
        ]
        for line, event in zip(own, one["history"], strict=True):
            if event["event"] != "received":
                assert event.items() <= line.items()
    read = daemon.run("log", "--json").rows
    assert [line for line in read if line.get("queue_id") == queue_id] == lines()


def test_mail_through_the_unix_socket(daemon: Daemon) -> None:
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(CEILING)
        client.connect(str(daemon.folder / "smtp.sock"))
        replies = client.makefile("rb")
        assert replies.readline().startswith(b"220 relay.test")
        for line in (b"HELO app", b"MAIL FROM:<>", b"RCPT TO:<socket@x.test>"):
            client.sendall(line + b"\r\n")
            assert replies.readline().startswith(b"250")
        client.sendall(b"DATA\r\n")
        assert replies.readline().startswith(b"354")
        client.sendall(b"Subject: by socket\r\n\r\nHello.\r\n.\r\nQUIT\r\n")
        assert replies.readline().startswith(b"250 2.0.0 OK queued as ")
        assert replies.read() == b"221 2.0.0 Bye\r\n"
        replies.close()
    row = becomes(daemon, "socket@x.test", "relayed")
    assert (row["from"], row["client_ip"]) == ("", "")


def needs(program: str) -> str:
    found = shutil.which(program)
    if found is None:
        pytest.skip(f"{program} is not installed")
    return found


def test_mail_from_curl(daemon: Daemon, smarthost: SmarthostThread, tmp_path: Path) -> None:
    letter = tmp_path / "letter"
    letter.write_bytes(b"Subject: curl\r\n\r\nLine\r\n.stuffed\r\n")
    url = f"smtp://127.0.0.1:{daemon.port}/app.test"
    command = [needs("curl"), "-sS", "--mail-from", "app@app.test", "--mail-rcpt", "curl@x.test"]
    done = subprocess.run(
        [*command, "--upload-file", str(letter), url], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    becomes(daemon, "curl@x.test", "relayed")
    [content] = sent_to(smarthost, "curl@x.test")
    assert without_trace(content) == letter.read_bytes()


def test_mail_from_swaks(daemon: Daemon, smarthost: SmarthostThread) -> None:
    command = [needs("swaks"), "--server", "127.0.0.1", "--port", str(daemon.port), "--pipeline"]
    done = subprocess.run(
        [*command, "--from", "app@app.test", "--to", "swaks@x.test,swaks2@x.test"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    assert "2.0.0 OK queued as " in done.stdout
    becomes(daemon, "swaks@x.test", "relayed")
    becomes(daemon, "swaks2@x.test", "relayed")
    assert len(sent_to(smarthost, "swaks@x.test")) == 1


def test_what_is_refused_is_not_queued_but_logged(daemon: Daemon) -> None:
    with daemon.client() as client:
        client.ehlo()
        client.mail("app@app.test")
        assert client.rcpt("user@[192.0.2.1]")[0] == 553
        client.rset()
        client.mail("app@app.test")
        client.rcpt("refused@x.test")
        assert client.docmd("DATA")[0] == 354
        client.send(b"Subject: smuggled\r\n\r\nbare\nline\r\n.\r\n")
        assert client.getreply()[0] == 550
    eventually(
        lambda: (
            {line["code"] for line in daemon.log_lines() if line["event"] == "refused"}
            >= {550, 553}
        ),
        "two refusals in the log",
    )
    assert not daemon.status("--recipient", "refused@x.test")


def test_an_operator_holds_releases_and_drops(daemon: Daemon) -> None:
    """Through the control socket of the running daemon, with a line in the log for each act."""
    daemon.send("busy@x.test")
    becomes(daemon, "busy@x.test", "deferred")
    selector = ("--recipient", "busy@x.test")

    def act(verb: str, *more: str) -> str:
        ran = daemon.run("queue", verb, *selector, *more)
        assert ran.status == 0, ran.err
        return ran.out

    def held() -> bool:
        act("hold", "--reason", "look")  # a running attempt may come first
        return row_of(daemon, "busy@x.test").status is Status.HELD

    eventually(held, "held")
    assert daemon.run("queue", "list").out.count("busy@x.test") == 1
    [row] = daemon.status(*selector)
    read = daemon.run("queue", "cat", row["queue_id"], "--reason", "why so")
    assert read.out.startswith("Received: "), read.err
    act("release")
    becomes(daemon, "busy@x.test", "deferred")
    act("drop", "--reason", "not needed")
    assert row_of(daemon, "busy@x.test").status is Status.DROPPED
    eventually(  # each worker writes its own lines
        lambda: "dropped" in {line["event"] for line in _of(daemon, "busy@x.test")}, "in the log"
    )
    acts = {
        line["event"]: line.get("by")
        for line in _of(daemon, "busy@x.test")
        if line["event"] in {"held", "released", "dropped"}
    }
    assert list(acts) == ["held", "released", "dropped"]
    assert all(acts.values()), "who did it"
    told = [line for line in _of(daemon, "busy@x.test") if line["event"] == "read"]
    assert [line["reason"] for line in told] == ["why so"]
    assert told[0]["by"]


def test_what_a_wrong_smarthost_bounced_is_sent_again(
    daemon: Daemon, smarthost: SmarthostThread, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A new message, which the smarthost takes now; both are in the status log."""
    daemon.send("wrong@x.test")
    becomes(daemon, "wrong@x.test", "bounced")
    [old] = daemon.status("--recipient", "wrong@x.test")
    monkeypatch.delitem(smarthost.server.script, "RCPT TO:<WRONG@X.TEST>")
    ran = daemon.run("queue", "requeue", "--recipient", "wrong@x.test", "--reason", "it was us")
    assert (ran.status, ran.out) == (0, "requeued 1 recipient\n"), ran.err
    eventually(
        lambda: (
            sorted(row["status"] for row in daemon.status("--recipient", "wrong@x.test"))
            == ["bounced", "relayed"]
        ),
        "the new one is relayed",
    )

    def told(event: str) -> list[dict[str, Any]]:
        return [line for line in _of(daemon, "wrong@x.test") if line["event"] == event]

    # One worker requeued it and another one relayed it: their lines come in any order.
    eventually(lambda: (len(told("requeued")), len(told("relayed"))) == (2, 1), "in the log")
    both = {line["queue_id"]: line for line in told("requeued")}
    as_new = both[old["queue_id"]]["requeued_as"]
    assert both[as_new]["requeued_from"] == old["queue_id"]
    assert [line["queue_id"] for line in told("relayed")] == [as_new]
    ran = daemon.run("queue", "requeue", "--recipient", "wrong@x.test")
    assert ran.out.startswith("requeued 0 recipients; left alone: 1 requeued before")


def _of(daemon: Daemon, address: str) -> list[dict[str, Any]]:
    return [line for line in daemon.log_lines() if line.get("rcpt") == address]


def test_many_clients_at_once(daemon: Daemon) -> None:
    clients = [daemon.client() for _ in range(12)]
    for number, client in enumerate(clients):
        client.sendmail("app@app.test", [f"shared{number}@x.test"], "Subject: x\r\n\r\n")
    for client in clients:
        client.quit()
    eventually(
        lambda: (
            {row_of(daemon, f"shared{number}@x.test").status for number in range(12)}
            == {Status.RELAYED}
        ),
        "all relayed",
    )


def test_a_rotated_status_log_is_opened_anew_on_sighup(
    daemon: Daemon, smarthost: SmarthostThread
) -> None:
    """And no session is dropped by the reload (F-24)."""
    with daemon.client() as client:
        client.ehlo()
        client.mail("app@app.test")
        old = daemon.status_log.with_suffix(".1")
        daemon.status_log.rename(old)
        kept = len(daemon.events("settings_kept"))
        daemon.signal(signal.SIGHUP)
        eventually(lambda: len(daemon.events("settings_kept")) > kept, "reloaded")
        eventually(daemon.status_log.exists, "a new file")
        client.rcpt("rotated@x.test")
        assert client.data("Subject: x\r\n\r\n")[0] == 250
    eventually(lambda: len(_of(daemon, "rotated@x.test")) == 2, "two lines in the new file")
    assert b"rotated@x.test" not in old.read_bytes()
    assert len(sent_to(smarthost, "rotated@x.test")) == 1


def test_a_broken_file_changes_nothing_at_a_reload(daemon: Daemon) -> None:
    before = daemon.file.read_text()
    daemon.file.write_text(before + "[nonsense]\nkey = 1\n")
    try:
        daemon.signal(signal.SIGHUP)
        [refusal] = eventually(lambda: daemon.events("reload_refused"), "a refusal")
        assert "nonsense" in refusal["error"]
        assert daemon.run("check").status == 78
        daemon.send("still@x.test")
        eventually(lambda: row_of(daemon, "still@x.test").status is Status.RELAYED, "relayed")
    finally:
        daemon.file.write_text(before)


def serve_again(file: Path) -> subprocess.CompletedProcess[str]:
    """Run a daemon that is expected not to start."""
    return relayd_process.run("serve", "-c", str(file), timeout=CEILING)


def error_lines(done: subprocess.CompletedProcess[str]) -> list[str]:
    """What it says for people; events of the operational log are JSON."""
    said, _ = without_pointers(done.stderr)
    return [line for line in said.splitlines() if not line.startswith("{")]


def test_a_second_daemon_on_the_queue_refuses(daemon: Daemon, tmp_path: Path) -> None:
    """F-20."""
    file = tmp_path / "second.toml"
    text = daemon.file.read_text().replace(str(daemon.port), str(free_port()))
    file.write_text(text.replace("smtp.sock", "s2.sock").replace("control.sock", "c2.sock"))
    done = serve_again(file)
    [line] = error_lines(done)
    assert done.returncode == os.EX_OSERR
    assert str(daemon.queue) in line
    daemon.send("undisturbed@x.test")
    becomes(daemon, "undisturbed@x.test", "relayed")


def test_a_port_in_use_is_one_clear_line(daemon: Daemon, tmp_path: Path) -> None:
    """A-102."""
    other = Daemon(tmp_path, smarthost=25)
    other.write(port=daemon.port)
    done = serve_again(other.file)
    [line] = error_lines(done)
    assert done.returncode != 0
    assert f"127.0.0.1:{daemon.port}" in line
    assert not other.queue.exists()


def test_an_unreadable_secret_is_one_clear_line(disk_path: Path) -> None:
    """A-95, A-102: never half-configured."""
    secret = disk_path / "password"
    secret.write_text("hunter2\n")
    secret.chmod(0o644)
    disk_path.chmod(0o755)  # nothing around it keeps others from it
    login = 'username = "me"\npassword_file = '
    other = Daemon(disk_path, smarthost=25)
    for name in ("password", "absent"):
        other.write(smarthost_more=f'{login}"{disk_path}/{name}"')
        done = serve_again(other.file)
        [line] = error_lines(done)
        assert done.returncode == os.EX_CONFIG
        assert "smarthost.password_file" in line
        assert "hunter2" not in line
        assert other.run("check").status == os.EX_CONFIG
    assert not other.queue.exists()


def test_a_queue_of_a_newer_version_is_left_alone(tmp_path: Path) -> None:
    """F-19."""
    with a_smarthost() as smarthost:
        with a_daemon(tmp_path, smarthost.port) as daemon:
            daemon.send("a@x.test")
            smarthost.received(1)
            assert daemon.stop() == 0
        db = apsw.Connection(str(daemon.queue))
        db.execute("PRAGMA user_version=99")
        db.close()
        before = daemon.queue.read_bytes()
        done = serve_again(daemon.file)
        assert done.returncode != 0
        assert "schema 99" in done.stderr
        assert daemon.queue.read_bytes() == before
        assert daemon.run("status").status == os.EX_DATAERR


def test_sigterm_under_load_loses_and_repeats_nothing(tmp_path: Path) -> None:
    """F-22: what was acknowledged arrives once, now or after the next start."""
    acked: set[str] = set()

    def load(daemon: Daemon, number: int) -> None:
        try:
            with daemon.client() as client:
                for count in range(1000):
                    address = f"c{number}-{count}@x.test"
                    client.sendmail("app@app.test", [address], "Subject: load\r\n\r\nx\r\n")
                    acked.add(address)
        except (OSError, smtplib.SMTPException):
            pass  # the relay is gone

    with a_smarthost() as smarthost, a_daemon(tmp_path, smarthost.port) as daemon:
        threads = [threading.Thread(target=load, args=(daemon, number)) for number in range(6)]
        for thread in threads:
            thread.start()
        smarthost.received(100)
        assert daemon.stop() == 0
        for thread in threads:
            thread.join()
        assert len(daemon.events("worker_stopped")) == 2
        assert not daemon.events("stopped_with_open_transactions")
        daemon.up()
        eventually(lambda: set(smarthost.rcpts) >= acked, "all that was acknowledged")
        eventually(lambda: set(daemon.statuses().values()) == {"relayed"}, "all is relayed")
        assert daemon.stop() == 0
        assert len(smarthost.rcpts) == len(set(smarthost.rcpts)), "nothing twice"
        assert {row["rcpt"] for row in daemon.status()} == set(smarthost.rcpts)
        lines = [line for line in daemon.log_lines() if line["event"] == "relayed"]
        assert len(lines) == len(smarthost.rcpts)


def test_a_slow_client_keeps_no_attempts_going_after_sigterm(tmp_path: Path) -> None:
    """F-22: deliveries end while clients do, or the last of them would be killed in their middle."""
    with (
        a_smarthost() as smarthost,
        a_daemon(tmp_path, smarthost.port, workers=1) as daemon,
    ):
        clients = [daemon.client(), daemon.client()]
        for number, client in enumerate(clients):
            client.docmd("EHLO app.test")
            client.docmd("MAIL FROM:<a@x.test>")
            client.docmd(f"RCPT TO:<{number}@x.test>")
            assert client.docmd("DATA")[0] == 354
        daemon.signal(signal.SIGTERM)
        eventually(lambda: not is_open(daemon.port), "it stops")
        for client in clients:
            client.send(b"Subject: slow\r\n\r\n.\r\n")
            assert client.getreply()[0] == 250
            time.sleep(0.3)  # long enough for an attempt
            client.close()
        assert daemon.end() == 0
        assert smarthost.messages == []
        assert daemon.statuses() == {"0@x.test": "queued", "1@x.test": "queued"}
        daemon.up()
        eventually(lambda: set(daemon.statuses().values()) == {"relayed"}, "relayed")


@pytest.mark.parametrize("reloaded", [False, True])
def test_a_stop_ends_in_time_whoever_stalls(tmp_path: Path, *, reloaded: bool) -> None:
    """A client in the middle of a message, and a server at the dot; also right after a reload."""
    with (
        a_smarthost({"DOT": HANG}) as smarthost,
        a_daemon(tmp_path, smarthost.port, workers=1) as daemon,
        ExitStack() as stalled,
    ):
        assert daemon.run("config", "set", "limits.stop_within", "1s").status == 0
        daemon.send("dot@x.test")
        eventually(lambda: smarthost.messages, "the server has it")
        client = daemon.client()
        client.docmd("EHLO app.test")
        client.docmd("MAIL FROM:<a@x.test>")
        client.docmd("RCPT TO:<stalls@x.test>")
        assert client.docmd("DATA")[0] == 354
        client.send(b"Subject: stalls\r\n")
        stalled.callback(client.close)
        if reloaded:
            assert daemon.run("config", "set", "limits.recipients", "7").status == 0
        began = time.monotonic()
        daemon.signal(signal.SIGTERM)
        assert daemon.end() == 0
        assert time.monotonic() - began < 8  # the times are 1 s, and 2.5 s for the dot
        assert not daemon.events("worker_killed")
        [row] = daemon.rows()
        assert (row.address, row.status, row.possible_duplicate) == ("dot@x.test", "deferred", True)


def test_mail_waits_for_a_smarthost_that_is_down(tmp_path: Path) -> None:
    port = free_port()
    with a_daemon(tmp_path, port) as daemon:
        for number in range(5):
            daemon.send(f"u{number}@x.test")
        eventually(lambda: daemon.events("destination_down"), "down")
        eventually(lambda: "deferred" in daemon.statuses().values(), "deferred")
        statuses = sorted(daemon.statuses().values())
        assert set(statuses) == {"deferred", "queued"}
        assert statuses.count("deferred") <= 2, "one per worker that found out"
        assert (
            "paused until"
            in daemon.run("queue", "list").out
            + daemon.run("status", "show", daemon.status()[0]["queue_id"]).out
        )
        with a_smarthost(port=port) as smarthost:
            assert daemon.run("queue", "expedite", "--domain", "x.test").status == 0
            eventually(lambda: set(daemon.statuses().values()) == {"relayed"}, "all relayed")
            assert sorted(smarthost.rcpts) == sorted(f"u{number}@x.test" for number in range(5))


@pytest.mark.slow
def test_mail_goes_on_by_itself_when_the_smarthost_is_back(tmp_path: Path) -> None:
    port = free_port()
    with a_daemon(tmp_path, port) as daemon:
        daemon.send("a@x.test", "b@x.test")
        eventually(lambda: daemon.events("destination_down"), "down")
        with a_smarthost(port=port) as smarthost:
            smarthost.received(1)
            eventually(lambda: set(daemon.statuses().values()) == {"relayed"}, "all relayed")


def test_settings_are_seen_as_json(daemon: Daemon) -> None:
    ran = daemon.run("check", "--json")
    assert (ran.status, json.loads(ran.out)["workers"]) == (0, 2)
