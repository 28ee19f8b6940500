"""What the first worker of a machine does for all of them.

Each look costs a database a statement, and there is no more to be found by a second worker. The supervisor starts the first one
again when it ends.
"""

import asyncio
from functools import partial

from relayd.settings import Settings
from relayd.store import open_view
from relayd.worker import housekeeping
from relayd.worker.inherited import Inherited
from relayd.worker.parts import Parts
from relayd.worker.sampling import COUNT_WITHIN, keep_sampling


def for_the_machine(
    settings: Settings, inherited: Inherited, parts: Parts, tasks: asyncio.TaskGroup
) -> list[asyncio.Task[None]]:
    """Begin it, if this is the first worker; return the tasks."""
    if inherited.place:
        return []
    begun = [
        tasks.create_task(housekeeping.have_secret(parts.store), name="secret of the store"),
        tasks.create_task(housekeeping.keep_tally(parts), name="tally"),
        tasks.create_task(
            housekeeping.let_go(settings.store.keep_bounced, parts.store, parts.clock),
            name="bounced content",
        ),
    ]
    if parts.store.samples is not None:
        sampling = keep_sampling(
            parts.store.samples,
            worker=parts.worker,
            open_view=partial(open_view, settings.store.url, within=COUNT_WITHIN),
            clock=parts.clock,
            counters=inherited.counters.samples,
        )
        begun.append(tasks.create_task(sampling, name="samples of the queue"))
    return begun
