"""Every line gets to the file in the end, and nothing about the file ever stops the relay."""

import os
import resource
import signal
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import pytest

from relayd.logs import writer as writer_module
from relayd.logs.writer import LineWriter
from tests.support.shortage import no_descriptors


def eventually(condition: Callable[[], object]) -> None:
    end = time.monotonic() + 5
    while not condition():
        assert time.monotonic() < end, "it did not come true"
        time.sleep(0.005)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "status.log"


def lines_of(path: Path) -> list[bytes]:
    return path.read_bytes().splitlines() if path.exists() else []


def numbered(count: int) -> list[bytes]:
    return [b"line %d" % number for number in range(count)]


def test_lines_are_appended_in_their_order(path: Path) -> None:
    path.write_bytes(b"what was there\n")
    with closing(LineWriter(str(path))) as writer:
        for line in numbered(5000):
            writer.write(line + b"\n")
    assert lines_of(path) == [b"what was there", *numbered(5000)]
    assert writer.lost == 0


def test_lines_arrive_without_a_close(path: Path) -> None:
    with closing(LineWriter(str(path))) as writer:
        writer.write(b"one\n")
        eventually(lambda: lines_of(path) == [b"one"])


def test_lines_of_many_threads_stay_whole(path: Path) -> None:
    with closing(LineWriter(str(path))) as writer:

        def write() -> None:
            for _ in range(500):
                writer.write(b"a" * 300 + b"\n")

        threads = [threading.Thread(target=write) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert lines_of(path) == [b"a" * 300] * 2000


def test_a_rotated_log_is_opened_anew(path: Path) -> None:
    """Without a signal: the file is another one by now (HL-01)."""
    old = path.with_suffix(".1")
    with closing(LineWriter(str(path))) as writer:
        writer.write(b"before\n")
        eventually(lambda: lines_of(path))
        path.rename(old)
        writer.write(b"after\n")
        eventually(lambda: lines_of(path))
    assert (lines_of(old), lines_of(path)) == ([b"before"], [b"after"])


def test_reopen_makes_the_file_before_the_next_line(path: Path) -> None:
    with closing(LineWriter(str(path))) as writer:
        path.rename(path.with_suffix(".1"))
        writer.reopen()
        eventually(path.exists)
        writer.write(b"after\n")
    assert lines_of(path) == [b"after"]


def test_a_folder_that_is_gone_for_a_while_loses_nothing(tmp_path: Path) -> None:
    folder = tmp_path / "log"
    folder.mkdir()
    path = folder / "status.log"
    with closing(LineWriter(str(path))) as writer:
        writer.write(b"one\n")
        eventually(lambda: lines_of(path))
        folder.rename(tmp_path / "away")
        for line in numbered(10):
            writer.write(line + b"\n")
        time.sleep(0.2)  # it has tried in vain
        folder.mkdir()
        eventually(lambda: len(lines_of(path)) == 10)
    assert lines_of(path) == numbered(10)


@contextmanager
def file_limit(octets: int) -> Iterator[None]:
    """Let writes beyond a size fail as on a full disk, after the part that fits."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (octets, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)


def test_a_full_disk_tears_and_repeats_no_line(path: Path) -> None:
    """F-26: what did not fit in the middle of a batch is written when there is room again."""
    with closing(LineWriter(str(path))) as writer:
        with file_limit(1003):
            for line in numbered(500):
                writer.write(line + b"\n")
            eventually(lambda: path.stat().st_size == 1003)
        eventually(lambda: len(lines_of(path)) == 500)
    assert lines_of(path) == numbered(500)


def test_a_device_without_room_stops_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """/dev/full: lines are kept up to a bound, and counted beyond; nothing raises or hangs."""
    monkeypatch.setattr(writer_module, "_KEPT", 100)
    before = Path("/dev/full").stat().st_mode
    try:
        writer = LineWriter("/dev/full")
        for _ in range(5000):
            writer.write(b"into the void\n")
        eventually(lambda: writer.lost > 0)
        writer.close()
        assert Path("/dev/full").stat().st_mode == before, "a device's mode is not ours to change"
    finally:
        if os.geteuid() == 0:
            Path("/dev/full").chmod(stat.S_IMODE(before))


def test_a_reader_that_sleeps_does_not_block_writers_nor_the_end(tmp_path: Path) -> None:
    """A full pipe: the caller goes on, and so does the end of the process."""
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    reader = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
    writer = LineWriter(str(fifo))
    began = time.monotonic()
    for _ in range(300):
        writer.write(b"x" * 1000 + b"\n")
    assert time.monotonic() - began < 1
    end = threading.Thread(target=writer.close, daemon=True)
    end.start()
    end.join(timeout=10)
    assert not end.is_alive()
    while writer._thread.is_alive():  # let it go before the descriptors are closed
        with suppress(BlockingIOError):
            os.read(reader, 65536)
    os.close(reader)


def test_the_file_can_be_read_by_its_group_only(path: Path) -> None:
    before = os.umask(0o077)
    try:
        LineWriter(str(path)).close()
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) == 0o640


def test_a_symbolic_link_is_not_followed(path: Path, tmp_path: Path) -> None:
    """A-96."""
    path.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OSError, match="symbolic"):
        LineWriter(str(path))


def test_standard_output_can_be_the_status_log() -> None:
    code = (
        "from relayd.logs.writer import LineWriter\n"
        "writer = LineWriter('-')\n"
        "writer.write(b'one line\\n')\n"
        "writer.reopen()\n"
        "writer.write(b'another\\n')\n"
        "writer.close()\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
    assert done.stdout == b"one line\nanother\n"


def test_a_log_that_cannot_be_opened_anew_for_now_loses_nothing(path: Path) -> None:
    old = path.with_suffix(".1")
    with closing(LineWriter(str(path))) as writer:
        path.rename(old)
        with no_descriptors():
            writer.reopen()
            writer.write(b"after\n")
            time.sleep(0.2)  # it has tried in vain
        eventually(lambda: path.exists() and lines_of(path) == [b"after"])
    assert lines_of(old) == []
