"""What is written in one turn of the loop goes out together, and before the end of the connection."""

import asyncio

from relayd.console.limits import Joined


class Wire(asyncio.Transport):
    """Notes what is sent."""

    def __init__(self) -> None:
        super().__init__({"peername": "somebody"})
        self.said: list[bytes | None] = []

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.said.append(bytes(data))

    def close(self) -> None:
        self.said.append(None)


async def test_header_and_body_are_sent_together() -> None:
    wire = Wire()
    joined = Joined(wire, asyncio.get_running_loop())
    joined.write(b"header")
    joined.write(b"body")
    joined.write(b"")
    assert wire.said == []
    await asyncio.sleep(0)
    assert wire.said == [b"headerbody"]
    joined.write(b"event")
    await asyncio.sleep(0)
    assert wire.said == [b"headerbody", b"event"]
    assert joined.get_extra_info("peername") == "somebody"


async def test_nothing_is_lost_at_the_end() -> None:
    wire = Wire()
    joined = Joined(wire, asyncio.get_running_loop())
    joined.write(b"last")
    joined.close()
    await asyncio.sleep(0)
    assert wire.said == [b"last", None]
