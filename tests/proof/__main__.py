"""Is what was acknowledged ever lost? Power cuts, kills and failing system calls, on this machine.

Prints a table of what was tried and what was wrong, and ends with 1 if anything was, or if a fault that was put in was not found.
docs/durability.md says what each row means.

    python -m tests.proof [--minutes N] [--seed N] [--json]
"""

import argparse
import json
import random  # noqa: TID251 -- seeded
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from tests.proof import calls
from tests.proof.planted import PLANTED
from tests.proof.power_cuts import cut_often
from tests.support.kills import judge, kill_often

_PLENTY = 10**6


@dataclass(slots=True)
class Row:
    """One row of the table."""

    name: str
    tried: str
    wrong: list[str] = field(default_factory=list)
    is_control: bool = False

    @property
    def is_right(self) -> bool:
        return bool(self.wrong) is self.is_control


def _power_cuts(seconds: float, seed: int, *, is_direct: bool) -> Row:
    found = cut_often(
        cuts=max(20, int(seconds)),
        states=8,
        starts=int(seconds / 3),
        seconds=seconds,
        messages=40,
        is_direct=is_direct,
        seed=seed,
    )
    way = "direct" if is_direct else "smarthost"
    tried = f"{found.cuts} cuts, {found.states} states of the disk, {found.starts} starts"
    return Row(f"power cuts, {way}", tried, found.wrong)


def _system_calls(seconds: float, seed: int, *, is_direct: bool) -> Row:
    end, wrong, tried = time.monotonic() + seconds, [], 0
    with (
        tempfile.TemporaryDirectory(prefix="relayd-proof-") as name,
        calls.a_world(Path(name), is_direct=is_direct) as world,
    ):
        faults = list(calls.faults(world))
        random.Random(seed).shuffle(faults)
        for fault in faults:
            if time.monotonic() > end:
                break
            tried += 1
            wrong += [f"{fault}: {each}" for each in world.try_out(fault)]
    way = "direct" if is_direct else "smarthost"
    return Row(f"system calls, {way}", f"{tried} of {len(faults)} faults", wrong)


def _kills(seconds: float, seed: int) -> Row:
    with tempfile.TemporaryDirectory(prefix="relayd-proof-") as name:
        run = kill_often(Path(name), _PLENTY, seed, seconds=seconds)
        found = judge(run)
    return Row("kill -9, direct", f"{run.kills} kills, {found['messages']} messages")


def _control(fault: str, seed: int) -> Row:
    found = cut_often(cuts=120, states=3, messages=12, fault=fault, seed=seed, until_wrong=True)
    tried = f"found in state {found.first_wrong}" if found.wrong else f"{found.states} states"
    return Row(f"control: {fault}", tried, found.wrong, is_control=True)


def _rows(seconds: float, seed: int) -> Iterator[tuple[str, Callable[[], Row]]]:
    """Yield what is tried: the controls first, since they take what they take."""
    for fault in PLANTED:
        yield fault, partial(_control, fault, seed)
    for way in (False, True):
        yield "power cuts", partial(_power_cuts, seconds * 0.25, seed, is_direct=way)
        yield "system calls", partial(_system_calls, seconds * 0.15, seed, is_direct=way)
    yield "kills", partial(_kills, seconds * 0.2, seed)


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tests.proof", description=__doc__.split("\n")[0]
    )
    parser.add_argument("--minutes", type=float, default=30, help="besides the controls")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", action="store_true", help="one object for each row")
    arguments = parser.parse_args()
    all_right = True
    for name, work in _rows(60 * arguments.minutes, arguments.seed):
        print(f"... {name}", file=sys.stderr, flush=True)
        row = work()
        all_right &= row.is_right
        if arguments.json:
            print(
                json.dumps(
                    {
                        "name": row.name,
                        "tried": row.tried,
                        "wrong": row.wrong,
                        "right": row.is_right,
                    }
                ),
                flush=True,
            )
            continue
        verdict = "as it has to be" if row.is_right else "NOT FOUND" if row.is_control else "WRONG"
        print(f"{row.name:55} {row.tried:50} {verdict}", flush=True)
        if not row.is_control:
            for each in row.wrong:
                print(f"    {each}")
    return 0 if all_right else 1


if __name__ == "__main__":
    sys.exit(main())
