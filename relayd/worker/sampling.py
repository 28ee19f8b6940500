"""What machines that share a queue note in it, every 15 seconds, the first worker of each: one counts the queue for all, and each machine tells its own numbers."""

import asyncio
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import timedelta
from math import inf

import structlog

from relayd.answers.overview import FLOWS, Reading
from relayd.errors import StoreBroken, StoreError
from relayd.metrics.complaints import Complaints
from relayd.metrics.families import Sample
from relayd.metrics.figures import count
from relayd.policy.seldom import Seldom
from relayd.ports.outward import Clock
from relayd.ports.samples import EVERY, Samples
from relayd.ports.view import Counts, Metric, QueueView

COUNT_WITHIN = 60.0
"""Seconds that each statement of a count may take."""

_LOOKED = 5.0  # seconds between two looks at whose turn it is
_LEASE = timedelta(minutes=2)  # for one count; who died in it is waited for so long
_REST, _AT_MOST = 10, timedelta(minutes=5)  # times as long as a count took, until the next one

log = structlog.get_logger()


async def keep_sampling(
    samples: Samples,
    *,
    worker: int,
    open_view: Callable[[], QueueView],
    clock: Clock,
    counters: Callable[[], Iterable[Sample]],
) -> None:
    """Look whose turn it is, each machine at another time; who has it looks again when the next one comes."""
    told, view, complaints = Seldom(), open_view(), Complaints()
    note_at = -inf
    try:
        while True:
            next_in = _LOOKED
            try:
                if clock.monotonic() >= note_at:
                    await samples.note_work(numbers_of(counters()))
                    note_at = clock.monotonic() + EVERY.total_seconds()
                if await count_for_all(samples, view=view, clock=clock, complaints=complaints):
                    next_in = EVERY.total_seconds()
            except StoreBroken:
                raise
            except StoreError as error:
                if told.is_due(clock.monotonic()):
                    log.warning("sample_failed", fault="local", reason=str(error))
            await asyncio.sleep(next_in + worker % 8 / 3)
    finally:
        await asyncio.to_thread(view.close)  # it waits for a count that is under way


async def count_for_all(
    samples: Samples, *, view: QueueView, clock: Clock, complaints: Complaints
) -> bool:
    """Count the queue if it is our turn; tell whether it was. Raises StoreError.

    In a thread, and `view` is nobody else's: a long queue takes seconds.
    """
    if not await samples.take_turn(_LEASE):
        return False

    def read() -> tuple[Counts, Sequence[Metric]]:
        return count(view, clock.now(), complaints)

    began = time.monotonic()
    counts, metrics = await asyncio.to_thread(read)
    took = timedelta(seconds=time.monotonic() - began)
    next_in = min(max(EVERY - took, _REST * took), _AT_MOST)
    await samples.note_queue(counts, metrics, next_in=next_in)
    return True


def numbers_of(samples: Iterable[Sample]) -> Mapping[str, float]:
    """Return what `relayd top --all` shows of one machine: its flows, and what is open."""
    reading = Reading(
        at=0.0,
        metrics=[
            Metric(
                each.family.name,
                tuple(zip(each.family.labels, each.labels, strict=True)),
                each.value,
            )
            for each in samples
            if not each.suffix
        ],
    )
    return {
        **{name: reading.flow(name) for name in FLOWS},
        "workers": reading.total("relayd_workers"),
        "clients": reading.total("relayd_connections", direction="in"),
        "servers": reading.total("relayd_connections", direction="out"),
        "paused_workers": reading.total("relayd_deliveries_paused"),
    }
