"""What functions of the core remember of their answers, and how to have them forget it.

A line that another test has run would not run again for a test of the core, and coverage would miss it there: by which tests shared
a process, which no run decides alike.
"""

import functools
import sys
from collections.abc import Iterator

_CORE = ("relayd.mail", "relayd.policy")
_Memory = functools._lru_cache_wrapper  # `cache` makes the same


def of_the_core() -> Iterator["functools._lru_cache_wrapper[object]"]:
    """Each function and method of the imported core that remembers, once."""
    for name, module in tuple(sys.modules.items()):
        if name.startswith(_CORE):
            for thing in tuple(vars(module).values()):
                if getattr(thing, "__module__", None) == name:
                    yield from _in_thing(thing)


def forget_the_core() -> None:
    """Have all of them begin anew."""
    for each in of_the_core():
        each.cache_clear()


def _in_thing(thing: object) -> Iterator["functools._lru_cache_wrapper[object]"]:
    members = vars(thing).values() if isinstance(thing, type) else (thing,)
    return (each for each in members if isinstance(each, _Memory))
