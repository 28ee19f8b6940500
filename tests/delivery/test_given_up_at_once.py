"""A connection that is given up in the very moment in which it comes up, on each event loop.

uvloop forgets such a connection without a word to its protocol, where asyncio tells it that it is lost. Who waits for that
word waits for ever: the destination's lease is renewed meanwhile, and its mail stays where it is.
"""

import asyncio
from collections.abc import Callable
from contextlib import suppress

import pytest

from relayd.deliverer.destination_queue import DestinationQueue
from relayd.net.smtp.protocol import RelayProtocol
from tests.support.builders import a_message
from tests.support.post import a_post
from tests.support.scripted_server import ScriptedServer


def as_it_comes_up(patch: pytest.MonkeyPatch, act: Callable[[], None]) -> None:
    """Act when the connection is made, and who asked for it has not been told."""
    made = RelayProtocol.connection_made

    def look(self: RelayProtocol, transport: asyncio.BaseTransport) -> None:
        made(self, transport)
        act()

    patch.setattr(RelayProtocol, "connection_made", look)


async def gives_up(patch: pytest.MonkeyPatch) -> bool:
    """Close the queue as when its lease is lost; tell whether it ended."""
    async with ScriptedServer() as server, a_post(server.port) as post:
        closed: asyncio.Future[DestinationQueue] = asyncio.get_running_loop().create_future()

        def close() -> None:
            if not closed.done():
                [queue] = post.scheduler._queues.values()
                queue.close()
                closed.set_result(queue)

        as_it_comes_up(patch, close)
        await post.submit(a_message("a@x.test"))
        queue = await closed
        with suppress(TimeoutError):
            async with asyncio.timeout(5):
                while queue._carriers:  # noqa: ASYNC110 -- nobody tells of their end
                    await asyncio.sleep(0.01)
        has_ended = not queue._carriers
        if not has_ended:
            queue.abandon()
        return has_ended


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_the_queue_ends(loop: str, monkeypatch: pytest.MonkeyPatch) -> None:
    factory = (
        asyncio.new_event_loop
        if loop == "asyncio"
        else pytest.importorskip("uvloop").new_event_loop
    )
    with asyncio.Runner(loop_factory=factory) as runner:
        assert runner.run(gives_up(monkeypatch))
