"""A recording, cut off at many instants, in all that a disk may then hold."""

import random  # noqa: TID251 -- seeded
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

from relayd.errors import RelaydError
from tests.proof import recording, replay
from tests.proof.disk import Loss


@dataclass(slots=True)
class Found:
    """What came of it."""

    cuts: int = 0
    states: int = 0
    starts: int = 0
    wrong: list[str] = field(default_factory=list)
    first_wrong: int = 0  # the number of the state


def cut_often(
    *,
    cuts: int,
    states: int = 4,
    starts: int = 0,
    seconds: float = 3600,
    messages: int = 20,
    is_direct: bool = False,
    fault: str = "",
    seed: int = 1,
    until_wrong: bool = False,
) -> Found:
    """Record once; look at so many states of each cut, and start a relay on that many states in all.

    It ends after `seconds`, or with the first state that is wrong if `until_wrong`.
    """
    began, found = time.monotonic(), Found()
    chance = random.Random(seed)
    with TemporaryDirectory(prefix="relayd-proof-", dir=memory()) as name:
        place = Path(name)
        recorded = recording.record(
            place, messages=messages, is_direct=is_direct, fault=fault, seed=seed
        )
        to_start = set(chance.sample(range(cuts * states), min(starts, cuts * states)))
        for cut in replay.cuts(recorded, cuts, chance):
            found.cuts += 1
            for loss in losses(states, chance):
                is_started = found.states in to_start
                found.states += 1
                found.starts += is_started
                wrong = _judge(place / "state", recorded, cut, loss, chance, is_started=is_started)
                if wrong and not found.first_wrong:
                    found.first_wrong = found.states
                found.wrong += [f"after {cut.step} steps, {loss.value}: {each}" for each in wrong]
            if time.monotonic() > began + seconds or (until_wrong and found.wrong):
                break
    return found


def losses(states: int, chance: random.Random) -> Iterator[Loss]:
    """Yield each once, and then what has the most variety."""
    yield from (Loss.ALL, Loss.SOME, Loss.LAST, Loss.NONE)[:states]
    for _ in range(states - len(Loss)):
        yield chance.choice((Loss.SOME, Loss.SOME, Loss.LAST))


def _judge(
    place: Path,
    recorded: recording.Recording,
    cut: replay.Cut,
    loss: Loss,
    chance: random.Random,
    *,
    is_started: bool,
) -> list[str]:
    if not cut.known.acked and not is_started:
        return []
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir()
    replay.write(cut.disk.after_a_cut(loss, chance), recorded, place)
    try:
        wrong = replay.look(place, recorded, cut.known)
        return wrong or (replay.start(place, recorded, cut.known) if is_started else [])
    except (AssertionError, RelaydError, OSError) as exc:
        return [str(exc) or type(exc).__name__]


def memory() -> str | None:
    """Return a folder in memory, if there is one: the disk is a model here."""
    return "/dev/shm" if Path("/dev/shm").is_dir() else None
