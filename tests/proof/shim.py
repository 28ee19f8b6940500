"""The library `shim.c`: built once, and loaded into every process of a relay that is looked at."""

import atexit
import ctypes
import mmap
import os
import shutil
import struct
import subprocess
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from tempfile import mkdtemp

import pytest

_SOURCE = Path(__file__).with_name("shim.c")
_ROBUST, _SHARED = 1, 1  # of pthread_mutexattr_setrobust and _setpshared
_ROOM = 4096  # octets; more than the mutex and the numbers take
_NUMBERS = struct.Struct("<QQQQ")  # syncs, calls, the call with a fault, its error
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
    """Return what a process has to find so that it is looked at.

    `folder` is what counts; `lock` and `record` are files elsewhere that are made.
    """
    _make_lock(lock)
    found = {
        "LD_PRELOAD": str(library()),
        "PROOF_FOLDER": str(folder.resolve()),
        "PROOF_LOCK": str(lock),
    }
    if record is not None:
        record.touch()
        found |= {"PROOF_LOG": str(record), "PROOF_SYNC": _SYNC}
    return found


def prefix(looked_at: Mapping[str, str]) -> Sequence[str]:
    """Return what is put before a command, so that its processes find `environment`."""
    return ["env", *(f"{name}={value}" for name, value in looked_at.items())]


class Calls:
    """The calls of processes that are looked at, while they run."""

    def __init__(self, lock: Path) -> None:
        with lock.open("r+b") as file:
            self._map = mmap.mmap(file.fileno(), _ROOM)

    @property
    def count(self) -> int:
        """How many there were."""
        return int(_NUMBERS.unpack_from(self._map, _mutex_size())[1])

    def fail(self, number: int, error: int | None) -> None:
        """Let that call have a fault, counted from now: its process is killed, or told an error."""
        at = self.count + number
        struct.pack_into("<QQ", self._map, _mutex_size() + 16, at, error or 0)

    def fail_no_more(self) -> None:
        struct.pack_into("<QQ", self._map, _mutex_size() + 16, 0, 0)

    def close(self) -> None:
        self._map.close()


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
