"""No core dumps: what is in memory stays there when a process crashes.

Every process of relayd holds what others must not read: mail, passwords, keys, addresses. A core is a
copy of all of it, in a folder or with a program that the system chose.

Source: core(5), prctl(2).
"""

import resource
from contextlib import suppress

from relayd import kernel


def forbid() -> None:
    """Have this process, and those that it forks, leave no core, whatever ends them.

    The limit is for cores that are files; systems that hand cores to a program do not heed it. To be
    not dumpable is for both, and keeps other processes of the same user out of our memory as well
    (ptrace(2), /proc/PID/mem). A program that is executed is dumpable again, so each calls this itself.
    """
    with suppress(OSError):  # a sandbox may forbid it
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with suppress(OSError):
        kernel.be_undumpable()
