"""Read how long a receiver asks us to wait.

Source: RFC 9110 §10.2.3 (Retry-After), §5.6.7 (dates).
"""

import re
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime


def retry_after(value: str, now: datetime) -> timedelta | None:
    """Read a Retry-After header, which has seconds or a date; None if it says nothing that we heed."""
    value = value.strip()
    if re.fullmatch(r"[0-9]{1,9}", value):
        return timedelta(seconds=int(value))
    try:
        at = parsedate_to_datetime(value)
    except (ValueError, OverflowError):  # a number of any length
        return None
    wait = (at if at.tzinfo else at.replace(tzinfo=UTC)) - now
    return wait if wait > timedelta() else None
