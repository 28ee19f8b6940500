"""Tell whether a file that holds a secret is private enough.

On a host, a file that others can read is a mistake. A container runtime mounts its secrets readable by
all (Docker 0444, Kubernetes 0644) and relies on what surrounds them; such a file is taken, with a word
of warning, where its surroundings can be what they should be.
"""

from dataclasses import dataclass
from enum import Enum

_OTHERS = 0o007
_AS_MOUNTED = frozenset({0o444, 0o644})


class Privacy(Enum):
    PRIVATE = "private"
    SHIELDED = "shielded"  # others may read it, if they can get at it
    OPEN = "open"


@dataclass(frozen=True, slots=True, kw_only=True)
class SecretFacts:
    mode: int  # the permission bits
    owner: int  # user id
    directory_mode: int  # of the directory that it lies in
    is_on_mount: bool  # in memory (tmpfs, ramfs), or on a file system that is mounted read-only
    is_credential: bool = False  # systemd keeps its directory from others


def judge_privacy(facts: SecretFacts) -> Privacy:
    """Return how private the file is."""
    if facts.is_credential or not facts.mode & _OTHERS:
        return Privacy.PRIVATE
    as_mounted = facts.mode in _AS_MOUNTED and facts.owner == 0
    is_out_of_reach = not facts.directory_mode & 0o005
    if as_mounted and (is_out_of_reach or facts.is_on_mount):
        return Privacy.SHIELDED
    return Privacy.OPEN
