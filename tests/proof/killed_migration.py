"""A relay that is killed while it brings the queue of an old one up to date."""

import random  # noqa: TID251 -- seeded
import shutil
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path

from tests.proof.points import Ambush, Point, Victim
from tests.proof.recording import Way, a_next_hop
from tests.proof.shim import Shared, environment
from tests.support.daemon import Daemon, eventually
from tests.support.old_queue import an_old_queue

_OLDEST = 1  # the first schema
_LEFT = {"a@x.test": "relayed", "b@x.test": "bounced", "c@y.test": "relayed"}


def kill_in_migration(folder: Path, point: Point, chance: random.Random) -> Victim | None:
    """Kill it there, in a folder of its own; start it again, and have all that the old one left.

    Return who was killed; None: nobody got there.
    """
    with ExitStack() as stack:
        (home := folder / "old").mkdir()
        stack.callback(shutil.rmtree, home)
        since = datetime.now(UTC) - timedelta(days=1)  # noqa: TID251 -- of this machine
        an_old_queue(home / "queue.db", schema=_OLDEST, since=since)
        hop = stack.enter_context(a_next_hop(is_direct=False))
        way = Way(environment(home, folder / "old.lock"))
        relay = Daemon(home, hop.port, workers=1)
        stack.callback(relay.close)
        shared = Shared(folder / "old.lock")
        stack.callback(shared.close)
        ambush = Ambush(shared)
        victim = chance.choice((Victim.WHO_GETS_THERE, Victim.ALL))
        ambush.lay(point, nth=chance.randint(1, point.most))
        way.start(relay)
        assert relay.process is not None
        eventually(lambda: ambush.killed_by or _is_up(relay), "killed or up", within=30)
        ambush.lift()
        if ambush.killed_by and victim is Victim.ALL:
            relay.kill()
        if ambush.killed_by == relay.process.pid:
            relay.end()
        if relay.process.poll() is not None:
            relay.up()
        eventually(lambda: _is_up(relay), "it is up", within=30)
        eventually(
            lambda: _LEFT.items() <= relay.statuses().items(), "what the old one left", within=60
        )
        assert relay.stop() == 0
        return victim if ambush.killed_by else None


def _is_up(relay: Daemon) -> bool:
    return bool(relay.events("started"))
