"""Ask the kernel whether anything keeps the clock right.

Source: adjtimex(2). It is what `timedatectl` shows as "System clock synchronized".
"""

import ctypes

_TIME_ERROR = 5  # the clock is not synchronised
_TIMEX_OCTETS = 512  # more than any platform's struct timex


def is_synchronised() -> bool | None:
    """Tell whether the kernel takes its clock for right; None if it does not say."""
    timex = ctypes.create_string_buffer(_TIMEX_OCTETS)  # all zero: modes = 0 changes nothing
    try:
        state = int(ctypes.CDLL(None, use_errno=True).adjtimex(timex))
    except (OSError, AttributeError):
        return None
    return None if state < 0 else state != _TIME_ERROR
