"""Who shares the limits of the settings: the workers that are alive now."""

from collections.abc import Callable
from typing import Protocol


class Membership(Protocol):
    """How many workers share each limit; the number may change while they run."""

    def watch(self, on_change: Callable[[int], None]) -> None:
        """Call `on_change` with the number, this worker included: at once, and with each change."""
        ...
