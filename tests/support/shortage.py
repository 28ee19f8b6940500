"""A process without a free descriptor, for a while: its own limit, so that no call is a fake.

with no_descriptors():
    ...  # every call that needs one fails with EMFILE
"""

import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


@contextmanager
def no_descriptors() -> Iterator[None]:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    highest = max(int(each.name) for each in Path("/proc/self/fd").iterdir())
    resource.setrlimit(resource.RLIMIT_NOFILE, (highest + 2, before[1]))
    taken: list[int] = []
    try:
        with suppress(OSError):
            while True:  # the gaps below the limit
                taken.append(os.dup(0))
        yield
    finally:
        for descriptor in taken:
            os.close(descriptor)
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
