"""Strangers in a crowd: what they may hold, who gives way, and that who may relay is served."""

import asyncio
import os
import tempfile
from base64 import b64encode
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from relayd.policy.intake import places, rate
from relayd.receiver import admission
from relayd.settings import ListenerAuth
from tests.support.receiving import (
    CONTENT,
    Options,
    Reception,
    WireClient,
    in_data,
    on_every_loop,
    receiving,
    run_on,
    send_message,
    until,
)

STRANGERS = Options(connections=4, networks=("127.0.0.1/32",), auth=ListenerAuth.OPTIONAL)
IDLE = "421 4.7.0 Idle, and others need the room"
CROWDED = "421 4.7.0 Too many connections, try again later"


async def strangers(reception: Reception, *numbers: int) -> list[WireClient]:
    """Clients of other addresses that have been greeted; three have all the places of strangers."""
    clients = []
    for number in numbers or (1, 2, 3):
        client = await reception.connect(source=f"127.0.1.{number}")
        assert (await client.line()).startswith("220 ")
        clients.append(client)
    return clients


@on_every_loop
def test_strangers_leave_places_to_who_may_relay(loop: str) -> None:
    async def main() -> None:
        async with receiving(STRANGERS) as reception:
            crowd = await strangers(reception)
            good = await reception.greeted()
            assert (await send_message(good)).startswith("250 ")
            await strangers(reception, 9)
            assert await crowd[0].line() == IDLE
            await crowd[0].closed()
            again = await reception.greeted()  # ours come before strangers
            assert await crowd[1].line() == IDLE
            assert (await send_message(again)).startswith("250 ")

    run_on(loop, main())


@on_every_loop
def test_who_logs_in_is_no_stranger_any_more(loop: str) -> None:
    """It leaves its place among the strangers, and none of them can take it from there."""
    options = replace(STRANGERS, networks=())

    async def main() -> None:
        async with receiving(options) as reception:
            crowd = await strangers(reception, 1, 2)
            known = await reception.greeted()
            plain = b64encode(b"\0app\0hunter2").decode()
            assert (await known.ask(f"AUTH PLAIN {plain}")).startswith("235 ")
            assert reception.receiver._admission.places.strangers == 2
            await strangers(reception, *range(3, 9))
            assert await crowd[0].line() == IDLE
            assert (await send_message(known)).startswith("250 ")

    run_on(loop, main())


@on_every_loop
def test_a_message_on_its_way_in_is_not_ended_for_one_that_waits(loop: str) -> None:
    returned = ("MAIL FROM:<>", "RCPT TO:<known@returns.test>")

    async def main() -> None:
        async with receiving(STRANGERS) as reception:
            first, second, third = await strangers(reception)
            for client in (first, second):
                await client.ask("EHLO far.test")
                await in_data(client, *returned)
            await strangers(reception, 8)
            (late,) = await strangers(reception, 9)
            assert await third.line() == IDLE
            await first.send(CONTENT + b".\r\n")
            assert (await first.line()).startswith("250 2.0.0 ")
            await late.ask("EHLO far.test")
            await late.ask(returned[0])
            await in_data(first, *returned)
            await strangers(reception, 10)
            assert await late.line() == IDLE, "none waits, so one that has begun gives way"
            await second.send(CONTENT + b".\r\n")
            assert (await second.line()).startswith("250 2.0.0 ")

    run_on(loop, main())


@on_every_loop
def test_a_commit_under_way_keeps_its_place(loop: str) -> None:
    """S-55: neither yes nor no could be said."""

    async def main() -> None:
        async with receiving(replace(STRANGERS, connections=1)) as reception:
            reception.intake.is_slow = True
            (client,) = await strangers(reception, 1)
            await client.ask("EHLO far.test")
            await in_data(client, "MAIL FROM:<>", "RCPT TO:<known@returns.test>")
            await client.send(CONTENT + b".\r\n")
            await until(lambda: reception.intake.messages)
            for source in ("127.0.0.1", "127.0.1.9"):
                late = await reception.connect(source=source)
                assert await late.line() == CROWDED
            reception.intake.commit()
            assert (await client.line()).startswith("250 2.0.0 ")

    run_on(loop, main())


@on_every_loop
def test_few_strangers_send_at_once(loop: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A-07: their messages take neither the memory nor the disk; who may relay does not wait."""
    monkeypatch.setattr(places, "MOST_SENDING", 1)
    returned = ("MAIL FROM:<>", "RCPT TO:<known@returns.test>")

    async def main() -> None:
        async with receiving(STRANGERS) as reception:
            first, second = await strangers(reception, 1, 2)
            for client in (first, second):
                await client.ask("EHLO far.test")
            await in_data(first, *returned)
            await second.ask(*returned)
            assert (
                await second.ask("DATA") == "451 4.3.2 Too many messages at once, try again later"
            )
            assert (await send_message(await reception.greeted())).startswith("250 ")
            monkeypatch.setattr(places, "_LONG", 0.0)
            assert (await second.ask("DATA")).startswith("354 ")
            assert await first.line() == IDLE
            await second.send(CONTENT + b".\r\n")
            assert (await second.line()).startswith("250 ")

    run_on(loop, main())


@on_every_loop
def test_a_stranger_that_connects_without_end_is_put_off(
    loop: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A-09: by its address; who may relay connects as often as it likes."""
    monkeypatch.setattr(rate, "AT_ONCE", 5)
    options = replace(STRANGERS, proxy_networks=("127.0.0.5/32",))

    async def main() -> None:
        async with receiving(options) as reception:
            lines = []
            for _ in range(7):
                client = await reception.connect(source="127.0.1.1")
                lines.append((await client.line())[:4])
                client.close()
            assert lines == ["220 "] * 5 + ["421 "] * 2
            await strangers(reception, 2)
            for number in range(7):
                (await reception.greeted()).close()
                client = await reception.connect(source="127.0.0.5")
                await client.send(f"PROXY TCP4 192.0.2.{number} 127.0.0.1 1 1\r\n".encode())
                assert (await client.line()).startswith("220 ")
                client.close()
            await until(lambda: reception.receiver.connections == 1)

    run_on(loop, main())


@on_every_loop
def test_behind_xclient_each_client_is_counted_for_itself(
    loop: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As behind PROXY: a busy proxy connects as often as it has clients, which may not without end."""
    monkeypatch.setattr(rate, "AT_ONCE", 3)
    options = replace(STRANGERS, xclient_networks=("127.0.0.6/32",))

    async def main() -> None:
        async with receiving(options) as reception:
            said = []
            for number in (*range(8), 9, 9, 9, 9):
                client = await reception.connect(source="127.0.0.6")
                assert (await client.line()).startswith("220 ")
                await client.ask("EHLO proxy.test")
                said.append((await client.ask(f"XCLIENT ADDR=192.0.2.{number}"))[:4])
                client.close()
            assert said == ["220 "] * 11 + ["421 "]

    run_on(loop, main())


@on_every_loop
def test_who_logs_in_may_connect_as_often_as_it_likes(
    loop: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A program that logs in for each of its messages is a stranger for a moment only."""
    monkeypatch.setattr(rate, "AT_ONCE", 2)
    options = replace(STRANGERS, networks=())
    plain = b64encode(b"\0app\0hunter2").decode()

    async def main() -> None:
        async with receiving(options) as reception:
            for _ in range(8):
                client = await reception.greeted()
                assert (await client.ask(f"AUTH PLAIN {plain}")).startswith("235 ")
                client.close()

    run_on(loop, main())


@on_every_loop
def test_a_client_has_no_more_places_behind_a_proxy(loop: str) -> None:
    """By PROXY and by XCLIENT: it is counted when its address is known."""
    options = Options(
        connections_per_client=2,
        proxy_networks=("127.0.0.5/32",),
        xclient_networks=("127.0.0.6/32",),
    )

    async def behind(reception: Reception, source: str, address: str) -> tuple[WireClient, str]:
        client = await reception.connect(source=source)
        if source == "127.0.0.5":
            await client.send(f"PROXY TCP6 {address} ::1 5000 25\r\n".encode())
            return client, await client.line()
        assert (await client.line()).startswith("220 ")
        return client, await client.ask(f"XCLIENT ADDR=IPV6:{address}")

    async def main() -> None:
        async with receiving(options) as reception:
            for source in ("127.0.0.5", "127.0.0.6"):
                network = f"2001:db8:0:{source[-1]}"
                for number in range(2):
                    _, line = await behind(reception, source, f"{network}::{number}")
                    assert line.startswith("220 ")
                client, line = await behind(reception, source, f"{network}:1:2:3:4")
                assert line == CROWDED
                await client.gone()
                _, line = await behind(reception, source, f"2001:db8:1:{source[-1]}::1")
                assert line.startswith("220 ")

    run_on(loop, main())


@on_every_loop
def test_proxies_that_say_nothing_make_way(loop: str) -> None:
    """They are strangers like others, though each is counted by itself."""
    options = replace(STRANGERS, connections_per_client=2, proxy_networks=("127.0.1.0/24",))

    async def main() -> None:
        async with receiving(options) as reception:
            callers = [await reception.connect(source="127.0.1.1") for _ in range(3)]
            await until(lambda: reception.receiver.connections == 3)
            good = await reception.greeted()
            assert (await send_message(good)).startswith("250 ")
            late = await reception.connect(source="127.0.1.1")
            assert await callers[0].gone() == b""
            await late.send(b"PROXY TCP4 192.0.2.7 127.0.0.1 5000 25\r\n")
            assert (await late.line()).startswith("220 ")
            assert reception.receiver.connections == 4

    run_on(loop, main())


@on_every_loop
def test_strangers_that_are_silent_in_a_crowd_are_ended(
    loop: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also when nobody else comes; in calm they have their five minutes."""
    monkeypatch.setattr(places, "_SILENT", 0.05)
    monkeypatch.setattr(admission, "_SWEEP", 0.01)

    async def main() -> None:
        async with receiving(STRANGERS) as reception:
            ours = await reception.greeted()
            first, *_ = await strangers(reception)
            assert await first.line() == IDLE
            await until(lambda: reception.receiver._admission._sweep_at is None)
            assert not reception.receiver._admission.places.is_crowded
            assert (await send_message(ours)).startswith("250 ")

    run_on(loop, main())


@on_every_loop
def test_who_is_sent_away_and_does_not_leave_is_cut_off(
    loop: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A-04: its place is somebody else's, so its connection must not stay for as long as it likes."""
    monkeypatch.setattr("relayd.receiver.listener._MOST_LEAVING", 0)

    async def main() -> None:
        async with receiving(STRANGERS) as reception:
            first, *_ = await strangers(reception)
            await strangers(reception, 9)
            assert await first.gone() in (b"", f"{IDLE}\r\n".encode())

    run_on(loop, main())


@pytest.fixture
def public_folder() -> Iterator[Path]:
    """A directory that every user of this machine may enter."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder)
        path.chmod(0o755)
        yield path


@on_every_loop
def test_users_of_this_machine_are_told_apart(public_folder: Path, loop: str) -> None:
    """By the kernel's word: one of them cannot take the places of the others."""
    path = public_folder / "smtp"

    async def main() -> None:
        async with receiving(Options(connections_per_client=2), unix_path=path) as reception:
            for _ in range(2):
                await reception.greeted()
            late = await reception.connect()
            assert await late.line() == CROWDED
            held_by = reception.receiver._admission.places.held_by
            assert held_by(f"uid {os.getuid()}") == 2
            if os.getuid() == 0:  # nobody else can be another user
                await asyncio.to_thread(path.chmod, 0o666)
                os.seteuid(4321)
                try:
                    await reception.greeted()
                finally:
                    os.seteuid(0)
                assert held_by("uid 4321") == 1

    run_on(loop, main())


@on_every_loop
def test_a_crowd_is_told_of_once(loop: str, capsys: pytest.CaptureFixture[str]) -> None:
    async def main() -> None:
        async with receiving(STRANGERS) as reception:
            await strangers(reception, *range(1, 10))

    run_on(loop, main())
    out = capsys.readouterr().out
    assert out.count("clients_crowded") == 1
    assert "strangers=2 " in out
    assert "most=1 " in out
