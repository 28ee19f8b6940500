"""Whether the server could be reached when it was last tried, for all lines of a worker."""

import time
from collections.abc import Callable

from relayd.errors import StoreUnavailable

_NOT_TRIED = "it was not tried yet"


class Reach:
    """What the lines found out; some line tries again at least each time that mail is looked for."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._why = _NOT_TRIED
        self._since = monotonic()

    def found(self) -> None:
        """It was reached."""
        if self._why:
            self._since = self._monotonic()
        self._why = ""

    def seconds(self) -> float:
        """Return for how long it could be reached, as far as anybody tried."""
        return self._monotonic() - self._since

    def missed(self, why: str) -> None:
        """It was not."""
        self._why = why or "no answer"

    def expect(self) -> None:
        """Raise StoreUnavailable if it is away."""
        if self._why not in ("", _NOT_TRIED):
            raise StoreUnavailable(self._why)
