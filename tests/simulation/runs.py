"""Many runs, one after the other, and the smallest schedule that fails as one of them did."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from tests.simulation import logs
from tests.simulation.schedule import Schedule, Step, schedule_of
from tests.simulation.world import World


@dataclass(frozen=True, slots=True)
class Run:
    """What came of one."""

    seed: int
    failure: str  # empty: nothing was wrong
    turns: int  # callbacks
    seconds: float  # of its own time


def run(schedule: Schedule) -> World:
    """Run a schedule; to be `logs.quiet`."""
    logs.forget()
    world = World(schedule)
    world.run()
    if bug := logs.bug():
        world.fail(f"the log has {bug}")
    return world


def runs(seeds: Iterable[int]) -> Iterator[Run]:
    """Run the schedules of some seeds."""
    for seed in seeds:
        world = run(schedule_of(seed))
        yield Run(seed, world.failure, world.loop.turns, world.loop.time())


def shrunk(schedule: Schedule) -> Schedule:
    """Return a schedule that fails, too, none of whose steps can be left out."""
    steps: Sequence[Step] = schedule.steps
    at = 0
    while at < len(steps):
        fewer = [*steps[:at], *steps[at + 1 :]]
        if run(schedule.of(fewer)).failure:
            steps = fewer
        else:
            at += 1
    return schedule.of(steps)
