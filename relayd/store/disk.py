"""How much room the disk of the queue has: a part of it is not for new messages (F-10, F-12, F-14)."""

import os
from collections.abc import Callable

import structlog

from relayd.answers.sizes import megabytes

_RESERVE = 128 * 1024 * 1024  # octets, or a twentieth of a small disk
_INODES = 100
_MANY = 1_000_000
_LOOK_AGAIN = 1.0  # seconds

log = structlog.get_logger()


class Disk:
    """The file system that a path is on, and what the queue file has of it without using it."""

    def __init__(self, path: str, *, unused: Callable[[], int] = lambda: 0) -> None:
        """`unused` returns the octets inside the queue file that hold nothing any more."""
        self._path = path
        self._unused = unused
        self._looked_at = float("-inf")
        self._has_room = self._has_room_for_files = True
        self._is_short = False

    def is_short(self, now: float) -> bool:
        """Tell whether what can be spared should go: there is less than twice of what is kept back.

        Or the disk itself has less than what is kept back, whatever the queue file does not use.
        """
        self._look_again(now)
        return self._is_short

    def has_room(self, now: float) -> bool:
        """Tell whether there is more room than is kept back; `now` is monotonic, in seconds.

        What the queue file does not use is room: rows go there, and the file does not grow. At least half of what is
        kept back has to be free on the disk all the same: the WAL, and what others write, have no use of it. So on a
        small disk it is not counted at all.
        """
        self._look_again(now)
        return self._has_room

    def has_room_for_files(self, now: float) -> bool:
        """Tell the same for content that goes to files of its own."""
        self._look_again(now)
        return self._has_room_for_files

    def _look_again(self, now: float) -> None:
        if now - self._looked_at >= _LOOK_AGAIN:
            self._looked_at = now
            had_room = self._has_room
            self._look()
            if had_room is not self._has_room:
                log.warning("disk_has_room" if self._has_room else "disk_full", fault="local")

    def _look(self) -> None:
        try:
            disk = os.statvfs(self._path)
        except OSError:  # the writer will find out more
            self._has_room = self._has_room_for_files = True
            return
        spare, kept_back = _spare(disk), _kept_back(disk)
        within = self._unused() if kept_back == _RESERVE else 0
        for_rows, free = spare + within, spare + kept_back
        inodes = disk.f_favail if disk.f_files else _MANY  # some file systems do not count them
        self._has_room = for_rows > 0 and free > kept_back // 2 and inodes > _INODES
        self._has_room_for_files = spare > 0 and inodes > _INODES
        self._is_short = for_rows < kept_back or free < kept_back or inodes <= 2 * _INODES


def spare(path: str) -> int:
    """Return how many octets are free there beyond those that are kept back. Raises OSError."""
    return _spare(os.statvfs(path))


def lacking(path: str, octets: int) -> str:
    """Say what is missing for so many octets more there, and what to do; empty if there is room. Raises OSError."""
    free = max(spare(path), 0)
    if free >= octets:
        return ""
    return (
        f"{path} has room for {megabytes(free)} more, and this takes {megabytes(octets)}:"
        " make room, or name a folder on another disk"
    )


def _spare(disk: os.statvfs_result) -> int:
    return disk.f_bavail * disk.f_frsize - _kept_back(disk)


def _kept_back(disk: os.statvfs_result) -> int:
    return min(_RESERVE, disk.f_blocks * disk.f_frsize // 20)
