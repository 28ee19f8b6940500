"""The library `shim.c`: built once, and loaded into every process of a relay that is looked at."""

import atexit
import ctypes
import mmap
import os
import shutil
import struct
import subprocess
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from tempfile import mkdtemp

import pytest

_SOURCE = Path(__file__).with_name("shim.c")
_ROBUST, _SHARED = 1, 1  # of pthread_mutexattr_setrobust and _setpshared
_ROOM = 4096  # octets; more than the mutex and the numbers take
_NUMBERS = (  # of 8 octets, behind the mutex: `struct shared`
    *("syncs", "calls", "fault_at", "fault_error", "real", "boot", "monotonic"),
    *("target", "steps", "passed", "by", "left", "killed"),
)
_STEP = struct.Struct("<Q120s")
STEPS = 3  # of a point, at most
_SYNC = "2000"  # microseconds
needs_compiler = pytest.mark.skipif(shutil.which("gcc") is None, reason="gcc is not installed")


@cache
def library() -> Path:
    """Build it. Raises CalledProcessError."""
    place = Path(mkdtemp(prefix="relayd-proof-"))
    atexit.register(shutil.rmtree, place, ignore_errors=True)
    built = place / "shim.so"
    subprocess.run(
        ["gcc", "-O2", "-Wall", "-shared", "-fPIC", "-o", built, _SOURCE, "-ldl", "-lpthread"],
        check=True,
    )
    return built


def environment(folder: Path, lock: Path, *, record: Path | None = None) -> Mapping[str, str]:
    """Return what a process has to find in its environment so that it is looked at, once the library is loaded.

    `folder` is what counts; `lock` and `record` are files elsewhere that are made.
    """
    _make_lock(lock)
    found = {
        "PROOF_FOLDER": str(folder.resolve()),
        "PROOF_LOCK": str(lock),
    }
    if record is not None:
        record.touch()
        found |= {"PROOF_LOG": str(record), "PROOF_SYNC": _SYNC}
    return found


class Shared:
    """What the library and a test tell each other, while processes run: numbers, and the steps of a point."""

    def __init__(self, lock: Path) -> None:
        with lock.open("r+b") as file:
            self._map = mmap.mmap(file.fileno(), _ROOM)

    def __getitem__(self, name: str) -> int:
        return int(struct.unpack_from("<q", self._map, _place_of(name))[0])

    def __setitem__(self, name: str, value: int) -> None:
        struct.pack_into("<q", self._map, _place_of(name), value)

    def put_step(self, number: int, operation: str, about: bytes) -> None:
        """Write a step of a point, counted from 0. It counts once `steps` says so."""
        place = _place_of(_NUMBERS[-1]) + 8 + number * _STEP.size
        _STEP.pack_into(self._map, place, ord(operation), about)

    def close(self) -> None:
        self._map.close()


class Calls:
    """The calls of processes that are looked at, while they run."""

    def __init__(self, shared: Shared) -> None:
        self._shared = shared

    @property
    def count(self) -> int:
        """How many there were."""
        return self._shared["calls"]

    def fail(self, number: int, error: int | None) -> None:
        """Let that call have a fault, counted from now: its process is killed, or told an error."""
        self._shared["fault_error"] = error or 0
        self._shared["fault_at"] = self.count + number

    def fail_no_more(self) -> bool:
        """Tell whether that call came."""
        is_reached = 0 < self._shared["fault_at"] <= self.count
        self._shared["fault_at"] = 0
        return is_reached


def _place_of(name: str) -> int:
    return _mutex_size() + 8 * _NUMBERS.index(name)


def _make_lock(path: Path) -> None:
    """Write a mutex that processes share, and that outlives who held it."""
    libc = ctypes.CDLL(None, use_errno=True)
    kind = ctypes.create_string_buffer(64)
    mutex = ctypes.create_string_buffer(_ROOM)
    libc.pthread_mutexattr_init(kind)
    libc.pthread_mutexattr_setpshared(kind, _SHARED)
    libc.pthread_mutexattr_setrobust(kind, _ROBUST)
    libc.pthread_mutex_init(mutex, kind)
    path.write_bytes(mutex.raw)


def _mutex_size() -> int:
    """Return the octets of a pthread_mutex_t: as many on all of Linux with 64 bits but aarch64."""
    return 48 if os.uname().machine == "aarch64" else 40
