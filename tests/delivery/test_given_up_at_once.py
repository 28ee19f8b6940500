"""A connection that is given up in the very moment in which it comes up, on each event loop.

uvloop forgets such a connection without a word to its protocol, where asyncio tells it that it is lost. Who waits for that
word waits for ever: the destination's lease is renewed meanwhile, and its mail stays where it is.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress

import pytest

from relayd.deliverer.destination_queue import DestinationQueue
from tests.support.builders import a_message
from tests.support.post import Post, a_post
from tests.support.scripted_server import ScriptedServer

ROUNDS = 14  # of the loop, from the start of a connection until its first transaction is open


async def stop(post: Post, queue: DestinationQueue) -> bool:
    del queue
    return await post.scheduler.drain(within=5)


async def close(post: Post, queue: DestinationQueue) -> bool:
    """As when the lease is lost, or another connection has found that no host lets us in."""
    queue.close()
    with suppress(TimeoutError):
        async with asyncio.timeout(5):
            while queue in post.scheduler._queues.values():  # noqa: ASYNC110 -- turns of the loop are what is counted
                await asyncio.sleep(0)
            return True
    return False


async def give_up(rounds: int, how: Callable[[Post, DestinationQueue], Awaitable[bool]]) -> bool:
    """Give a queue up so many rounds after it began to connect; tell whether it ended."""
    async with ScriptedServer() as server, a_post(server.port) as post:
        submitting = asyncio.ensure_future(post.submit(a_message("a@x.test")))
        while not any(  # noqa: ASYNC110 -- as above
            queue._sessions._opening for queue in post.scheduler._queues.values()
        ):
            await asyncio.sleep(0)
        [queue] = post.scheduler._queues.values()
        for _ in range(rounds):
            await asyncio.sleep(0)
        has_ended = await how(post, queue)
        await submitting
        if not has_ended:
            queue.abandon()
        return has_ended


@pytest.mark.parametrize("how", [stop, close])
@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_the_queue_ends(
    loop: str, how: Callable[[Post, DestinationQueue], Awaitable[bool]]
) -> None:
    factory = (
        asyncio.new_event_loop
        if loop == "asyncio"
        else pytest.importorskip("uvloop").new_event_loop
    )
    for rounds in range(ROUNDS):
        with asyncio.Runner(loop_factory=factory) as runner:
            assert runner.run(give_up(rounds, how)), f"after {rounds} rounds"
