"""What a worker says of a store that is away for hours: the same thing once a minute."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from io import StringIO
from typing import Any, NoReturn, cast

import pytest
from structlog.testing import capture_logs

from relayd.errors import StoreUnavailable
from relayd.worker import housekeeping, sampling
from tests.support.clock import FakeClock
from tests.support.post import eventually

TRIES = 100


class Away:
    """A store that cannot be reached, and a clock that goes on by a second with each try."""

    def __init__(self) -> None:
        self.clock, self.worker = FakeClock(), 0
        self.tries = 0

    @property
    def store(self) -> "Away":
        return self

    async def tally_up(self) -> bool:
        return await self._try()

    async def let_go(self, _: datetime) -> None:
        await self._try()

    async def note_work(self, _: object) -> None:
        await self._try()

    async def _try(self) -> NoReturn:
        if self.tries == TRIES:
            await asyncio.Event().wait()
        self.tries += 1
        self.clock.advance(timedelta(seconds=1))
        raise StoreUnavailable("no answer")


def _tally(store: Any) -> Awaitable[None]:
    return housekeeping.keep_tally(store)


def _let_go(store: Any) -> Awaitable[None]:
    return housekeeping.let_go(timedelta(days=1), store, store.clock)


def _sample(store: Any) -> Awaitable[None]:
    return sampling.keep_sampling(
        store, worker=0, open_view=cast("Any", StringIO), clock=store.clock, counters=list
    )


@pytest.mark.parametrize(
    ("work", "event"),
    [(_tally, "tally_failed"), (_let_go, "let_go_failed"), (_sample, "sample_failed")],
)
async def test_what_fails_again_and_again_has_a_line_a_minute(
    work: Callable[[Away], Awaitable[None]], event: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module, name in (
        (housekeeping, "_COUNTED"),
        (housekeeping, "_LET_GO"),
        (sampling, "_LOOKED"),
    ):
        monkeypatch.setattr(module, name, 0)
    away = Away()
    with capture_logs() as told:
        async with asyncio.TaskGroup() as tasks:
            task = tasks.create_task(cast("Any", work(away)))
            await eventually(lambda: away.tries == TRIES)
            task.cancel()
    assert [line["event"] for line in told] == [event] * 2
