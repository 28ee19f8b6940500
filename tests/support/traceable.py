"""A program of relayd that others may look into: `python -m tests.support.traceable MODULE ARGUMENT...`.

relayd itself forbids that to all but root (`relayd.core_dumps`): strace(1) could not attach to it, nor
a test see its descriptors, where the tests run as somebody else.
"""

import runpy
import sys

from relayd import core_dumps

if __name__ == "__main__":
    core_dumps.forbid = lambda: None
    del sys.argv[0]
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
