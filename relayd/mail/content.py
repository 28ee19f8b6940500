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


def spliced(head: bytes, content: Content, end: int) -> Content:
    """Return `content` with `head` in the place of its first `end` octets."""
    if isinstance(content, bytes):
        return head + content[end:]
    return _Spliced(head, content, end)


class _Spliced:
    """Content with another beginning."""

    def __init__(self, head: bytes, content: Content, end: int) -> None:
        self._head = head
        self._content = content
        self._shift = end - len(head)  # from a place here to the place there

    def __len__(self) -> int:
        return len(self._content) - self._shift

    def __getitem__(self, part: "slice[int | None, int | None, None]", /) -> bytes:
        start, stop, _ = part.indices(len(self))
        head = self._head[start:stop]
        start, stop = max(start, len(self._head)), max(stop, len(self._head))
        if start >= stop:
            return head
        return head + self._content[start + self._shift : stop + self._shift]
