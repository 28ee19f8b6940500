"""What is at the end of an error: the word that `relayd explain` explains, which names the page."""

from relayd.errors import Mistake, RelaydError
from relayd.explain.lookup import explain

_MODULES = ("relayd.errors", "relayd.ports.outward")  # whose errors docs/errors.md has, by a test


def pointer(word: str | int) -> str:
    """Return the end of a line of error."""
    return f" (relayd explain {word})"


def of_mistake(mistake: Mistake) -> str:
    """Return the pointer to the key of a mistake, or to mistakes as such."""
    return pointer(_key(mistake.key) or "ConfigError")


def _key(key: str) -> str:
    """Return the key as the pages name it; empty: they do not have it, or did not come with relayd."""
    try:
        found = explain(key) if key else ()
    except RelaydError:
        return ""
    return next((entry.name for entry in found if entry.kind == "setting"), "")


def of_error(error: RelaydError, exit_status: int) -> str:
    """Return the pointer to the class of an error; to the exit status, if it is of none in particular."""
    kinds = (kind for kind in type(error).__mro__ if kind.__module__ in _MODULES)
    named = next((kind.__name__ for kind in kinds if kind is not RelaydError), None)
    return pointer(named or exit_status)
