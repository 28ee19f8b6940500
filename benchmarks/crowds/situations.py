"""The situations of `benchmarks/crowd`: what is bad, for how long, and what is counted of it."""

import asyncio
import os
import shutil
import signal
import time
from argparse import Namespace
from collections.abc import Callable
from functools import partial
from pathlib import Path

from benchmarks.crowds import clients, long_queue
from benchmarks.crowds.far_side import ALIVE, DEAD, FAMILY, SLOW, UNSERVED
from benchmarks.crowds.good import bulk
from benchmarks.crowds.scene import Scene, Stage

_RATE = 10.0  # messages of the good client in a second
_FULL = 0.99  # of a disk
_PIECE = 1 << 20


async def _beside(
    stage: Stage, recipients: list[str], rate: float, *, size: int, more: float
) -> dict:
    """Have somebody submit to the bad ones, and the good client meanwhile and for some seconds more."""
    seconds = len(recipients) / rate + more
    taken, _ = await asyncio.gather(
        bulk(stage.relay.port, recipients, rate=rate, size=size),
        stage.good.submit(seconds=seconds, rate=_RATE),
    )
    return {"of the others taken": taken}


def _clients(arguments: Namespace, *, raised: bool) -> Scene:
    limit = arguments.idle + 1000

    async def act(stage: Stage) -> dict:
        return await clients.beside(
            stage.relay, stage.good, idle=arguments.idle, seconds=arguments.seconds
        )

    limits = f"[limits]\nconnections = {limit}\nconnections_per_client = {limit}"
    return Scene(
        said=f"{arguments.idle} idle clients, {clients.EACH} each that drip, push, flood"
        + (", limits raised" if raised else ""),
        act=act,
        limits=limits if raised else "",
        has_peer=not raised,
    )


def _slow_readers(_: Namespace) -> Scene:
    to = [f"kim@slow{number % SLOW}.test" for number in range(20 * SLOW)]
    return Scene(
        said=f"{SLOW} hosts that read an octet a second, 20 messages of 64 KiB for each",
        act=partial(_beside, recipients=to, rate=100, size=65536, more=20),
    )


def _dead_destinations(_: Namespace) -> Scene:
    to = []
    for number in range(DEAD):
        to += [f"kim@d{2 * number}.test", f"kim@silent{number}.test"]
        to += [f"kim@d{2 * number + 1}.test", f"kim@refuses{number}.test"]
    assert len(to) == ALIVE + 2 * DEAD
    return Scene(
        said=f"{len(to)} domains, {DEAD} of silent hosts, {DEAD} of one that refuses",
        act=partial(_beside, recipients=to, rate=200, size=2000, more=10),
    )


def _slow_site(_: Namespace) -> Scene:
    to = [f"kim@family{number % FAMILY}.test" for number in range(2 * FAMILY)]
    return Scene(
        said=f"{FAMILY} domains of one host that answers late, one connection to it",
        act=partial(_beside, recipients=to, rate=200, size=2000, more=30),
        direct="connections_per_destination = 1",
    )


def _long_queue(arguments: Namespace) -> Scene:
    async def act(stage: Stage) -> dict:
        await stage.good.submit(seconds=arguments.seconds, rate=_RATE)
        return {}

    def furnish(folder: Path) -> None:
        if arguments.furnished:
            shutil.copyfile(arguments.furnished, folder / "queue.db")
            os.sync()  # lest it is written while we measure
        else:
            long_queue.furnish(folder / "queue.db", arguments.queued)

    return Scene(
        said=f"{arguments.queued:,} messages wait, all due, for {long_queue.DOMAINS} domains",
        act=act,
        has_peer=False,
        before=furnish,
    )


def _full_disk(_: Namespace) -> Scene:
    async def act(stage: Stage) -> dict:
        await stage.good.submit(seconds=5, rate=_RATE)
        ballast = stage.folder / "ballast"
        # In a thread: the good client and its mail host go on meanwhile.
        await asyncio.to_thread(_fill, ballast)
        await asyncio.sleep(1)
        before = stage.good.refused
        await stage.good.submit(seconds=20, rate=_RATE)
        refused = stage.good.refused - before
        ballast.unlink()
        freed, taken = time.monotonic(), len(stage.good.accepted)
        while len(stage.good.accepted) == taken and time.monotonic() < freed + 20:
            await stage.good.submit(seconds=0.1, rate=_RATE)
        again = time.monotonic() - freed
        await stage.good.submit(seconds=5, rate=_RATE)
        return {"refused while it is full": refused, "taken again after s": round(again, 1)}

    return Scene(said="a disk of which 99 % are used", act=act, size=512)


def _fill(ballast: Path) -> None:
    with ballast.open("wb") as file:
        while _used(ballast.parent) < _FULL:
            file.write(b"x" * _PIECE)
            file.flush()


def _used(folder: Path) -> float:
    disk = os.statvfs(folder)
    return 1 - disk.f_bavail / disk.f_blocks


def _silent_server(_: Namespace) -> Scene:
    async def act(stage: Stage) -> dict:
        await stage.good.submit(seconds=30, rate=_RATE)
        return {}

    return Scene(
        said="two name servers, of which the first one is silent",
        act=act,
        name_servers=("127.0.0.2", "127.0.0.1"),
    )


def _unserved_domains(_: Namespace) -> Scene:
    to = [f"kim@unserved{number}.test" for number in range(UNSERVED)]
    return Scene(
        said=f"{UNSERVED} domains of which the name server says nothing",
        act=partial(_beside, recipients=to, rate=100, size=2000, more=20),
    )


def _no_answers(_: Namespace) -> Scene:
    async def act(stage: Stage) -> dict:
        stage.far_side.send_signal(signal.SIGUSR1)
        to = [f"kim@d{number}.test" for number in range(1000)]
        good = stage.good
        taken, _ = await asyncio.gather(
            bulk(stage.relay.port, to, rate=50),
            good.submit(seconds=30, rate=_RATE, to="kim@good.test"),
        )
        return {"of the others taken": taken}

    return Scene(said="all name servers have become silent, and the good domain is known", act=act)


SITUATIONS: dict[str, list[Callable[[Namespace], Scene]]] = {
    "clients": [partial(_clients, raised=True), partial(_clients, raised=False)],
    "readers": [_slow_readers],
    "destinations": [_dead_destinations],
    "site": [_slow_site],
    "queue": [_long_queue],
    "disk": [_full_disk],
    "dns": [_silent_server, _unserved_domains, _no_answers],
}
