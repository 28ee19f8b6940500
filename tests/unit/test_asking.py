"""A store behind a network is asked on a thread: it may be away, and the event loop turns on."""

import threading
from collections.abc import Awaitable
from functools import partial

import pytest

from relayd.errors import StoreUnavailable
from relayd.worker.asking import Asking


async def test_what_is_near_answers_at_once() -> None:
    near = Asking()
    assert near.soon(threading.get_ident) == threading.get_ident()
    assert await near.ask(threading.get_ident) == threading.get_ident()


async def test_what_is_far_answers_on_a_thread() -> None:
    far = Asking(is_near=False)
    soon = far.soon(threading.get_ident)
    assert isinstance(soon, Awaitable)
    assert await soon != threading.get_ident()
    assert await far.ask(threading.get_ident) != threading.get_ident()


async def test_that_it_is_away_is_told_when_the_answer_is_wanted() -> None:
    def away() -> None:
        raise StoreUnavailable("no route to host")

    soon = Asking(is_near=False).soon(partial(away))
    assert isinstance(soon, Awaitable)
    with pytest.raises(StoreUnavailable):
        await soon
