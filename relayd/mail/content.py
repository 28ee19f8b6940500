"""The octets of a message, wherever they lie."""

from typing import Protocol


class Content(Protocol):
    """Octets that can be measured and cut.

    `bytes` are that already; what is too large to be held in memory is read off its file, a slice at
    a time (`ports.queue.Spool`).
    """

    def __len__(self) -> int: ...

    def __getitem__(self, part: "slice[int | None, int | None, None]", /) -> bytes:
        """Return a run of octets. Raises ContentLost when they cannot be read, Shortage if not now."""
        ...
