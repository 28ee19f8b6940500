"""What a worker remembers of destinations: which are known good, and how often others failed.

Kept in memory only, and bounded: who is forgotten is eligible again, and its failures count anew.
"""

from collections.abc import Set as AbstractSet

KNOWN_GOOD_AT_MOST = 10_000
"""Destinations; a megabyte or two. A relay to more of them in direct mode probes the rarest ones again."""
FAILED_AT_MOST = 10_000
"""Destinations that failed; the same size for the same reason."""


class DestinationHistory:
    """The destinations that a worker has sent to."""

    def __init__(self) -> None:
        self._known_good: dict[str, None] = {}  # the latest last
        self._failures: dict[str, int] = {}  # in a row; the latest last

    @property
    def known_good(self) -> AbstractSet[str]:
        """Destinations that took mail, and did not fail since."""
        return self._known_good.keys()

    @property
    def failed(self) -> AbstractSet[str]:
        """Destinations that failed, and took no mail since."""
        return self._failures.keys()

    def took_mail(self, destination: str) -> None:
        """Note that the destination has answered a transaction."""
        self._failures.pop(destination, None)
        self._known_good.pop(destination, None)
        self._known_good[destination] = None
        if len(self._known_good) > KNOWN_GOOD_AT_MOST:
            del self._known_good[next(iter(self._known_good))]

    def has_failed(self, destination: str) -> int:
        """Note that the destination cannot be used; return how often in a row by now."""
        self._known_good.pop(destination, None)
        failures = self._failures[destination] = self._failures.pop(destination, 0) + 1
        if len(self._failures) > FAILED_AT_MOST:
            del self._failures[next(iter(self._failures))]
        return failures
