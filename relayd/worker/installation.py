"""What tells the daemon of this folder of state from all others, also from another one on this machine.

Who has the lock in the folder knows by it that who had the same name and the same mark before is dead.
"""

import os
import secrets
from contextlib import suppress
from pathlib import Path

_FILE = "installation"


def mark_of(folder: Path, boot: str) -> str:
    """Return the mark of a folder, made with the first call; `boot`, if none can be kept there."""
    path = folder / _FILE
    try:
        return _read(path) or _made(path)
    except OSError:
        return boot


def kept_in(folder: Path) -> str:
    """Return the mark of a folder; empty: it has none that can be read."""
    try:
        return _read(folder / _FILE)
    except OSError:
        return ""


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii", errors="replace").strip()
    except FileNotFoundError:
        return ""


def _made(path: Path) -> str:
    """Make the file, unless another worker is faster; return what it has. Raises OSError."""
    fresh = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        with fresh.open("x", encoding="ascii") as file:
            file.write(secrets.token_hex(16) + "\n")
            file.flush()
            os.fsync(file.fileno())
        with suppress(FileExistsError):
            os.link(fresh, path)
    finally:
        fresh.unlink(missing_ok=True)
    return _read(path)
