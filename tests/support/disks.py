"""A small file system of its own, which only root may mount."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


@contextmanager
def a_small_disk(folder: Path, octets: int) -> Iterator[Path]:
    """Mount one below the folder; skip the test where that may not be."""
    mount, place = shutil.which("mount"), folder / "disk"
    if os.geteuid() != 0 or mount is None:
        pytest.skip("only root may mount a small file system")
    place.mkdir()
    command = [mount, "-t", "tmpfs", "-o", f"size={octets}", "relayd-test", str(place)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"no file system can be mounted here: {done.stderr.strip()}")
    try:
        yield place
    finally:
        subprocess.run(["umount", "-l", str(place)], check=True)
