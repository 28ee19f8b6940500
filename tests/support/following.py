"""For tests in which nobody looks on."""

from typing import NoReturn

from relayd.trace import Wanted


def nobody_follows(wanted: Wanted) -> NoReturn:
    raise AssertionError(wanted)
