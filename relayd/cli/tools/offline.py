"""What the commands share that change a queue while no daemon serves it: its lock, and the right user."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

import click

from relayd.cli.context import load_settings
from relayd.errors import QueueInUse, StoreForbidden


class Serving(click.ClickException):
    """A daemon has the queue."""

    exit_code = os.EX_UNAVAILABLE


@contextmanager
def a_stopped_queue(command: str) -> Iterator[str]:
    """The URL of the settings' store, whose daemon is kept from starting until the end.

    Raises ConfigError, NotAFile, and what `a_stopped_file` does.
    """
    from relayd.store import file_for  # noqa: PLC0415

    url = load_settings().store.url
    file_for(command, url)
    with a_stopped_file(url):
        yield url


@contextmanager
def a_stopped_file(url: str) -> Iterator[None]:
    """Keep the daemon of a queue that is a file from starting until the end.

    Raises Serving, StartError, and StoreForbidden for another user than root and the daemon's.
    """
    from relayd.file_access import name_of  # noqa: PLC0415
    from relayd.store import owner_of  # noqa: PLC0415
    from relayd.store.url import queue_file  # noqa: PLC0415

    queue, owner = queue_file(url), owner_of(url)
    if os.geteuid() not in {0, owner.uid}:
        users = " or as ".join(dict.fromkeys(("root", name_of(owner.uid))))
        raise StoreForbidden(f"you may not change {queue}: run this as {users}")
    with a_stopped_daemon(url):
        yield


@contextmanager
def a_stopped_daemon(url: str, folder: str = "") -> Iterator[None]:
    """Keep the daemon of this machine from serving a queue until the end. Raises Serving, StartError.

    `folder`: `relayd.store.url.lock_file`.
    """
    from relayd.store import owner_of  # noqa: PLC0415
    from relayd.store.url import lock_file  # noqa: PLC0415
    from relayd.supervisor.lock import QueueLock  # noqa: PLC0415

    path, owner = lock_file(url, folder), owner_of(url, folder)
    made = [each for each in (path.parent, path) if not each.exists()]
    try:
        lock = QueueLock(url, folder)
    except QueueInUse as error:
        raise Serving(f"{error}; stop it first: systemctl stop relayd") from error
    try:
        for each in made:
            owner.take(each)
        yield
    finally:
        lock.close()
