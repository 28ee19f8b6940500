"""Settings that the console changes, at a real daemon."""

from collections.abc import Iterator
from contextlib import closing

import pytest

from relayd.control import client
from relayd.control.set_keys import set_to_json
from relayd.errors import RelaydError
from relayd.settings import HostPort
from relayd.sockets import listen_tcp
from tests.support.daemon import Daemon, a_daemon, a_smarthost

NAME = "relay.firm-of-ours.com"


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    folder = tmp_path_factory.mktemp("settings")
    with a_smarthost() as smarthost, a_daemon(folder, smarthost.port, workers=1) as daemon:
        yield daemon


def running(daemon: Daemon, name: str) -> str:
    return client.running_settings(str(daemon.folder / "control.sock")).values[name]


def test_what_the_daemon_refuses_is_put_back(daemon: Daemon) -> None:
    socket, was = str(daemon.folder / "control.sock"), running(daemon, "fqdn").strip('"')
    text = daemon.file.read_text()
    with closing(listen_tcp(HostPort(host="127.0.0.1", port=0))[0]) as taken:
        host, port = taken.getsockname()
        daemon.file.write_text(f'{text}\n[[listen]]\naddress = "{host}:{port}"\n')
        with pytest.raises(RelaydError, match=str(port)):
            client.ask(socket, set_to_json({"fqdn": (NAME, was)}), timeout=60)
    daemon.file.write_text(text)
    assert daemon.run("config", "get", "fqdn").out.strip() == was


def test_the_daemon_runs_with_what_is_set(daemon: Daemon) -> None:
    socket = str(daemon.folder / "control.sock")
    fqdn = running(daemon, "fqdn").strip('"')
    client.ask(socket, set_to_json({"fqdn": (NAME, fqdn)}), timeout=60)
    assert running(daemon, "fqdn") == f'"{NAME}"'
    [row] = daemon.run("config", "get", "fqdn", "--json").rows
    assert (row["value"], row["from"]) == (NAME, "console")
    with pytest.raises(RelaydError, match="somebody else was faster"):
        client.ask(socket, set_to_json({"fqdn": ("x.firm-of-ours.com", fqdn)}), timeout=60)
    client.ask(socket, set_to_json({"fqdn": (fqdn, NAME)}), timeout=60)
    assert running(daemon, "fqdn") == f'"{fqdn}"'
