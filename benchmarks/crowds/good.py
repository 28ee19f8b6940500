"""A good client beside whatever is bad: what it waits for its 250, and how long its mail is inside.

It submits at an even rate, each message over a connection of its own, whatever becomes of the others. Every second
message goes to a domain that nobody wrote to before.
"""

import asyncio
import time
from collections.abc import Sequence
from contextlib import suppress

from benchmarks.crowds.far_side import GOOD, NEW
from benchmarks.mail import Arrivals, Client, Refused, percentile
from benchmarks.peers import Relay, Relayd, children, memory_mb

SOURCE = "127.0.0.9"
GOAL_MS, GOAL_MB = 1000, 512
_PATIENCE = 20.0  # seconds for one message to be accepted
_ARRIVES_WITHIN = 20.0  # seconds after the last


class Good:
    """What became of the mail of a good client."""

    def __init__(self, relay: Relay, sink: Arrivals, *, direct: bool) -> None:
        self._relay, self._sink, self._direct = relay, sink, direct
        self.waits: list[float] = []
        self.accepted: dict[int, float] = {}
        self.refused = self.unanswered = 0
        self.next = 0

    async def submit(self, *, seconds: float, rate: float, to: str = "") -> None:
        """Submit for so long, and wait for the answers; `to`: only to that address."""
        began, first = time.monotonic(), self.next
        self.next += int(seconds * rate)
        async with asyncio.TaskGroup() as group:
            for number in range(first, self.next):
                due = began + (number - first) / rate
                group.create_task(self._one(number, due, to or self._recipient(number)))

    def _recipient(self, number: int) -> str:
        is_new = self._direct and number % 2
        return f"kim@n{number // 2 % NEW}.test" if is_new else f"kim@{GOOD}"

    async def _one(self, number: int, due: float, to: str) -> None:
        await asyncio.sleep(max(0.0, due - time.monotonic()))
        began = time.monotonic()
        try:
            async with (
                asyncio.timeout(_PATIENCE),
                Client(self._relay.port, source=SOURCE) as client,
            ):
                self.accepted[number] = await client.submit(to, number)
        except Refused:
            self.refused += 1
        except (TimeoutError, OSError, asyncio.IncompleteReadError):
            self.unanswered += 1
        self.waits.append(time.monotonic() - began)

    async def figures(self) -> dict:
        """Wait for what has not arrived, and return all figures so far, in milliseconds."""
        now = await self._sink.all_of(list(self.accepted), within=_ARRIVES_WITHIN)
        inside = {
            number: max(self._sink.at.get(number, now) - at, 0.0)
            for number, at in self.accepted.items()
        }
        known = [took for number, took in inside.items() if not (self._direct and number % 2)]
        new = [took for number, took in inside.items() if self._direct and number % 2]
        return {
            "accepted": _spread(self.waits),
            "delivered": _spread(known),
            "delivered, new domains": _spread(new),
            "messages": len(self.waits),
            "refused": self.refused,
            "unanswered": self.unanswered,
            "late": sum(number not in self._sink.at for number in self.accepted),
        }


def _spread(seconds: Sequence[float]) -> dict[str, float]:
    if not seconds:
        return {}
    spread = {
        "p50": percentile(seconds, 50),
        "p99": percentile(seconds, 99),
        "most": max(seconds),
    }
    return {name: round(value * 1000, 1) for name, value in spread.items()}


class Memory:
    """The most that a process of the relay has had, looked at each half second."""

    def __init__(self, relay: Relay) -> None:
        self._relay = relay
        self.most_mb = 0

    async def watch(self) -> None:
        while True:
            with suppress(OSError, ValueError):
                self.most_mb = max(self.most_mb, self._now())
            await asyncio.sleep(0.5)

    def _now(self) -> int:
        """Return the largest worker of relayd; of a peer, which has a process for everything, all of it."""
        if isinstance(self._relay, Relayd):
            return max(map(memory_mb, self._relay.workers()))
        return sum(map(memory_mb, self._relay.processes()))


async def bulk(port: int, recipients: Sequence[str], *, rate: float, size: int = 2000) -> int:
    """Submit one message to each, at an even rate over ten sessions; return how many were taken in time."""
    began, numbers, taken = time.monotonic(), iter(range(len(recipients))), 0
    ends = began + len(recipients) / rate

    async def session() -> None:
        nonlocal taken
        with suppress(Refused, OSError, asyncio.IncompleteReadError):
            async with Client(port) as client:
                for number in numbers:
                    if time.monotonic() > ends + 1:
                        return
                    await asyncio.sleep(max(0.0, began + number / rate - time.monotonic()))
                    await client.submit(recipients[number], -1, size=size)
                    taken += 1

    await asyncio.gather(*(session() for _ in range(10)))
    return taken


def workers_of(relay: Relay) -> list[int]:
    return children(relay.processes()[0])
