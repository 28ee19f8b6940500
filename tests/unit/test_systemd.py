"""What systemd passes is taken once; what it hears never disturbs us."""

import os
import socket
import time
from pathlib import Path

import pytest

from relayd.errors import StartError
from relayd.systemd import Notifier, inherited_sockets, watchdog_period

OWN = str(os.getpid())
OTHER = str(os.getppid())


@pytest.mark.parametrize("abstract", [False, True], ids=["file", "abstract"])
def test_assignments_come_in_one_datagram(tmp_path: Path, *, abstract: bool) -> None:
    name = f"@relayd-test-{OWN}" if abstract else str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind("\0" + name[1:] if abstract else name)
        manager.settimeout(5)
        environment = {"NOTIFY_SOCKET": name}
        notifier = Notifier(environment)
        notifier.send("READY=1", "STATUS=fine")
        assert manager.recv(100) == b"READY=1\nSTATUS=fine"
        notifier.reloading()
        state, _, instant = manager.recv(100).decode().partition("\n")
    assert environment == {}
    assert state == "RELOADING=1"
    assert abs(int(instant.removeprefix("MONOTONIC_USEC=")) / 1e6 - time.monotonic()) < 60


def test_more_time_is_asked_for_in_microseconds(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.settimeout(5)
        Notifier({"NOTIFY_SOCKET": str(tmp_path / "notify")}).upgrading(within=60.0)
        assert manager.recv(200).startswith(b"EXTEND_TIMEOUT_USEC=60000000\nSTATUS=")


@pytest.mark.parametrize("address", ["", "/nowhere/notify", "relative"])
def test_nobody_to_tell_is_no_error(address: str) -> None:
    Notifier({"NOTIFY_SOCKET": address}).send("READY=1")


def test_a_service_manager_that_does_not_read_blocks_nothing(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        notifier = Notifier({"NOTIFY_SOCKET": str(tmp_path / "notify")})
        for _ in range(2000):
            notifier.send("WATCHDOG=1")


@pytest.mark.parametrize(
    ("environment", "seconds"),
    [
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": OWN}, 30.0),
        ({"WATCHDOG_USEC": "500000"}, 0.5),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": OTHER}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
        ({}, None),
    ],
)
def test_the_watchdog_is_for_the_process_it_names(
    environment: dict[str, str], seconds: float | None
) -> None:
    assert watchdog_period(environment) == seconds
    assert environment == {}


def descriptors(*names: str) -> tuple[int, list[int]]:
    """Return the first of a run of free descriptor numbers, and the run."""
    first = 200
    return first, list(range(first, first + len(names)))


def test_sockets_are_found_by_name() -> None:
    """One socket unit with two addresses gives both the same name."""
    first, run = descriptors("mail", "other", "mail")
    for descriptor in run:
        with socket.create_server(("127.0.0.1", 0)) as passed:
            os.dup2(passed.fileno(), descriptor)
    environment = {"LISTEN_PID": OWN, "LISTEN_FDS": "3", "LISTEN_FDNAMES": "mail:other:mail"}
    found = inherited_sockets(environment, first=first)
    assert {name: [each.fileno() for each in them] for name, them in found.items()} == {
        "mail": [200, 202],
        "other": [201],
    }
    assert environment == {}
    for each in [*found["mail"], *found["other"]]:
        assert not os.get_inheritable(each.fileno())
        each.close()


@pytest.mark.parametrize(
    "environment",
    [
        {},
        {"LISTEN_PID": OTHER, "LISTEN_FDS": "1"},
        {"LISTEN_PID": OWN, "LISTEN_FDS": "many"},
        {"LISTEN_FDS": "1"},
    ],
)
def test_sockets_of_another_process_are_not_ours(environment: dict[str, str]) -> None:
    assert inherited_sockets(environment, first=200) == {}
    assert environment == {}


def test_a_socket_without_a_name_is_unknown() -> None:
    first, (descriptor,) = descriptors("")
    with socket.create_server(("127.0.0.1", 0)) as passed:
        os.dup2(passed.fileno(), descriptor)
    found = inherited_sockets({"LISTEN_PID": OWN, "LISTEN_FDS": "1"}, first=first)
    found.pop("unknown")[0].close()
    assert found == {}


def test_a_datagram_socket_is_refused() -> None:
    first, (descriptor,) = descriptors("mail")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as passed:
        os.dup2(passed.fileno(), descriptor)
    environment = {"LISTEN_PID": OWN, "LISTEN_FDS": "1", "LISTEN_FDNAMES": "mail"}
    with pytest.raises(StartError, match="ListenStream="):
        inherited_sockets(environment, first=first)


def test_a_descriptor_that_is_no_socket_is_refused(tmp_path: Path) -> None:
    first, (descriptor,) = descriptors("mail")
    with (tmp_path / "file").open("w") as passed:
        os.dup2(passed.fileno(), descriptor)
    try:
        with pytest.raises(StartError, match="is no socket"):
            inherited_sockets({"LISTEN_PID": OWN, "LISTEN_FDS": "1"}, first=first)
    finally:
        os.close(descriptor)
