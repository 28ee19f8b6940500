"""A membership that a test changes."""

from collections.abc import Callable

from relayd.policy.delivery.shares import Part


class ChangingMembership:
    """`relayd.ports.membership.Membership`, of as many workers as a test says."""

    def __init__(self, workers: int, rank: int = 0) -> None:
        self._part = Part(rank, workers)
        self._watching: list[Callable[[Part], None]] = []

    def watch(self, on_change: Callable[[Part], None]) -> None:
        self._watching.append(on_change)
        on_change(self._part)

    def change(self, workers: int, rank: int = 0) -> None:
        self._part = Part(rank, workers)
        for each in self._watching:
            each(self._part)
