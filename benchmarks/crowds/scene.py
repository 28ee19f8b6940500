"""One measurement: a relay, what is bad around it, and a good client beside that.

All of it runs in a network namespace of its own, in which the name servers of `far_side` and a good mail host listen.
"""

import asyncio
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from benchmarks import direct
from benchmarks.crowds.far_side import GOOD, GOOD_HOSTS
from benchmarks.crowds.good import GOAL_MB, GOAL_MS, Good, Memory
from benchmarks.mail import Arrivals, free_port
from benchmarks.peers import Postfix, Relay, Relayd

INSIDE = "RELAYD_BENCH_IN_NAMESPACE"
WARM_UP = 20  # messages


@dataclass(frozen=True, kw_only=True)
class Scene:
    """What a situation does with one relay."""

    said: str  # what is bad
    act: Callable[["Stage"], Awaitable[dict]]  # does it, and returns what it counted
    limits: str = ""  # of relayd, as tables
    direct: str = ""  # lines of its table [direct]
    name_servers: tuple[str, ...] = ("127.0.0.1",)
    has_peer: bool = True
    size: int = 0  # MB of a file system of its own for the queue; 0: where all is
    before: Callable[[Path], object] | None = None  # furnishes the folder of the relay


@dataclass
class Stage:
    """A relay that runs, and a good client."""

    relay: Relay
    good: Good
    memory: Memory
    far_side: subprocess.Popen
    folder: Path


class DirectRelayd(Relayd):
    name_servers: tuple[str, ...] = ()
    direct = ""

    def start(self) -> None:
        self.top = "use_remote_smtp = true"
        listed = '", "'.join(self.name_servers)
        tables = direct.settings(25, listed).replace("[direct]", f"[direct]\n{self.direct}", 1)
        self.more = f"{self.more}\n{tables}"
        super().start()


class DirectPostfix(Postfix):
    def settings(self) -> dict[str, object]:
        return {"myhostname": "relay.bench.test", "mynetworks": "127.0.0.0/8", "relayhost": ""}


def enter_namespace() -> None:
    """Run this program anew in a namespace of its own, if it does not yet."""
    if INSIDE not in os.environ:
        for tool in ("unshare", "ip"):
            if shutil.which(tool) is None:
                raise SystemExit(f"{tool} is missing: apt-get install util-linux iproute2")
        if os.geteuid():
            raise SystemExit("a network namespace takes root")
        command = ["unshare", "--net", "--mount", sys.executable, *sys.argv]
        os.execvpe(command[0], command, {**os.environ, INSIDE: "yes"})
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)


def measure(scene: Scene, relays: list[type[Relay]]) -> dict:
    """Return the figures of each relay."""
    results = {}
    for kind in relays:
        if kind is DirectPostfix and not scene.has_peer:
            continue
        print(f"{scene.said}: {kind.name}", file=sys.stderr)
        results[kind.name] = _measure(scene, kind)
    return results


def _measure(scene: Scene, kind: type[Relay]) -> dict:
    with tempfile.TemporaryDirectory(prefix="relayd-bench-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        with _asking(scene.name_servers, folder), _disk(folder / "disk", scene.size) as disk:
            relay = kind(disk / kind.name, port=free_port(), sink=25)
            if isinstance(relay, DirectRelayd):
                relay.name_servers = scene.name_servers
                relay.more, relay.direct = scene.limits, scene.direct
                if scene.before is not None:
                    relay.folder.mkdir()
                    scene.before(relay.folder)
            with _far_side() as far_side:
                relay.start()
                try:
                    return asyncio.run(_act(scene, relay, far_side, disk))
                finally:
                    relay.stop()


async def _act(scene: Scene, relay: Relay, far_side: subprocess.Popen, disk: Path) -> dict:
    async with Arrivals(host=GOOD_HOSTS, port=25, shares_port=True) as sink:
        warm = Good(relay, sink, direct=False)
        warm.next = -WARM_UP
        await warm.submit(seconds=WARM_UP / 20, rate=20, to=f"kim@{GOOD}")
        await sink.all_of(list(warm.accepted), within=20)
        memory = Memory(relay)
        stage = Stage(relay, Good(relay, sink, direct=True), memory, far_side, disk)
        async with asyncio.TaskGroup() as group:
            watching = group.create_task(memory.watch())
            counted = await scene.act(stage)
            figures = await stage.good.figures()
            watching.cancel()
    judged = _judged(figures, memory.most_mb)
    return figures | {"memory_mb": memory.most_mb, "counted": counted} | judged


def _judged(figures: dict, memory_mb: int) -> dict:
    """Say which of the goals are missed."""
    missed = [
        what
        for what in ("accepted", "delivered", "delivered, new domains")
        if figures[what].get("p99", 0) >= GOAL_MS
    ]
    missed += ["memory"] * (memory_mb >= GOAL_MB)
    return {"missed": missed}


@contextmanager
def _far_side() -> Iterator[subprocess.Popen]:
    process = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.crowds.far_side"], stdout=subprocess.PIPE
    )
    try:
        assert process.stdout is not None
        if process.stdout.readline() != b"ready\n":
            raise SystemExit("the other side does not start")
        yield process
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()


@contextmanager
def _asking(name_servers: tuple[str, ...], folder: Path) -> Iterator[None]:
    """Have programs of this namespace ask these name servers."""
    (folder / "resolv.conf").write_text("".join(f"nameserver {each}\n" for each in name_servers))
    real = Path("/etc/resolv.conf").resolve()
    subprocess.run(["mount", "--bind", folder / "resolv.conf", real], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", real], check=True)


@contextmanager
def _disk(place: Path, megabytes: int) -> Iterator[Path]:
    """A folder, on a file system of its own if it is to have a size."""
    place.mkdir()
    if not megabytes:
        yield place
        return
    size = f"size={megabytes}m,mode=755"
    subprocess.run(["mount", "-t", "tmpfs", "-o", size, "tmpfs", place], check=True)
    try:
        yield place
    finally:
        with suppress(subprocess.CalledProcessError):
            subprocess.run(["umount", "--lazy", place], check=True)
