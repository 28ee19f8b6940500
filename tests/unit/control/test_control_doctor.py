"""The verb that has checks made."""

from collections.abc import Mapping
from dataclasses import replace

import pytest

from relayd.control.peer import Peer
from relayd.control.protocol import BadMessage, Message
from relayd.control.verbs import admit, answer
from relayd.policy.console.access import Caller
from relayd.store.memory.queue import MemoryStore
from tests.support.clock import FakeClock
from tests.support.control_server import a_context

ROOT = Peer(name="root", caller=Caller.OWNER)


async def ask(message: Message, begun: list[tuple[str, str]]) -> Mapping[str, object]:
    context = replace(
        a_context(MemoryStore(FakeClock())),
        doctor=lambda checks, by: begun.append((checks, by)),
    )
    answered = await answer(*await admit(message, ROOT, context))
    assert isinstance(answered, Mapping)
    return answered


@pytest.mark.parametrize("checks", ["quick", "all"])
async def test_it_has_checks_made_for_who_asks(checks: str) -> None:
    begun: list[tuple[str, str]] = []
    assert await ask({"verb": "doctor", "checks": checks}, begun) == {"ok": True}
    assert begun == [(checks, "root")]


@pytest.mark.parametrize(
    "wrong", [{}, {"checks": "some"}, {"checks": 1}, {"checks": "all", "domain": "x.test"}]
)
async def test_what_is_not_understood_begins_nothing(wrong: Message) -> None:
    begun: list[tuple[str, str]] = []
    with pytest.raises(BadMessage):
        await ask({"verb": "doctor", **wrong}, begun)
    assert not begun
