"""What the kernel is asked to do with this process. Source: prctl(2)."""

import ctypes
import os

_PR_SET_PDEATHSIG = 1
_PR_SET_DUMPABLE = 4

_prctl = ctypes.CDLL(None, use_errno=True).prctl  # loaded before the first fork
_prctl.argtypes = (ctypes.c_int, *[ctypes.c_ulong] * 4)


def die_with_parent(parent: int, *, by: int) -> None:
    """Have the kernel send the signal `by` to this process when the process `parent` ends, however it does.

    Raises OSError if that cannot be had, SystemExit if `parent` has ended before.
    """
    _set(_PR_SET_PDEATHSIG, by)
    if os.getppid() != parent:  # it ended before we asked
        raise SystemExit(os.EX_OK)


def be_undumpable() -> None:
    """Leave no core, and let no other process of the same user read our memory. Raises OSError."""
    _set(_PR_SET_DUMPABLE, 0)


def _set(option: int, value: int) -> None:
    if _prctl(option, value, 0, 0, 0) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"prctl: {os.strerror(number)}")
