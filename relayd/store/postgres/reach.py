"""Whether the server could be reached when it was last tried, for all lines of a worker."""

import time
from collections.abc import Callable

import structlog

from relayd.errors import StoreUnavailable
from relayd.policy.seldom import Seldom

_NOT_TRIED = "it was not tried yet"

log = structlog.get_logger()


class Reach:
    """What the lines found out; some line tries again at least each time that mail is looked for."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic, *, store: str = "") -> None:
        """`store` is the name under which an outage is logged; without one it is not. A start is for who waits for it."""
        self._monotonic = monotonic
        self._store = store
        self._was_found = False
        self._seldom, self._is_told = Seldom(), False
        self._why = _NOT_TRIED
        self._since = monotonic()

    def found(self) -> None:
        """It was reached."""
        if self._why:
            self._since = self._monotonic()
        self._why, self._was_found = "", True
        if self._is_told:
            self._is_told = False
            log.info("store_back", store=self._store)

    def seconds(self) -> float:
        """Return for how long it could be reached, as far as anybody tried."""
        return self._monotonic() - self._since

    def missed(self, why: str) -> None:
        """It was not."""
        self._why = why or "no answer"
        if self._store and self._was_found and self._seldom.is_due(self._monotonic()):
            self._is_told = True
            log.error("store_away", fault="local", store=self._store, reason=self._why)

    def expect(self) -> None:
        """Raise StoreUnavailable if it is away."""
        if self._why not in ("", _NOT_TRIED):
            raise StoreUnavailable(self._why)
