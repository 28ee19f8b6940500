"""How much room the disk of the queue has: a part of it is not for new messages (F-10, F-12, F-14)."""

import os

import structlog

from relayd.answers.sizes import megabytes

_RESERVE = 128 * 1024 * 1024  # octets, or a twentieth of a small disk
_INODES = 100
_LOOK_AGAIN = 1.0  # seconds

log = structlog.get_logger()


class Disk:
    """The file system that a path is on."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._looked_at = float("-inf")
        self._has_room = True
        self._is_short = False

    def is_short(self, now: float) -> bool:
        """Tell whether what can be spared should go: there is less than twice of what is kept back."""
        self.has_room(now)
        return self._is_short

    def has_room(self, now: float) -> bool:
        """Tell whether there is more room than is kept back; `now` is monotonic, in seconds."""
        if now - self._looked_at >= _LOOK_AGAIN:
            self._looked_at = now
            had_room, self._has_room = self._has_room, self._look()
            if had_room is not self._has_room:
                log.warning("disk_has_room" if self._has_room else "disk_full", fault="local")
        return self._has_room

    def _look(self) -> bool:
        try:
            disk = os.statvfs(self._path)
        except OSError:
            return True  # the writer will find out more
        spare, kept_back = _spare(disk), _kept_back(disk)
        few = disk.f_files > 0 and disk.f_favail <= 2 * _INODES
        self._is_short = spare < kept_back or few
        has_inodes = (
            disk.f_favail > _INODES or not disk.f_files
        )  # some file systems do not count them
        return spare > 0 and has_inodes


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
