"""What `python -m tests.proof` tries, part by part, and how much of it in the time that there is."""

import random  # noqa: TID251 -- seeded
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.proof import calls, clocks, crowd, cut_migration, kills, long_run, peers
from tests.proof.modes import Mode
from tests.proof.planted import BY_CLOCKS, BY_POWER_CUTS
from tests.proof.power_cuts import cut_often, memory
from tests.proof.table import Row
from tests.support.kills import judge
from tests.support.kills import kill_often as kill_with_cut_through
from tests.support.postgres import PROGRAMS

_PLENTY = 10**6
_RELAYS = 6  # at once: they mostly wait
Work = Callable[[], Row]


@contextmanager
def _a_place() -> Iterator[Path]:
    with TemporaryDirectory(prefix="relayd-proof-", dir=memory()) as name:
        yield Path(name)


def _way(*, is_direct: bool) -> str:
    return "direct mode" if is_direct else "smarthost"


def _counted(counts: Counter[str]) -> str:
    return ", ".join(f"{count} {name}" for name, count in counts.most_common())


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
    tried = f"{found.cuts} cuts, {found.states} states of the disk, {found.starts} starts"
    return Row(f"power cuts, {_way(is_direct=is_direct)}", tried, found.wrong)


def _cut_migration(seconds: float, seed: int) -> Row:
    with _a_place() as place:
        found = cut_migration.cut_often(
            place, cuts=max(5, int(seconds / 2)), seconds=seconds, seed=seed
        )
    tried = f"{found.cuts} cuts, {found.starts} starts on states of the disk"
    return Row("power cuts, in a migration", tried, found.wrong)


def _system_calls(seconds: float, seed: int, *, is_direct: bool) -> Row:
    with _a_place() as place:
        with calls.a_world(place, is_direct=is_direct) as world:
            faults = list(calls.faults(world))
        random.Random(seed).shuffle(faults)
        found = calls.try_all(place, faults, is_direct=is_direct, seconds=seconds, relays=_RELAYS)
    name = f"system calls, {_way(is_direct=is_direct)}"
    tried = f"{found.tried} of {len(faults)} faults, {found.missed} calls not reached"
    return Row(name, tried, found.wrong)


def _system_calls_in_a_crowd(seconds: float, seed: int) -> Row:
    """Those that fail; where a process is killed, its clients are gone anyway."""
    clients = crowd.as_many_as_fit()
    with _a_place() as place:
        with calls.a_world(place, is_direct=False) as world:
            faults = [fault for fault in calls.faults(world) if fault.error is not None]
        random.Random(seed).shuffle(faults)
        found = calls.try_all(place, faults, is_direct=False, seconds=seconds, clients=clients)
    tried = f"{found.tried} of {len(faults)} faults, {found.missed} calls not reached"
    return Row(f"system calls, {clients:,} clients connected", tried, found.wrong)


def _kills(seconds: float, seed: int, *, mode: Mode) -> Row:
    with _a_place() as place:
        found = kills.kill_at_once(place, _RELAYS, seconds=seconds, seed=seed, mode=mode)
    missed = f", {found.missed.total()} points not reached" if found.missed else ""
    tried = (
        f"{found.kills.total()} kills at {len(found.kills)} points ({_counted(found.victims)}),"
        f" {found.messages} messages, {found.twice} recipients twice{missed}"
    )
    return Row(f"kill -9 at points, {mode.value}", tried, found.wrong)


def _kills_with_cut_through(seconds: float, seed: int) -> Row:
    with _a_place() as place:
        run = kill_with_cut_through(place, _PLENTY, seed, seconds=seconds)
        try:
            wrong, count = [], judge(run)["messages"]
        except AssertionError as error:
            wrong, count = [str(error)], len(run.ledger.entries)
    tried = f"{run.kills} kills, {count} messages"
    return Row("kill -9 at random, direct mode, cut-through, fall-back", tried, wrong)


def _clocks(seconds: float, seed: int) -> Row:
    with _a_place() as place:
        found = clocks.change_often(place, times=_PLENTY, seconds=seconds, seed=seed)
    tried = f"{_counted(found.changes)}; {found.messages} messages, {found.twice} recipients twice"
    return Row("clocks", tried, found.wrong)


def _cut_control(fault: str, seed: int) -> Row:
    found = cut_often(cuts=120, states=3, messages=12, fault=fault, seed=seed, until_wrong=True)
    tried = f"found in state {found.first_wrong}" if found.wrong else f"{found.states} states"
    return Row(f"control: {fault}", tried, found.wrong, is_control=True)


def _kill_control(control: kills.Control, seed: int) -> Row:
    with _a_place() as place:
        found = kills.find(place, control, seed=seed)
    tried = f"found after {found.kills.total()} kills, {found.messages} messages"
    return Row(f"control: {control.fault}", tried, found.wrong, is_control=True)


def _clock_control(fault: str, seed: int) -> Row:
    with _a_place() as place:
        found = clocks.control(place, fault, seed=seed)
    tried = f"found after {found.changes.total()} stops, {found.messages} messages"
    return Row(f"control: {fault}", tried, found.wrong, is_control=True)


def _long(seconds: float, seed: int) -> Row:
    with _a_place() as place:
        found = long_run.run(place, seconds=seconds, seed=seed)
    return Row("long run", found.tried, found.wrong)


def _controls(_seconds: float, seed: int) -> Iterator[Work]:
    yield from (partial(_cut_control, fault, seed) for fault in BY_POWER_CUTS)
    yield from (
        partial(_kill_control, each, seed) for each in kills.CONTROLS if each.mode in _modes()
    )
    yield from (partial(_clock_control, fault, seed) for fault in BY_CLOCKS)


def _both_ways(row: Callable[..., Row], seconds: float, seed: int) -> Iterator[Work]:
    for is_direct in (False, True):
        yield partial(row, seconds / 2, seed, is_direct=is_direct)


def _all_calls(seconds: float, seed: int) -> Iterator[Work]:
    yield from _both_ways(_system_calls, seconds * 0.8, seed)
    yield partial(_system_calls_in_a_crowd, seconds * 0.2, seed)


def _modes() -> Sequence[Mode]:
    """Return those that can be had here."""
    return [mode for mode in Mode if mode is not Mode.POSTGRES or PROGRAMS is not None]


def _all_power_cuts(seconds: float, seed: int) -> Iterator[Work]:
    yield from _both_ways(_power_cuts, seconds * 0.8, seed)
    yield partial(_cut_migration, seconds * 0.2, seed)


def _all_kills(seconds: float, seed: int) -> Iterator[Work]:
    modes = _modes()
    share = seconds / (len(modes) + 1)
    yield from (partial(_kills, share, seed, mode=mode) for mode in modes)
    yield partial(_kills_with_cut_through, share, seed)


PARTS: Mapping[str, Callable[[float, int], Iterator[Work]]] = {
    "controls": _controls,
    "power-cuts": _all_power_cuts,
    "calls": _all_calls,
    "kills": _all_kills,
    "clocks": lambda seconds, seed: iter([partial(_clocks, seconds, seed)]),
    "long": lambda seconds, seed: iter([partial(_long, seconds, seed)]),
    "peers": lambda _seconds, _seed: (partial(_peer, name) for name in peers.PEERS),
}
"""Each part, given its time in seconds, besides what takes what it takes: controls and peers."""


def _peer(name: str) -> Row:
    return Row(f"peer: {name}", peers.look(name))
