"""Where the machines of a cluster are: network namespaces with an address each, or addresses of loopback.

The namespaces hang on a bridge in that of this process, which has to be one of its own: `enter_namespace`. None of them has a
name: each lives as long as a process that ends with this one, so that nothing is left behind, however it ends.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from tests.support.daemon import eventually

_INSIDE = "CLUSTER_IN_NAMESPACE"  # not RELAYD_: that would be a setting
_NOBODY = "02:00:00:00:00:99"  # an address of hardware that is not there
_TOOLS = ("unshare", "nsenter", "setpriv", "ip")


@dataclass(frozen=True, slots=True)
class Place:
    """An address, and the command that runs a program there."""

    address: str
    prefix: tuple[str, ...] = ()


class Places(Protocol):
    """Places by their numbers, from 2 on; `here` is the first."""

    here: Place
    can_cut: bool

    def new(self) -> Place: ...
    def cut(self, one: Place, other: Place) -> None:
        """Have packets between them get lost, without a word to either."""
        ...

    def join(self, one: Place, other: Place) -> None:
        """Undo `cut`."""
        ...


class Loopback:
    """`Places` on this machine, whose network cannot be cut."""

    can_cut = False

    def __init__(self) -> None:
        self.here = Place("127.0.7.1")
        self._last = 1

    def new(self) -> Place:
        self._last += 1
        return Place(f"127.0.7.{self._last}")

    def cut(self, one: Place, other: Place) -> None:
        raise NotImplementedError

    join = cut


class Namespaces:
    """`Places` in namespaces of their own."""

    can_cut = True

    def __init__(self) -> None:
        self.here = Place("10.77.0.1")
        self._holders: list[subprocess.Popen[bytes]] = []
        _run("ip", "link", "set", "lo", "up")
        _run("ip", "link", "add", "bridge", "type", "bridge")
        _run("ip", "addr", "add", f"{self.here.address}/24", "dev", "bridge")
        _run("ip", "link", "set", "bridge", "up")

    def new(self) -> Place:
        number = len(self._holders) + 2
        holder = subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", "unshare", "--net", "sleep", "infinity"]
        )
        self._holders.append(holder)
        own, ours = Path(f"/proc/{holder.pid}/ns/net"), Path("/proc/self/ns/net").readlink()
        eventually(lambda: own.readlink() != ours, "a network of its own")
        place = Place(f"10.77.0.{number}", ("nsenter", f"--net={own}"))
        outside, pid = f"to{number}", str(holder.pid)
        _run("ip", "link", "add", outside, "type", "veth", "peer", "name", "eth0", "netns", pid)
        _run("ip", "link", "set", outside, "master", "bridge", "up")
        _run(*place.prefix, "ip", "addr", "add", f"{place.address}/24", "dev", "eth0")
        for each in ("lo", "eth0"):
            _run(*place.prefix, "ip", "link", "set", each, "up")
        return place

    def cut(self, one: Place, other: Place) -> None:
        for place, peer in ((one, other), (other, one)):
            neighbour = ("ip", "neigh", "replace", peer.address, "lladdr", _NOBODY, "dev", "eth0")
            _run(*place.prefix, *neighbour, "nud", "permanent")

    def join(self, one: Place, other: Place) -> None:
        for place, peer in ((one, other), (other, one)):
            _run(*place.prefix, "ip", "neigh", "del", peer.address, "dev", "eth0")

    def close(self) -> None:
        for holder in self._holders:
            holder.kill()
            holder.wait()


def enter_namespace() -> None:
    """Go on in a network of its own; execs this program anew. Raises SystemExit where that cannot be."""
    if _INSIDE in os.environ:
        return
    missing = [tool for tool in _TOOLS if shutil.which(tool) is None]
    if missing or os.geteuid():
        raise SystemExit(f"namespaces take root, and {', '.join(_TOOLS)}: or --no-namespaces")
    command = ["unshare", "--net", sys.executable, *sys.argv]
    os.execvpe(command[0], command, {**os.environ, _INSIDE: "yes"})


@contextmanager
def some_places(*, namespaces: bool) -> Iterator[Places]:
    if not namespaces:
        yield Loopback()
        return
    places = Namespaces()
    try:
        yield places
    finally:
        places.close()


def _run(*command: str) -> None:
    subprocess.run(command, check=True)
