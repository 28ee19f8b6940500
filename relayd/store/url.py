"""Store URLs: which engine is meant, and where its file is. Imports no engine.

Only this package reads them. There is one kind today: "sqlite:" and an absolute path.
"""

import errno
from pathlib import Path

_SQLITE = "sqlite:"
_LATER = ("postgresql:", "postgres:")


def check_url(url: str) -> str:
    """Return the URL. Raises ValueError with what was expected."""
    if url.startswith(_LATER):
        raise ValueError("not supported by this version yet")
    path = url.removeprefix(_SQLITE)
    if path == url or path[:1] != "/" or path[:2] == "//" or path[-1] == "/":
        raise ValueError(
            'expected "sqlite:" and an absolute path: "sqlite:/var/lib/relayd/queue.db"'
        )
    return url


def is_plain(url: str) -> bool:
    """Tell whether the URL is one that settings may have, of characters that can be printed."""
    try:
        return check_url(url).isprintable()
    except ValueError:
        return False


def is_file(url: str) -> bool:
    """Tell whether the store is a file of this machine."""
    return url.startswith(_SQLITE)


def queue_file(url: str) -> Path:
    """Return the path of the queue file."""
    return Path(url.removeprefix(_SQLITE))


def state_folder(url: str) -> Path:
    """Return the folder of what a daemon keeps on its machine beside the queue: lock, tokens, its last check-up."""
    return queue_file(url).parent


def is_missing(url: str) -> bool:
    """Tell whether the file is known not to be there; not being allowed to look is another trouble."""
    try:
        queue_file(url).stat()
    except OSError as error:
        return error.errno == errno.ENOENT
    return False
