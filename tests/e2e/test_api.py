"""The HTTP API of a running console beside a running daemon: handed in, asked after, and while the daemon is away."""

import http.client
import json
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from tests.support.daemon import ROOT, Daemon, a_daemon, a_smarthost, eventually

SCRIPT = {"RCPT TO:<gone": "550 5.1.1 No such user"}
MORE = '[console]\naddress = "unix:{folder}/http.sock"\n'
MAIL = {"from": "a@app.test", "to": ["gone@x.test", "ok@x.test"], "subject": "x", "text": "Hello."}
WITHIN = 15.0  # seconds


class Connection(http.client.HTTPConnection):
    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=WITHIN)
        self.path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(WITHIN)
        self.sock.connect(str(self.path))


@contextmanager
def a_console(daemon: Daemon, path: Path) -> Iterator[None]:
    words = [sys.executable, "-m", "relayd", "console", "-c", str(daemon.file)]
    with subprocess.Popen(words, cwd=ROOT) as console:
        try:
            eventually(path.is_socket, "the console listens")
            yield
        finally:
            console.terminate()
            assert console.wait(WITHIN) == 0


def test_a_message_is_handed_in_and_followed(tmp_path: Path) -> None:
    path = tmp_path / "http.sock"
    more = MORE.format(folder=tmp_path)
    with (
        a_smarthost(SCRIPT) as smarthost,
        a_daemon(tmp_path, smarthost.port, more=more) as daemon,
        a_console(daemon, path),
    ):
        added = daemon.run(
            "console", "key", "add", "shop", "--scopes", "submit,read", "--sees", "own", "--json"
        )
        key = added.rows[0]["key"]

        def asked(method: str, what: str, told: object = None) -> tuple[int, Any, Any]:
            headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
            if told is not None:
                headers["Idempotency-Key"] = "order-1"
            with closing(Connection(path)) as connection:
                body = None if told is None else json.dumps(told)
                connection.request(method, f"/api/v1{what}", body, headers)
                answer = connection.getresponse()
                return answer.status, json.loads(answer.read()), answer.headers

        status, first, _ = asked("POST", "/messages", MAIL)
        assert status == 202, first
        assert first["message_id"].startswith("<")
        status, again, headers = asked("POST", "/messages", MAIL)
        assert (status, again, headers["Idempotency-Replayed"]) == (202, first, "true")

        def final() -> Any:
            rows = asked("GET", f"/messages/{first['queue_id']}")[1]["recipients"]
            return rows if {each["status"] for each in rows} == {"bounced", "relayed"} else None

        gone, ok = eventually(final, "both are final")
        assert (gone["rcpt"], gone["status"], gone["code"]) == ("gone@x.test", "bounced", 550)
        assert (ok["rcpt"], ok["auth_user"]) == ("ok@x.test", "shop (API key)")
        other = daemon.send("ok@x.test")
        assert asked("GET", f"/messages/{other}")[0] == 404
        assert daemon.stop() == 0
        status, told, headers = asked("POST", "/messages", {**MAIL, "subject": "another"})
        assert (status, told["type"]) == (503, "urn:relayd:problem:unavailable")
        assert int(headers["Retry-After"]) > 0
        assert asked("GET", f"/messages/{first['queue_id']}")[0] == 200
