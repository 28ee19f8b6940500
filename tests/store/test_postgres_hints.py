"""Hints between machines: heard by the workers of others."""

import asyncio
from contextlib import AsyncExitStack

from relayd.store.postgres.hints import PostgresHints
from tests.support import postgres
from tests.support.post import eventually
from tests.support.postgres import needs_postgres

_CUT = (
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'relayd/hints'"
)


class Machine:
    def __init__(self, name: str, url: str) -> None:
        self.heard = 0
        self.pauses = 0
        self.joined = 0
        self.hints = PostgresHints(
            url, name, self._hear, self._hear_of_pauses, self._hear_of_who_joined
        )
        self.keeping = asyncio.ensure_future(self.hints.keep())

    def _hear(self) -> None:
        self.heard += 1

    def _hear_of_pauses(self) -> None:
        self.pauses += 1

    def _hear_of_who_joined(self) -> None:
        self.joined += 1

    async def close(self) -> None:
        self.hints.close()
        await self.keeping

    def tells(self, other: "Machine") -> bool:
        """Give a hint; tell whether the other one has heard any."""
        self.hints.give()
        return other.heard > 0


@needs_postgres
async def test_other_machines_hear_a_hint() -> None:
    async with AsyncExitStack() as stack:
        one, two = (Machine(name, postgres.database()) for name in ("one", "two"))
        for each in (one, two):
            stack.push_async_callback(each.close)
        await eventually(lambda: one.tells(two))
        await eventually(lambda: two.tells(one))


@needs_postgres
async def test_its_own_machine_has_other_hints() -> None:
    async with AsyncExitStack() as stack:
        one, again, two = (Machine(name, postgres.database()) for name in ("one", "one", "two"))
        for each in (one, again, two):
            stack.push_async_callback(each.close)
        await eventually(lambda: one.tells(two) and again.tells(two) and two.heard > 10)
        assert (one.heard, again.heard) == (0, 0)


@needs_postgres
async def test_other_machines_hear_of_changed_pause_rules() -> None:
    """And look at the queue as well: a rule that was ended lets mail go on."""
    async with AsyncExitStack() as stack:
        one, two = (Machine(name, postgres.database()) for name in ("one", "two"))
        for each in (one, two):
            stack.push_async_callback(each.close)
        await eventually(lambda: one.tells(two))
        assert two.pauses == 0
        heard = two.heard
        one.hints.give_pauses()
        await eventually(lambda: two.pauses == 1)
        assert two.heard > heard
        assert one.pauses == 0


@needs_postgres
async def test_other_machines_hear_who_joined() -> None:
    """They need not look at the queue for that. Another hint of the same moment comes as well."""
    async with AsyncExitStack() as stack:
        one, two = (Machine(name, postgres.database()) for name in ("one", "two"))
        for each in (one, two):
            stack.push_async_callback(each.close)
        await eventually(lambda: one.hints.are_heard and two.hints.are_heard)
        one.hints.give_joined()
        await eventually(lambda: two.joined == 1)
        assert (two.heard, one.joined) == (0, 0)
        one.hints.give_pauses()
        one.hints.give_joined()
        one.hints.give()
        await eventually(lambda: two.joined == 2 and two.pauses == 1 and two.heard == 2)


@needs_postgres
async def test_a_connection_finds_out_whether_hints_come_through() -> None:
    """Looks are rare where they do; those that only try it make nobody look."""
    async with AsyncExitStack() as stack:
        one, two = (Machine(name, postgres.database()) for name in ("one", "two"))
        for each in (one, two):
            stack.push_async_callback(each.close)
        assert not one.hints.are_heard
        await eventually(lambda: one.hints.are_heard and two.hints.are_heard)
        assert (one.heard, two.heard) == (0, 0)
        postgres.server().run(_CUT)
        await eventually(lambda: not one.hints.are_heard)
        await eventually(lambda: one.tells(two) and one.hints.are_heard)


@needs_postgres
async def test_the_last_hint_comes_with_the_end() -> None:
    """What a worker hands back when it stops is found by others at once."""
    async with AsyncExitStack() as stack:
        one, two = (Machine(name, postgres.database()) for name in ("one", "two"))
        stack.push_async_callback(two.close)
        await eventually(lambda: one.hints.are_heard and two.hints.are_heard)
        await one.close()
        await eventually(lambda: two.heard == 1)
