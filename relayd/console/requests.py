"""How many requests the console answered, how, and how long each took.

In memory of this one process: the numbers begin anew with it, as counters may. All series are there from the
start with 0.
"""

import time
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import product

from starlette.types import Message, Send

from relayd.metrics.families import Family, Sample
from relayd.metrics.shared import histogram

_AREAS = ("pages", "api", "static")
_CLASSES = ("2xx", "3xx", "4xx", "5xx")

REQUESTS = Family(
    name="relayd_console_requests_total",
    kind="counter",
    help="Requests that the console answered, by the first digit of the status.",
    labels=("area", "code_class"),
    cells=tuple(product(_AREAS, _CLASSES)),
)
SECONDS = Family(
    name="relayd_console_request_seconds",
    kind="histogram",
    help="Time from a request's header to the start of its answer.",
    labels=("area",),
    cells=tuple((each,) for each in _AREAS),
    bounds=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
)


class Requests:
    """Counts the requests of one process."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._answered: Counter[tuple[str, ...]] = Counter()
        self._buckets = {each: [0] * (len(SECONDS.bounds) + 1) for each in _AREAS}
        self._seconds = dict.fromkeys(_AREAS, 0.0)

    def counted(self, area: str, send: Send) -> Send:
        """Return a `send` that counts a request, which is here now, when its answer begins.

        A stream of events goes on for hours; what it takes is the time until it begins.
        """
        began = self._monotonic()

        async def count(message: Message) -> None:
            if message["type"] == "http.response.start":
                self._answered[area, f"{message['status'] // 100}xx"] += 1
                seconds = self._monotonic() - began
                self._buckets[area][bisect_left(SECONDS.bounds, seconds)] += 1
                self._seconds[area] += seconds
            await send(message)

        return count

    def samples(self) -> Iterator[Sample]:
        """Yield every number."""
        for labels in REQUESTS.cells:
            yield Sample(family=REQUESTS, labels=labels, value=self._answered[labels])
        for area in _AREAS:
            yield from histogram(SECONDS, (area,), self._buckets[area], self._seconds[area])


def area_of(path: str) -> str:
    """Return which part of the console a path is of."""
    if path == "/api" or path.startswith("/api/"):
        return "api"
    return "static" if path.startswith("/static/") else "pages"
