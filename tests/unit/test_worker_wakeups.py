"""Hints between workers: heard by the others, many as one, and no harm where nobody listens."""

import asyncio
import stat
from contextlib import closing
from pathlib import Path

from structlog.testing import capture_logs

from relayd.worker.wakeups import SocketWakeups
from tests.support.receiving import until
from tests.support.shortage import no_descriptors


def test_the_others_hear_it_at_once_and_many_are_two(tmp_path: Path) -> None:
    async def main() -> None:
        heard: list[str] = []
        control = str(tmp_path / "control.sock")
        one, two, three = (
            SocketWakeups(control, name, lambda name=name: heard.append(name))  # type: ignore[misc]
            for name in ("1", "2", "3")
        )
        with closing(one), closing(two):
            for _ in range(50):
                one.give()
            assert one._is_due, "the others wait for the end of the rest"
            await until(lambda: set(heard) == {"2", "3"} and not one._is_resting)
            await asyncio.sleep(0)  # what was told last is heard in the next turn
            assert 2 <= len(heard) <= 4  # who is late hears both at once
            heard.clear()
            three.close()  # with a last hint
            await until(lambda: sorted(heard) == ["1", "2"])
            two.give()
            await until(lambda: heard[2:] == ["1"])

    asyncio.run(main())


def test_who_died_without_a_word_is_in_nobodys_way(tmp_path: Path) -> None:
    """Its socket stays; the next of its name takes the place."""

    async def main() -> None:
        heard: list[str] = []
        control = str(tmp_path / "control.sock")
        with closing(SocketWakeups(control, "1", lambda: None)) as one:
            dead = SocketWakeups(control, "2", lambda: None)
            assert dead._socket is not None
            asyncio.get_running_loop().remove_reader(dead._socket)
            dead._socket.close()
            one.give()
            with closing(SocketWakeups(control, "2", lambda: heard.append("2"))):
                one.give()
                await until(lambda: heard == ["2"])

    asyncio.run(main())


def test_without_a_place_a_worker_is_deaf(tmp_path: Path) -> None:
    async def main() -> None:
        with capture_logs() as logs:
            deaf = SocketWakeups(str(tmp_path / "gone" / "control.sock"), "1", lambda: None)
        assert [line["event"] for line in logs] == ["wakeups_off"]
        assert not deaf.are_heard, "looks at the store are not rare then"
        deaf.give()
        deaf.close()

    asyncio.run(main())


def test_nobody_else_may_give_hints(tmp_path: Path) -> None:
    async def main() -> None:
        with closing(SocketWakeups(str(tmp_path / "control.sock"), "1", lambda: None)):
            mode = (tmp_path / "control.sock.wake").stat().st_mode
            assert stat.S_IMODE(mode) == 0o700

    asyncio.run(main())


def test_without_a_descriptor_a_worker_is_deaf_and_dumb(tmp_path: Path) -> None:
    async def main() -> None:
        with capture_logs() as logs, no_descriptors():
            deaf = SocketWakeups(str(tmp_path / "control.sock"), "1", lambda: None)
        assert [line["event"] for line in logs] == ["wakeups_off"]
        deaf.give()
        deaf.close()

    asyncio.run(main())
