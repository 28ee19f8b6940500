"""Does relayd keep its promises in any order of events? Simulated runs of workers on one queue, each drawn from a seed.

Prints how many runs there were and what they cost; of the first that failed its seed, its fewest steps and its trace. Ends with 1 if
one failed, or if a fault that was put in was not found. docs/simulation.md says what is looked at.

    python -m tests.simulation [--schedules N] [--minutes N] [--seed N] [--jobs N] [--controls] [--json]
"""

import argparse
import json
import multiprocessing
import os
import resource
import sys
import time
from collections.abc import Iterator

from tests.simulation.logs import quiet
from tests.simulation.planted import PLANTED, planted
from tests.simulation.runs import Run, run, runs, shrunk
from tests.simulation.schedule import schedule_of

_PART = 500  # runs that a process is given at a time
_MOST_FOR_A_FAULT = 5000  # runs
_SHOWN = 200  # lines of a trace


def _runs_of(seeds: range) -> tuple[list[Run], float]:
    """Run some, and tell how many seconds of a processor they took."""
    began = _used()
    with quiet():
        return list(runs(seeds)), _used() - began


def _used() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def _parts(first: int, count: int) -> Iterator[range]:
    for at in range(first, first + count, _PART):
        yield range(at, min(at + _PART, first + count))


def _tell(failed: Run) -> None:
    """Print the fewest steps that fail as a seed did, and what happened."""
    with quiet():
        schedule = shrunk(schedule_of(failed.seed))
        world = run(schedule)
    print(f"seed {failed.seed}: {failed.failure}")
    print(f"with the fewest steps: {world.failure}")
    for step in schedule.steps:
        print(f"    {step}")
    for line in world.trace[-_SHOWN:]:
        print("   ", *line)


def _controls(seed: int) -> dict[str, int]:
    """Return in which run each planted fault was found; 0: in none."""
    found = {}
    for fault in PLANTED:
        with quiet(), planted(fault):
            seeds = range(seed, seed + _MOST_FOR_A_FAULT)
            failed = (each.seed for each in runs(seeds) if each.failure)
            found[fault] = next(failed, seed - 1) - seed + 1
    return found


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tests.simulation", description=__doc__.split("\n")[0]
    )
    parser.add_argument("--schedules", type=int, default=10_000)
    parser.add_argument("--minutes", type=float, default=24 * 60.0, help="end after that")
    parser.add_argument("--seed", type=int, default=1, help="of the first one")
    parser.add_argument("--jobs", type=int, default=1, help="processes")
    parser.add_argument("--controls", action="store_true", help="look for planted faults, too")
    parser.add_argument("--json", action="store_true", help="one object at the end")
    arguments = parser.parse_args()
    began, count, took, turns, seconds = time.monotonic(), 0, 0.0, 0, 0.0
    failed = list[Run]()
    with multiprocessing.Pool(arguments.jobs) as pool:
        for some, used in pool.imap(_runs_of, _parts(arguments.seed, arguments.schedules)):
            count += len(some)
            took += used
            turns += sum(each.turns for each in some)
            seconds += sum(each.seconds for each in some)
            failed += [each for each in some if each.failure]
            if time.monotonic() - began > 60 * arguments.minutes:
                break
    found = _controls(arguments.seed) if arguments.controls else {}
    result = {
        "schedules": count,
        "seed": arguments.seed,
        "failed": {each.seed: each.failure for each in failed},
        "controls": found,
        "turns": turns,
        "simulated_hours": round(seconds / 3600, 1),
        "processor_seconds": round(took, 1),
        "ms_each": round(1000 * took / max(1, count), 2),
        "seconds": round(time.monotonic() - began, 1),
    }
    if arguments.json:
        print(json.dumps(result))
    else:
        for name, value in result.items():
            print(f"{name:20} {value}")
    if failed and not arguments.json:
        _tell(failed[0])
    return 1 if failed or not all(found.values()) else 0


if __name__ == "__main__":
    if "PYTHONHASHSEED" not in os.environ:  # sets have the same order in each run then
        os.execve(
            sys.executable,
            [sys.executable, "-m", "tests.simulation", *sys.argv[1:]],
            {**os.environ, "PYTHONHASHSEED": "0"},
        )
    sys.exit(main())
