"""Power cuts while a relay brings the queue of an old one up to date: on whatever the disk holds then, the next start goes on."""

import random  # noqa: TID251 -- seeded
import shutil
import time
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import apsw

from relayd.errors import RelaydError
from tests.proof.disk import Disk, State
from tests.proof.power_cuts import Found, losses
from tests.proof.record import read
from tests.proof.recording import Way, a_next_hop
from tests.proof.shim import environment
from tests.support.daemon import Daemon, a_daemon, eventually
from tests.support.old_queue import an_old_queue

_OLDEST = 1  # the first schema
_LEFT = {"a@x.test": "relayed", "b@x.test": "bounced", "c@y.test": "relayed"}


def cut_often(
    place: Path, *, cuts: int, states: int = 2, seconds: float = 3600, seed: int = 1
) -> Found:
    """Record a migration; start a relay on so many states of each cut."""
    chance, began, found = random.Random(seed), time.monotonic(), Found()
    (home := place / "relay").mkdir()
    since = datetime.now(UTC) - timedelta(days=1)  # noqa: TID251 -- of this machine
    an_old_queue(home / "queue.db", schema=_OLDEST, since=since)
    files = {
        str(path.resolve()): (path.stat().st_ino, path.read_bytes()) for path in home.iterdir()
    }
    record, folder = place / "record", str(home.resolve())
    _migrate(home, Way(environment(home, place / "lock", record=record)))
    steps = sum(1 for _ in read(record))
    at = set(chance.sample(range(1, steps + 1), min(cuts, steps)))
    disk = Disk(folder, files)
    for number, step in enumerate(read(record), 1):
        disk.follow(step)
        if number not in at:
            continue
        found.cuts += 1
        for loss in losses(states, chance):
            found.states += 1
            found.starts += 1
            shutil.rmtree(place / "state", ignore_errors=True)
            (place / "state").mkdir()
            wrong = _start(disk.after_a_cut(loss, chance), folder, place / "state")
            found.wrong += [
                f"after {number} of {steps} steps, {loss.value}: {each}" for each in wrong
            ]
        if time.monotonic() > began + seconds:
            break
    return found


def _migrate(home: Path, way: Way) -> None:
    """Have it done, without any mail going out."""
    relay = Daemon(home, 1, workers=1)
    try:
        way.up(relay)
        assert relay.stop() == 0
    finally:
        relay.close()


def _start(state: State, folder: str, place: Path) -> list[str]:
    """Write the state, start a relay on it, and return what is wrong."""
    for path, content in sorted(state.items()):
        target = place / Path(path).relative_to(folder)
        if content is None:
            target.mkdir(exist_ok=True)
        elif target.suffix not in {".toml", ".log", ".sock"} and target.parent.is_dir():
            target.write_bytes(content)
    try:
        with a_next_hop(is_direct=False) as hop, a_daemon(place, hop.port, workers=1) as relay:
            eventually(
                lambda: _LEFT.items() <= relay.statuses().items(),
                "what the old one left",
                within=60,
            )
            assert relay.stop() == 0
            count = len(hop.messages)
        with closing(
            apsw.Connection(str(place / "queue.db"), flags=apsw.SQLITE_OPEN_READONLY)
        ) as db:
            check = db.execute("PRAGMA integrity_check").get
    except (AssertionError, RelaydError, OSError, apsw.Error) as exc:
        return [str(exc) or type(exc).__name__]
    wrong = [] if check == "ok" else [f"integrity check: {check}"]
    return wrong if count <= 1 else [*wrong, f"it came {count} times"]
