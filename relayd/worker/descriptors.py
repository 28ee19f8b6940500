"""How many descriptors this process may have, and what they are for."""

import resource
from contextlib import suppress

from relayd.policy.descriptors import Shares, share_out
from relayd.settings import LimitSettings

_UNLIMITED = 1 << 20  # what counts as no limit: nr_open of Linux


def raise_limit() -> None:
    """Let this process, and those that it forks, open as many files as the system allows."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        with suppress(OSError, ValueError):  # then it stays as it is
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def descriptors() -> int:
    """Return how many this process may have."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return _UNLIMITED if soft == resource.RLIM_INFINITY else soft


def shares_of(limits: LimitSettings) -> Shares:
    """Return how many connections one worker may have under these settings."""
    return share_out(descriptors(), limits.connections)
