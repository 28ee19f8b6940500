"""Three relays with one PostgreSQL behind HAProxy, as `etc/compose` has them: here they are processes."""

import csv
import re
import shutil
import smtplib
import socket
import subprocess
import threading
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]

from relayd.config.load import load
from tests.support.daemon import ROOT, Daemon, a_smarthost, eventually
from tests.support.ports import free_port
from tests.support.postgres import Server, needs_postgres

COMPOSE = ROOT / "etc/compose/compose.yaml"
BALANCER = ROOT / "etc/compose/haproxy.cfg"
CLIENT = "127.0.0.5"
_SENDERS = 4


def relays() -> Mapping[str, Mapping[str, Any]]:
    services = yaml.safe_load(COMPOSE.read_text())["services"]
    return {name: each for name, each in services.items() if name.startswith("relay")}


def test_the_settings_of_each_container_are_settings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "relayd.toml").write_text("")
    for name, each in relays().items():
        with monkeypatch.context() as patch:
            for variable, value in each["environment"].items():
                patch.setenv(variable, value)
            settings = load(str(tmp_path / "relayd.toml"))
        assert settings.node == name
        assert settings.store.url.startswith("postgresql://")


def test_the_balancer_knows_each_relay_and_its_ports() -> None:
    compose = yaml.safe_load(COMPOSE.read_text())
    assert re.findall(r"(?m)^    server (\S+) (\S+)$", BALANCER.read_text()) == [
        (name, f"{name}:2525") for name in relays()
    ]
    assert set(compose["services"]["balancer"]["depends_on"]) == set(relays())
    named = {
        volume.partition(":")[0]
        for service in compose["services"].values()
        for volume in service.get("volumes", ())
        if not volume.startswith((".", "/"))  # of the host; one without a name
    }
    assert named == set(compose["volumes"])
    assert set(compose["secrets"]) == set(compose["services"]["database"]["secrets"])
    [network] = compose["networks"]["default"]["ipam"]["config"]
    for each in relays().values():
        assert each["environment"]["RELAYD_LISTEN__0__PROXY_NETWORKS"] == network["subnet"]


@contextmanager
def a_balancer(folder: Path, servers: Mapping[str, tuple[int, int]]) -> Iterator[int]:
    """HAProxy with our file, but for addresses: by name the ports of SMTP and of the health page. Gives its port."""
    port = free_port()
    text = BALANCER.read_text().replace("bind :2525", f"bind 127.0.0.1:{port}")
    text = text.replace("/var/lib/haproxy/admin.sock mode", f"{folder}/admin.sock mode")
    text = text.replace(" check port 9725 ", " check ").replace("inter 2s", "inter 100ms")
    for name, (smtp, health) in servers.items():
        text = text.replace(f"{name}:2525", f"127.0.0.1:{smtp} port {health}")
    (folder / "haproxy.cfg").write_text(text)
    with subprocess.Popen(["haproxy", "-f", str(folder / "haproxy.cfg"), "-db", "-q"]) as process:
        try:
            yield port
        finally:
            process.terminate()


def tell(folder: Path, command: str) -> str:
    """Say a command to the balancer, as the comment in its file does with socat."""
    with socket.socket(socket.AF_UNIX) as sock:
        sock.connect(str(folder / "admin.sock"))
        sock.sendall(f"{command}\n".encode())
        return b"".join(iter(lambda: sock.recv(65_536), b"")).decode()


def sessions_of(folder: Path, name: str) -> int:
    told = csv.DictReader(tell(folder, "show stat").removeprefix("# ").splitlines())
    return next(int(each["scur"]) for each in told if each["svname"] == name)


class Sender(threading.Thread):
    """Sends mail, a connection each, until it is told to end."""

    def __init__(self, number: int, port: int) -> None:
        super().__init__(daemon=True)
        self.number, self.port = number, port
        self.sent: list[str] = []
        self.failed: list[BaseException] = []
        self.is_over = False

    def run(self) -> None:
        while not self.is_over:
            to = f"m{self.number}-{len(self.sent)}@x.test"
            try:
                with smtplib.SMTP(
                    "127.0.0.1", self.port, timeout=30, source_address=(CLIENT, 0)
                ) as client:
                    client.sendmail("app@app.test", to, "Subject: x\r\n\r\nx\r\n")
            except (OSError, smtplib.SMTPException) as error:
                self.failed.append(error)
            else:
                self.sent.append(to)


@needs_postgres
@pytest.mark.timeout(180)
@pytest.mark.skipif(not shutil.which("haproxy"), reason="HAProxy is not installed")
def test_a_relay_that_is_taken_out_and_stopped_refuses_no_mail(tmp_path: Path) -> None:
    """The others get its connections, all mail arrives, and the history has the client behind the balancer."""
    with ExitStack() as stack:
        server = Server()
        stack.callback(server.close)
        smarthost = stack.enter_context(a_smarthost({}))
        daemons, servers = [], {}
        for name in relays():
            folder = tmp_path / name
            (folder / "state").mkdir(parents=True)
            smtp, health = servers[name] = free_port(), free_port()
            daemons.append(
                Daemon(
                    folder,
                    smarthost.port,
                    workers=1,
                    connections=20,
                    store=server.url(),
                    store_more=f'folder = "{folder}/state"',
                    more=f'[[listen]]\naddress = "127.0.0.1:{smtp}"\nproxy_networks = ["127.0.0.1/32"]\n'
                    f'networks = ["{CLIENT}/32"]\n[metrics]\naddress = "127.0.0.1:{health}"\n'
                    f'[cluster]\nnode = "{name}"',
                )
            )
        for daemon in daemons:
            stack.callback(daemon.close)
            daemon.up()
        port = stack.enter_context(a_balancer(tmp_path, servers))
        senders = [Sender(number, port) for number in range(_SENDERS)]

        def send_until(more: int) -> None:
            goals = [len(each.sent) + more for each in senders]
            eventually(
                lambda: all(
                    len(each.sent) >= goal or each.failed
                    for each, goal in zip(senders, goals, strict=True)
                ),
                "mail is taken",
                within=60,
            )

        eventually(lambda: _greets(port), "the balancer has a relay")
        for each in senders:
            each.start()
        send_until(10)
        tell(tmp_path, "set server smtp/relay2 state drain")
        eventually(lambda: sessions_of(tmp_path, "relay2") == 0, "its sessions end")
        daemons[1].stop()  # the first delivers from the start, and those that join it do so later
        send_until(20)
        for each in senders:
            each.is_over = True
        for each in senders:
            each.join()
        assert [error for each in senders for error in each.failed] == []
        sent = {to for each in senders for to in each.sent}

        def arrived() -> bool:
            found = daemons[0].statuses()
            return all(found.get(to) == "relayed" for to in sent)

        eventually(arrived, "all of it arrives", within=60)
        rows = daemons[2].run("status", "--json", "--limit", "0").rows
        assert {row["client_ip"] for row in rows} == {CLIENT}


def _greets(port: int) -> bool:
    try:
        with smtplib.SMTP("127.0.0.1", port, timeout=5, source_address=(CLIENT, 0)):
            return True
    except (OSError, smtplib.SMTPException):
        return False
