"""Places for questions: the prompt ones are bounded, and those that nobody answers hold up no others."""

import asyncio

import pytest

from relayd.net.dns import places
from relayd.net.dns.places import Places
from tests.support.post import eventually

_PROMPT = 3


@pytest.fixture(autouse=True)
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(places, "_PROMPT", _PROMPT)
    monkeypatch.setattr(places, "_LATE", 2)
    monkeypatch.setattr(places, "_SOON", 3600.0)
    monkeypatch.setattr(places, "_PAUSE", 0.0)


def never() -> float:
    return asyncio.get_running_loop().time() + 3600


async def full() -> tuple[Places, list[object]]:
    some = Places()
    return some, [await some.take(never()) for _ in range(_PROMPT)]


async def begun(some: Places) -> "asyncio.Task[object]":
    task = asyncio.ensure_future(some.take(never()))
    await asyncio.sleep(0)
    return task


async def test_who_waits_gets_the_next_place_in_order() -> None:
    some, taken = await full()
    first, second = await begun(some), await begun(some)
    assert not first.done()
    some.give_back(taken.pop())
    await first
    assert not second.done()
    third = await begun(some)
    some.give_back(taken.pop())
    await second
    assert not third.done()
    some.give_back(first.result())
    await third


async def test_late_ones_make_room_up_to_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    some, _ = await full()
    waiting = [await begun(some) for _ in range(3)]
    monkeypatch.setattr(places, "_SOON", 0.0)
    late = await begun(some)
    some._on_timer()
    await asyncio.gather(*waiting[:2])
    assert not waiting[2].done(), "as many are late as may be"
    assert not late.done()
    some.give_back(waiting[0].result())
    await waiting[2]
    late.cancel()


async def test_who_waits_is_looked_after_though_nothing_is_answered(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The timer."""
    monkeypatch.setattr(places, "_SOON", 0.01)
    some, _ = await full()
    await some.take(never())
    await some.take(never())


async def test_one_that_is_spared_has_no_late_ones_besides(monkeypatch: pytest.MonkeyPatch) -> None:
    some, taken = await full()
    assert some.are_many
    monkeypatch.setattr(places, "_SOON", 0.0)
    for _ in range(9):
        some.note(is_refusal=True)
    waiting = await begun(some)
    some._on_timer()
    await asyncio.sleep(0)
    assert not waiting.done()
    some.give_back(taken.pop())
    await waiting


async def test_while_they_are_spared_none_lasts_long_that_others_wait_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    some, taken = await full()
    for _ in range(9):
        some.note(is_refusal=True)
    assert not some.has_to_end(taken[0])
    waiting = await begun(some)
    assert not some.has_to_end(taken[0]), "not yet"
    monkeypatch.setattr(places, "_SOON", 0.0)
    assert some.has_to_end(taken[0])
    for each in taken:
        some.give_back(each)
    await waiting
    some.give_back(waiting.result())
    assert some.are_many, "it may have them still"


async def test_a_few_refusals_are_about_their_names(monkeypatch: pytest.MonkeyPatch) -> None:
    """One name in ten that is always refused slows down nobody."""
    some, _ = await full()
    monkeypatch.setattr(places, "_SOON", 0.0)
    for number in range(100):
        some.note(is_refusal=number % 10 == 0)
    await some.take(never())


async def test_late_ones_end_where_too_many_are_late(monkeypatch: pytest.MonkeyPatch) -> None:
    some, taken = await full()
    monkeypatch.setattr(places, "_SOON", 0.0)
    more = [await some.take(never()) for _ in range(2)]
    assert not any(some.has_to_end(each) for each in taken), "nobody waits"
    waiting = await begun(some)
    assert [some.has_to_end(each) for each in (*taken, *more)] == [True, True, False, False, False]
    some.give_back(taken[0])
    await waiting


async def test_the_deadline_ends_the_wait_and_leaves_no_place_behind() -> None:
    some, taken = await full()
    with pytest.raises(TimeoutError):
        await some.take(asyncio.get_running_loop().time())
    cut = await begun(some)
    some.give_back(taken.pop())  # it has its turn, and is cancelled before it hears of it
    cut.cancel()
    with pytest.raises(asyncio.CancelledError):
        await cut
    await some.take(never())
    for each in taken:
        some.give_back(each)
    await eventually(lambda: not some.are_many)
