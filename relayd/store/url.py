"""Store URLs: which engine is meant, and where its file is, if it has one. Imports no engine.

Only this package reads them. There are two kinds: "sqlite:" and an absolute path, and "postgresql://" with hosts.
"""

import errno
from pathlib import Path

from relayd.store.postgres_url import SCHEMES, read_url, with_password_file

__all__ = ["with_password_file"]

_SQLITE = "sqlite:"
_FOLDER = "/var/lib/relayd"  # systemd's StateDirectory
_LOCK = "relayd.lock"


def check_url(url: str) -> str:
    """Return the URL. Raises ValueError with what was expected."""
    if url.startswith(SCHEMES):
        if read_url(url).password_file:
            raise ValueError("has the file of the password in it: name that in store.password_file")
        return url
    path = url.removeprefix(_SQLITE)
    if path == url or path[:1] != "/" or path[:2] == "//" or path[-1] == "/":
        raise ValueError(
            'expected "sqlite:" and an absolute path: "sqlite:/var/lib/relayd/queue.db",'
            ' or the "postgresql://" URL of a server'
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
    """Return the path of the queue file of a store that is one."""
    assert is_file(url), "a server has no path here"
    return Path(url.removeprefix(_SQLITE))


def shown(url: str) -> str:
    """Return the URL for people, without what is added to it for the store."""
    return url if is_file(url) else read_url(url).shown


def name_of(url: str) -> str:
    """Return what people know the store by: its file, or its server and database."""
    return str(queue_file(url)) if is_file(url) else read_url(url).shown


def place_of(url: str) -> object:
    """Return its file, or its servers and database: who compares stores does not mind who asks there."""
    if is_file(url):
        return queue_file(url)
    server = read_url(url)
    return server.hosts, server.database


def state_folder(url: str, written: str = "") -> Path:
    """Return the folder of what a daemon keeps on its machine beside the queue: lock, tokens, its last check-up.

    `written` is what the settings say; empty: nothing.
    """
    if written:
        return Path(written)
    return queue_file(url).parent if is_file(url) else Path(_FOLDER)


def lock_file(url: str, written: str = "") -> Path:
    """Return the file whose lock is the right to serve the queue from this machine, with that folder."""
    if is_file(url):
        return Path(f"{queue_file(url)}.lock")
    return state_folder(url, written) / _LOCK


def is_missing(url: str) -> bool:
    """Tell whether the file is known not to be there; not being allowed to look is another trouble."""
    if not is_file(url):
        return False
    try:
        queue_file(url).stat()
    except OSError as error:
        return error.errno == errno.ENOENT
    return False
