"""What a worker says of a store that is away for hours: the same thing once a minute."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from io import StringIO
from typing import Any, cast

import pytest
from structlog.testing import capture_logs

from relayd.errors import StoreBroken, StoreError, StoreUnavailable
from relayd.worker import housekeeping, sampling
from tests.support.clock import FakeClock
from tests.support.post import eventually

TRIES = 100


class Away:
    """A store that cannot be reached, and a clock that goes on by a second with each try."""

    def __init__(self, error: type[StoreError] = StoreUnavailable) -> None:
        self.clock, self.worker = FakeClock(), 0
        self.error, self.tries = error, 0
        self.is_back_after: int | None = None

    @property
    def store(self) -> "Away":
        return self

    async def tally_up(self) -> bool:
        await self._try()
        return False

    async def let_go(self, _: datetime) -> None:
        await self._try()

    async def note_work(self, _: object) -> None:
        await self._try()

    async def secret(self) -> bytes:
        await self._try()
        return b"secret"

    async def _try(self) -> None:
        if self.tries == TRIES:
            await asyncio.Event().wait()
        self.tries += 1
        self.clock.advance(timedelta(seconds=1))
        if self.is_back_after is None or self.tries <= self.is_back_after:
            raise self.error("no answer")


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


async def test_the_secret_is_made_as_soon_as_the_store_is_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(housekeeping, "_SEALED", 0)
    away = Away()
    away.is_back_after = 3
    await housekeeping.have_secret(cast("Any", away))
    assert away.tries == 4


async def test_a_store_that_can_be_used_no_more_ends_the_wait_for_its_secret() -> None:
    away = Away(StoreBroken)
    with pytest.raises(StoreBroken):
        await housekeeping.have_secret(cast("Any", away))
