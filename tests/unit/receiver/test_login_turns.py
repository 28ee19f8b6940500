"""Turns at checking a password: none is lost, whatever becomes of those who wait."""

import asyncio

from relayd.policy.intake.turns import Rank
from relayd.receiver.login_turns import AT_ONCE, LoginTurns


async def have(turns: LoginTurns, rank: Rank, until: asyncio.Event) -> None:
    async with turns.turn(rank, "a"):
        await until.wait()


def test_strangers_never_have_all_turns() -> None:
    async def main() -> None:
        turns, over = LoginTurns(), asyncio.Event()
        async with asyncio.TaskGroup() as tasks:
            for _ in range(9):
                tasks.create_task(have(turns, Rank.NEW, over))
            await asyncio.sleep(0)
            async with asyncio.timeout(5), turns.turn(Rank.KNOWN, "a"):
                assert turns._busy == AT_ONCE
            over.set()
        assert (turns._busy, turns._strangers) == (0, 0)

    asyncio.run(main())


def test_a_turn_that_comes_just_then_is_not_lost() -> None:
    """It is given to one that is cancelled in the same step of the loop."""

    async def main() -> None:
        turns, over = LoginTurns(), asyncio.Event()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(have(turns, Rank.NEW, over))
            async with turns.turn(Rank.NEW, "a"):
                late = tasks.create_task(have(turns, Rank.NEW, over))
                await asyncio.sleep(0)
            assert (turns._busy, turns._strangers) == (2, 2), "it is given"
            late.cancel()
            over.set()
        assert (turns._busy, turns._strangers) == (0, 0)

    asyncio.run(main())
