"""A child of the test process: it does one thing and is gone, whatever happens in it.

It must never return: it would go on as a second run of the tests, and the first one would be told of results
twice. So it is killed from within, before anything that belongs to the test process can run.
"""

import os
import signal
import sys
import traceback
from collections.abc import Callable


def in_a_child(work: Callable[[], object]) -> None:
    """Do it in a child, and wait until that is dead. Raises AssertionError if the work raised."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            work()
            os.write(writer, b"done")
        except BaseException:  # noqa: BLE001 -- nothing may leave this block
            traceback.print_exc(file=sys.__stderr__)
        finally:
            os.kill(os.getpid(), signal.SIGKILL)
    os.close(writer)
    with os.fdopen(reader, "rb") as answer:
        said = answer.read()
    os.waitpid(child, 0)
    assert said == b"done", "the child failed; what it printed says why"
