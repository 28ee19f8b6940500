"""Which daemon a command asks: the one at the control socket of the settings, if it serves their queue.

Of the settings no more counts than `[control] socket` and `[store] url`: mail can be stopped while the file has
mistakes elsewhere. Settings that name a copy of the queue lead to the socket of the daemon that runs, and
what was meant for the copy must not happen to the queue in service.
"""

import json
import os
from pathlib import Path

from relayd.cli.context import load_settings, named_settings_file, settings_file
from relayd.config.peek import find_store, find_switches
from relayd.errors import DaemonUnreachable, OtherQueue, RelaydError

_TIMEOUT = 5.0  # seconds; a daemon that works answers at once


def store_url() -> str:
    """Return the URL of the store. Raises ConfigError where the settings do not tell it."""
    return find_store(named_settings_file()) or load_settings().store.url


def daemon_socket() -> str:
    """Return the control socket of the daemon that serves the queue of these settings.

    Raises OtherQueue where the daemon there serves another one, DaemonUnreachable, ConfigError.
    """
    ours, socket = store_url(), find_switches(named_settings_file())[1]
    if socket is None or not socket.startswith("/"):
        socket = load_settings().control_socket  # which says what is wrong
    theirs = _served(socket)
    if theirs is not None and not _is_same(ours, theirs):
        from relayd.store.url import name_of  # noqa: PLC0415 -- for this mistake alone

        raise OtherQueue(
            f"the daemon at {socket} serves {name_of(theirs)}, and {settings_file()} names"
            f" {name_of(ours)}: no daemon serves that"
        )
    return socket


def _served(socket: str) -> str | None:
    """Return the store of the daemon there; None if it does not tell. Raises DaemonUnreachable."""
    from relayd.control import client  # noqa: PLC0415 -- a list needs none of it

    try:
        text = client.running_settings(socket, timeout=_TIMEOUT).values.get("store.url")
        url = None if text is None else json.loads(text)
    except DaemonUnreachable:
        raise
    except (RelaydError, ValueError):
        return None
    return url if isinstance(url, str) else None


def _is_same(ours: str, theirs: str) -> bool:
    from relayd.store.url import is_file, is_plain, place_of, queue_file  # noqa: PLC0415 -- as above

    if ours == theirs or not is_plain(theirs):
        return True
    if is_file(ours) and is_file(theirs):
        return _is_one_file(queue_file(ours), queue_file(theirs))
    return place_of(ours) == place_of(theirs)  # the daemon does not tell its user


def _is_one_file(one: Path, other: Path) -> bool:
    try:
        return one.samefile(other)
    except OSError:  # not there, or not for this user to look at
        return os.path.realpath(one) == os.path.realpath(other)
