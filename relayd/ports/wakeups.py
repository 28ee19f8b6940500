"""Hints that something may have become due: from the worker that knows to those that may deliver it."""

from typing import Protocol


class Wakeups(Protocol):
    """How a worker tells the others to look at the store. It is told by a call given at the start.

    A hint may be lost, and costs then what the poll takes: nobody relies on one.
    """

    @property
    def are_heard(self) -> bool:
        """Tell whether those of the others come here, as far as that can be known."""
        ...

    def give(self) -> None:
        """Tell the others to look; of many in one moment two are told."""
        ...

    def give_pauses(self) -> None:
        """Tell the others to look, and to read the pause rules again, which have changed."""
        ...

    def give_joined(self) -> None:
        """Tell other machines that this worker has joined: it delivers when they have counted it."""
        ...

    def close(self) -> None:
        """Give a last hint, for leases come back, then none; and hear none."""
        ...
