"""Addresses: bound together or not at all, kept over a reload, cleaned up at the end."""

import asyncio
import errno
import os
import socket
import stat
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from relayd.errors import AddressInUse, StartError
from relayd.settings import HostPort, Settings
from relayd.sockets import BACKLOG, bind_tcp, listen_tcp
from relayd.supervisor import sockets
from relayd.supervisor.sockets import Addresses
from tests.support.ports import free_port
from tests.support.supervised import settings_of


def has_ipv6() -> bool:
    try:
        with socket.create_server(("::1", 0), family=socket.AF_INET6):
            return True
    except OSError:
        return False


needs_ipv6 = pytest.mark.skipif(not has_ipv6(), reason="this machine has no IPv6")


@pytest.fixture
def addresses() -> Iterator[Addresses]:
    with closing(Addresses({})) as made:
        yield made


def settings_in(directory: Path, *listen: str) -> Settings:
    control = str(directory / "run" / "control.sock")
    return settings_of(list(listen), control=control, queue=str(directory / "queue.db"))


def permissions(path: Path) -> int:
    return stat.S_IMODE(path.lstat().st_mode)


async def test_what_asyncio_accepts_on_tcp_is_sent_at_once() -> None:
    """Else the second part of an answer waits up to 40 ms for the acknowledgement of the first."""
    accepted: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    async def look(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = writer.get_extra_info("socket")
        accepted.set_result(connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
        writer.close()

    [listening] = listen_tcp(HostPort(host="127.0.0.1", port=0))
    async with await asyncio.start_server(look, sock=listening):
        _, writer = await asyncio.open_connection(*listening.getsockname())
        assert await accepted
        writer.close()


@pytest.mark.parametrize(
    "host", ["127.0.0.1", pytest.param("[::1]", marks=needs_ipv6), "localhost"]
)
def test_tcp_addresses_listen_without_blocking(
    addresses: Addresses, tmp_path: Path, host: str
) -> None:
    settings = settings_in(tmp_path, f"{host}:0")
    addresses.open(settings)
    found = addresses.listeners(settings)
    assert found
    for listener, each in found:
        assert listener is settings.listeners[0]
        assert each.gettimeout() == 0
        with socket.create_connection(each.getsockname()[:2]):
            pass


@needs_ipv6
def test_ipv6_sockets_leave_ipv4_alone(addresses: Addresses, tmp_path: Path) -> None:
    settings = settings_in(tmp_path, "[::]:0")
    addresses.open(settings)
    ((_, bound),) = addresses.listeners(settings)
    assert bound.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY) == 1


def test_unix_sockets_have_their_modes_whatever_the_umask(
    addresses: Addresses, tmp_path: Path
) -> None:
    """The control socket is for user and group, a listener for every local user."""
    path = tmp_path / "apps.sock"
    settings = settings_in(tmp_path, f"unix:{path}")
    mask = os.umask(0o077)
    try:
        addresses.open(settings)
    finally:
        os.umask(mask)
    assert permissions(path) == 0o666
    assert permissions(Path(settings.control_socket)) == 0o660
    assert permissions(tmp_path / "run") == 0o755
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(settings.control_socket)
    addresses.close()
    assert not path.exists()
    assert not Path(settings.control_socket).exists()


def test_a_listener_may_stand_beside_the_control_socket(
    addresses: Addresses, tmp_path: Path
) -> None:
    """Where `relayd sendmail` looks for it: the directory is made first, also without systemd."""
    addresses.open(settings_in(tmp_path, f"unix:{tmp_path}/run/smtp.sock"))
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(tmp_path / "run" / "smtp.sock"))


def test_an_abandoned_unix_socket_is_replaced(addresses: Addresses, tmp_path: Path) -> None:
    path = tmp_path / "apps.sock"
    with socket.socket(socket.AF_UNIX) as old:
        old.bind(str(path))
    settings = settings_in(tmp_path, f"unix:{path}")
    addresses.open(settings)
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(path))
    assert sorted(each.name for each in tmp_path.iterdir()) == ["apps.sock", "run"]


@pytest.mark.parametrize("busy", [False, True], ids=["answering", "with a full backlog"])
def test_a_unix_socket_in_use_is_left_alone(
    addresses: Addresses, tmp_path: Path, *, busy: bool
) -> None:
    path = tmp_path / "apps.sock"
    with socket.socket(socket.AF_UNIX) as old, socket.socket(socket.AF_UNIX) as client:
        old.bind(str(path))
        old.listen(0)
        if busy:
            client.connect(str(path))
        before = path.lstat()
        with pytest.raises(StartError, match="another program listens there"):
            addresses.open(settings_in(tmp_path, f"unix:{path}"))
        assert os.path.samestat(before, path.lstat())


def test_a_file_in_the_way_is_left_alone(addresses: Addresses, tmp_path: Path) -> None:
    path = tmp_path / "apps.sock"
    path.write_text("precious")
    with pytest.raises(StartError, match="no socket is in the way"):
        addresses.open(settings_in(tmp_path, f"unix:{path}"))
    assert path.read_text() == "precious"


def test_a_file_that_is_not_ours_any_more_is_not_removed(
    addresses: Addresses, tmp_path: Path
) -> None:
    path = tmp_path / "apps.sock"
    addresses.open(settings_in(tmp_path, f"unix:{path}"))
    path.unlink()
    path.write_text("precious")
    addresses.close()
    assert path.read_text() == "precious"


@pytest.mark.parametrize(
    ("before", "after"),
    [("127.0.0.1", "0.0.0.0"), ("0.0.0.0", "127.0.0.1"), ("localhost", "127.0.0.1")],
)
def test_an_address_that_we_have_ourselves_is_said_to_be_ours(
    addresses: Addresses, tmp_path: Path, before: str, after: str
) -> None:
    """Whoever shares the port for a moment takes clients of the service that runs, so nobody does."""
    port = free_port()
    first, second = (settings_in(tmp_path, f"{each}:{port}") for each in (before, after))
    addresses.open(first)
    with pytest.raises(StartError) as caught:
        addresses.open(second)
    assert not isinstance(caught.value, AddressInUse)
    assert str(caught.value) == (
        f"cannot listen on {after}:{port}: relayd itself listens on {before}:{port}, and lets go of it"
        " only when it stops; stop relayd, change the settings, and start it"
    )
    addresses.close()
    addresses.open(second)


@pytest.mark.parametrize("ours", ["127.0.0.1", "[::1]"])
def test_what_is_in_the_way_of_none_of_ours_is_another_program(
    addresses: Addresses, tmp_path: Path, ours: str
) -> None:
    """The same port of another address is none of ours: workers that leave may have it, so it is waited for."""
    if ours == "[::1]" and not has_ipv6():
        pytest.skip("this machine has no IPv6")
    port = free_port()
    addresses.open(settings_in(tmp_path, f"{ours}:{port}"))
    with socket.create_server(("127.0.0.2", port)), pytest.raises(AddressInUse):
        addresses.open(settings_in(tmp_path, f"{ours}:{port}", f"127.0.0.2:{port}"))


def test_two_addresses_that_cannot_be_both_are_named(addresses: Addresses, tmp_path: Path) -> None:
    port = free_port()
    with pytest.raises(StartError, match=r"these settings have 127\.0\.0\.1:\d+ as well"):
        addresses.open(settings_in(tmp_path, f"127.0.0.1:{port}", f"0.0.0.0:{port}"))
    addresses.open(settings_in(tmp_path, f"127.0.0.1:{port}", f"127.0.0.2:{port}"))


def test_one_that_is_not_ours_is_in_the_way(addresses: Addresses, tmp_path: Path) -> None:
    port = free_port()
    with socket.create_server(("127.0.0.2", port)), pytest.raises(AddressInUse) as caught:
        addresses.open(settings_in(tmp_path, f"0.0.0.0:{port}"))
    assert caught.value.address == f"0.0.0.0:{port}"


def test_nobody_connects_to_an_address_that_is_given_up_again(
    addresses: Addresses, tmp_path: Path
) -> None:
    """All are taken before clients can come to any: a client would wait, and then be reset."""
    seen = []

    def knock(endpoint: HostPort) -> tuple[socket.socket, ...]:
        with socket.socket() as client:
            seen.append(client.connect_ex(("127.0.0.1", first)))
        return bind_tcp(endpoint)

    first, second = free_port(), free_port()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sockets, "bind_tcp", knock)
        addresses.open(settings_in(tmp_path, f"127.0.0.1:{first}", f"127.0.0.1:{second}"))
    assert seen == [errno.ECONNREFUSED] * 2
    socket.create_connection(("127.0.0.1", first)).close()


def test_one_failure_undoes_all(addresses: Addresses, tmp_path: Path) -> None:
    path = tmp_path / "apps.sock"
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        settings = settings_in(tmp_path, f"unix:{path}", f"127.0.0.1:{port}")
        with pytest.raises(StartError) as caught:
            addresses.open(settings)
    assert str(caught.value).startswith(
        f"cannot listen on 127.0.0.1:{port}: Address already in use; "
    )
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("address", "says"),
    [
        pytest.param("192.0.2.1:0", "does not have that address", id="foreign address"),
        pytest.param("systemd:mail", "FileDescriptorName=mail", id="no such systemd socket"),
        pytest.param("unix:/nowhere/apps.sock", os.strerror(errno.ENOENT), id="no directory"),
        pytest.param("unix:/tmp/" + "a" * 107, "path too long", id="long path"),
    ],
)
def test_refusals_name_address_and_reason(
    addresses: Addresses, tmp_path: Path, address: str, says: str
) -> None:
    with pytest.raises(StartError) as caught:
        addresses.open(settings_in(tmp_path, address))
    assert address in str(caught.value)
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_directory_is_made_only_under_an_existing_one(
    addresses: Addresses, tmp_path: Path
) -> None:
    settings = settings_in(tmp_path / "missing")
    with pytest.raises(StartError, match="create it and give it to the user"):
        addresses.open(settings)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("how", ["deleted", "replaced", "with its directory"])
def test_a_socket_whose_file_is_lost_is_made_anew(
    addresses: Addresses, tmp_path: Path, how: str
) -> None:
    """Who has connected stays connected; all others find the new one."""
    (tmp_path / "run").mkdir()
    path = tmp_path / "run" / "apps.sock"
    settings = settings_in(tmp_path, f"unix:{path}")
    addresses.open(settings)
    assert addresses.lost() == []
    ((_, old),) = addresses.listeners(settings)
    with socket.socket(socket.AF_UNIX) as early, socket.socket(socket.AF_UNIX) as late:
        early.connect(str(path))
        inside, _ = old.accept()
        path.unlink()
        if how == "replaced":
            with socket.socket(socket.AF_UNIX) as other:
                other.bind(str(path))
        if how == "with its directory":
            Path(settings.control_socket).unlink()
            Path(settings.console_smtp).unlink()
            path.parent.rmdir()
        assert f"unix:{path}" in addresses.lost()
        addresses.open(settings)
        assert addresses.lost() == []
        ((_, fresh),) = addresses.listeners(settings)
        assert fresh is not old
        assert old.fileno() == -1
        late.connect(str(path))
        with inside:
            inside.sendall(b"220 ")
            assert early.recv(4) == b"220 "


def test_a_socket_that_cannot_be_made_anew_is_kept(addresses: Addresses, tmp_path: Path) -> None:
    path = tmp_path / "apps.sock"
    settings = settings_in(tmp_path, f"unix:{path}")
    addresses.open(settings)
    path.unlink()
    path.write_text("precious")
    with pytest.raises(StartError, match="no socket is in the way"):
        addresses.open(settings)
    assert addresses.lost() == [f"unix:{path}"]
    ((_, old),) = addresses.listeners(settings)
    assert old.fileno() >= 0
    assert path.read_text() == "precious"


def test_a_reload_keeps_sockets_and_closes_the_rest(addresses: Addresses, tmp_path: Path) -> None:
    kept, dropped, added = (f"unix:{tmp_path / name}.sock" for name in ("kept", "dropped", "added"))
    old, new = settings_in(tmp_path, kept, dropped), settings_in(tmp_path, kept, added)
    addresses.open(old)
    before = addresses.listeners(old)[0][1]
    addresses.open(new)
    addresses.close(but=new)
    assert addresses.listeners(new)[0][1] is before
    assert sorted(each.name for each in tmp_path.glob("*.sock")) == ["added.sock", "kept.sock"]


def test_metrics_have_a_socket_of_their_own(addresses: Addresses, tmp_path: Path) -> None:
    """Bound with the others, kept over a reload, and closed when nobody is to scrape any more."""
    without = settings_in(tmp_path)
    watched = replace(without, metrics=HostPort(host="127.0.0.1", port=0))
    addresses.open(without)
    assert addresses.metrics(without) == ()
    addresses.open(watched)
    (bound,) = addresses.metrics(watched)
    with socket.create_connection(bound.getsockname()):
        pass
    addresses.open(watched)
    addresses.close(but=watched)
    assert addresses.metrics(watched) == (bound,)
    addresses.close(but=without)
    assert bound.fileno() == -1


def test_the_console_has_a_listener_beside_the_control_socket(
    addresses: Addresses, tmp_path: Path
) -> None:
    """For the daemon's user and group, kept over a reload, and gone with the last worker."""
    settings = settings_in(tmp_path)
    addresses.open(settings)
    listener, bound = addresses.console(settings)
    path = tmp_path / "run" / "console.smtp"
    assert (listener.address, listener.is_console) == (f"unix:{path}", True)
    assert permissions(path) == permissions(Path(settings.control_socket)) == 0o660
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(path))
    addresses.open(settings)
    addresses.close(but=settings)
    assert addresses.console(settings)[1] is bound
    addresses.close()
    assert not path.exists()


def test_two_daemons_may_have_their_control_sockets_in_one_folder(tmp_path: Path) -> None:
    one, two = settings_in(tmp_path), settings_in(tmp_path)
    two = replace(two, control_socket=str(tmp_path / "run" / "two.sock"))
    assert two.console_smtp == str(tmp_path / "run" / "two.sock.smtp")
    with closing(Addresses({})) as first, closing(Addresses({})) as second:
        first.open(one)
        second.open(two)


def test_a_worker_forgets_without_removing_files(addresses: Addresses, tmp_path: Path) -> None:
    path = tmp_path / "apps.sock"
    settings = settings_in(tmp_path, f"unix:{path}")
    addresses.open(settings)
    ((_, bound),) = addresses.listeners(settings)
    addresses.forget(but=settings_in(tmp_path))
    assert bound.fileno() == -1
    assert path.exists()


def test_inherited_sockets_serve_their_listener(tmp_path: Path) -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as one,
        socket.create_server(("127.0.0.1", 0)) as two,
    ):
        with closing(Addresses({"mail": (one, two), "spare": ()})) as addresses:
            settings = settings_in(tmp_path, "systemd:mail")
            addresses.open(settings)
            assert [each for _, each in addresses.listeners(settings)] == [one, two]
            assert addresses.unused(settings) == ["systemd:spare"]
        assert one.fileno() >= 0


def test_the_backlog_holds_a_burst(addresses: Addresses, tmp_path: Path) -> None:
    """Connections wait in the kernel while all workers are busy."""
    settings = settings_in(tmp_path, "127.0.0.1:0")
    addresses.open(settings)
    ((_, bound),) = addresses.listeners(settings)
    waiting = [socket.create_connection(bound.getsockname(), timeout=1) for _ in range(200)]
    for each in waiting:
        each.close()
    assert len(waiting) < BACKLOG
