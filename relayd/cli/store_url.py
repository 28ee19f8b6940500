"""Which store the settings name, found without the models of the settings.

Those cost several times what a question to the store does. The rest of the settings does not matter
here, and may be wrong. If it is not plain which store they mean, they have to be read in full, and
that says what is wrong.
"""

import tomllib
from pathlib import Path

from relayd.cli import DEFAULT_SETTINGS

DEFAULT_STORE = "sqlite:/var/lib/relayd/queue.db"
_KEYS = {"url", "history"}


def find_store(settings: str | None) -> str | None:
    """Return the URL of the store; None when the settings have to be read in full for that.

    `settings` is a file that the caller named.
    """
    try:
        document = tomllib.loads(Path(settings or DEFAULT_SETTINGS).read_bytes().decode())
    except (OSError, ValueError, RecursionError):
        return None
    store = document.get("store", {})
    if not isinstance(store, dict) or not store.keys() <= _KEYS:
        return None
    url = store.get("url", DEFAULT_STORE)
    return url if isinstance(url, str) and _is_plain(url) else None


def is_missing(url: str) -> bool:
    """Return whether the file is known not to exist; a folder that we may not read is another error."""
    try:
        Path(url.removeprefix("sqlite:")).stat()
    except FileNotFoundError:
        return True
    except OSError:
        return False
    return False


def _is_plain(url: str) -> bool:
    """Tell whether it is an absolute path, as `relayd.config` wants it."""
    path = url.removeprefix("sqlite:")
    is_path = path[:1] == "/" and path[:2] != "//" and path[-1] != "/"
    return path != url and is_path and path.isprintable()
