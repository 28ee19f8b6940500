"""What verbs and questions cost on PostgreSQL beside a long queue and a long history, and on an empty database.

    python -m benchmarks.postgres_growth [--queued N] [--history EVENTS] [--rounds N]

Both databases are in one server of the benchmark's own, and take turns. Milliseconds, the least of the rounds.
"""

import argparse
import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from functools import partial
from typing import Any

from benchmarks import postgres_backlog, postgres_server
from relayd.mail.ids import Registration, WorkerIdentity
from relayd.mail.tally import Dimension
from relayd.mail.words import BounceClass
from relayd.ports.queue import Work
from relayd.ports.tally import TallyQuery
from relayd.ports.view import Query, Status
from relayd.ports.waiting import By
from relayd.store.postgres.queue import PostgresStore
from relayd.store.postgres.view import PostgresView
from relayd.worker.parts import IdSource
from relayd.worker.system import SystemClock
from tests.support.builders import a_message, settlements_of
from tests.support.postgres import Server

_LEASE = timedelta(seconds=60)
_AT_ONCE = 100  # recipients in a claim
_PAGE = 100  # rows
_CLOCK = SystemClock()


@dataclass
class Side:
    """One database, with a worker that has it open."""

    store: PostgresStore
    view: PostgresView
    registered: Registration
    ids: IdSource
    took: dict[str, list[float]] = field(default_factory=dict)  # milliseconds

    async def time(self, name: str, ask: Callable[[], Awaitable[Any]]) -> Any:
        began = time.perf_counter()
        answer = await ask()
        self.took.setdefault(name, []).append((time.perf_counter() - began) * 1000)
        return answer


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--queued", type=int, default=1_000_000)
    parser.add_argument("--history", type=int, default=10_000_000, help="events")
    parser.add_argument("--rounds", type=int, default=7)
    arguments = parser.parse_args()
    with postgres_server.server("max_wal_size=8GB") as server:
        sides = asyncio.run(_measure(server, arguments))
    print(f"{'ms':44}{'empty':>10}{'full':>10}")
    for name, times in sides["empty"].took.items():
        print(f"{name:44}{min(times):10.2f}{min(sides['filled'].took[name]):10.2f}")


async def _measure(server: Server, arguments: argparse.Namespace) -> Mapping[str, Side]:
    sides = {name: await _open(postgres_server.fresh(server, name)) for name in ("empty", "filled")}
    finished = arguments.history // postgres_backlog.EVENTS
    await postgres_backlog.fill(server, "filled", queued=arguments.queued, finished=finished)
    for number in range(arguments.rounds):
        for side in sides.values():
            await _verbs(side, f"worker {number}")
            await _questions(side)
    for side in sides.values():
        side.view.close()
        await side.store.close()
    return sides


async def _open(url: str) -> Side:
    store = PostgresStore.open(url, clock=_CLOCK, slots={"smarthost": 4})
    registered = await store.register(WorkerIdentity(node="here", boot="now", name="1"))
    return Side(store, PostgresView(url), registered, IdSource(registered))


async def _verbs(side: Side, name: str) -> None:
    store, worker = side.store, side.registered.number
    identity = WorkerIdentity(node="here", boot="now", name=name)
    await side.time("start of a worker", lambda: store.register(identity))
    mail = a_message("a@x.test", content=b"x" * 4096)

    async def enqueue(*, lease: bool) -> list[Work]:
        now = _CLOCK.now()
        batch = [replace(mail, id=side.ids.next_id(now), received_at=now) for _ in range(_AT_ONCE)]
        given = [
            store.enqueue(each, worker=worker, lease_for=_LEASE if lease else None)
            for each in batch
        ]
        return [work for found in await asyncio.gather(*given) for work in found]

    async def settle(work: list[Work]) -> None:
        await asyncio.gather(*(store.settle(each.lease, settlements_of(each)) for each in work))

    await settle(await enqueue(lease=True))  # has a slot, and plans
    work = await side.time("enqueue 100, leased", partial(enqueue, lease=True))
    await side.time("settle them", partial(settle, work))
    await side.time("enqueue 100 that wait", partial(enqueue, lease=False))
    claim = partial(store.claim, worker, limit=_AT_ONCE, lease_for=_LEASE)
    work = list(await side.time("claim 100", claim))
    await side.time("settle those", partial(settle, work))
    held = list({each.lease for each in work})
    await side.time("extend", lambda: store.extend(held, worker=worker, lease_for=_LEASE))
    await side.time("reap", store.reap)
    await side.time("count events", lambda: store.tally_up(1))
    for lease in held:
        await side.time("release", partial(store.release, lease))


async def _questions(side: Side) -> None:
    view, now = side.view, _CLOCK.now()
    newest = view.find(Query(), limit=1)[0]
    asked: Mapping[str, Callable[[], Any]] = {
        "status": lambda: view.page(Query(), limit=_PAGE),
        "status --recipient": lambda: view.page(Query(recipient=("a@x.test",)), limit=_PAGE),
        "status --recipient, of nobody": lambda: view.page(Query(recipient=("b@c.test",)), limit=1),
        "status --domain": lambda: view.page(Query(domain=("big.test",)), limit=_PAGE),
        "status --sender": lambda: view.page(Query(sender=("app@app.test",)), limit=_PAGE),
        "status --tag": lambda: view.page(Query(tag=("batch 7",)), limit=_PAGE),
        "status --message-id": lambda: view.page(Query(message_id_header=("7@app.test",)), limit=1),
        "status --status bounced": lambda: view.page(Query(status=(Status.BOUNCED,)), limit=_PAGE),
        "status show": lambda: view.history(newest.message_id),
        "find (`queue list`)": lambda: view.find(Query(unfinished=True), limit=_PAGE),
        "queue list --by": lambda: view.waiting(Query(), By.DOMAIN, most=30_000),
        "addresses --bounce-class hard": lambda: view.recent_addresses(
            Query(bounce_class=(BounceClass.HARD,)), limit=_PAGE
        ),
        "stats of 7 days by domain": lambda: view.tally(
            TallyQuery(by=Dimension.DOMAIN, since=now - timedelta(days=7), limit=_PAGE)
        ),
        "log, the newest": lambda: view.latest(_PAGE),
        "log, from an event on": lambda: view.events(
            after=max(view.last_event() - 65536, 0), limit=_PAGE
        ),
        "overview: what waits": lambda: view.backlog(now, most=50_000),
        "metrics: all that waits": view.counts,
    }
    for name, ask in asked.items():
        await side.time(name, partial(asyncio.to_thread, ask))


if __name__ == "__main__":
    main()
