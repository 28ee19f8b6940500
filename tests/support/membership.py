"""A membership that a test changes."""

from collections.abc import Callable


class ChangingMembership:
    """`relayd.ports.membership.Membership`, of as many workers as a test says."""

    def __init__(self, workers: int) -> None:
        self._workers = workers
        self._watching: list[Callable[[int], None]] = []

    def watch(self, on_change: Callable[[int], None]) -> None:
        self._watching.append(on_change)
        on_change(self._workers)

    def change(self, workers: int) -> None:
        self._workers = workers
        for each in self._watching:
            each(workers)
