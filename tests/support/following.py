"""For tests in which nobody looks on."""

from collections.abc import Callable
from typing import NoReturn

from relayd.trace import Wanted


def nobody_follows(wanted: Wanted, _: Callable[[], None]) -> NoReturn:
    raise AssertionError(wanted)
