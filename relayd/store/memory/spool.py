"""Content while it comes in."""

from relayd.mail.content import Content


class MemorySpool:
    """`relayd.ports.queue.Spool` that keeps what it is there to get rid of."""

    def __init__(self) -> None:
        self._octets = bytearray()

    def write(self, octets: bytes, /) -> None:
        self._octets += octets

    def finish(self, head: bytes, /) -> Content:
        return head + bytes(self._octets)

    def discard(self) -> None:
        self._octets.clear()
