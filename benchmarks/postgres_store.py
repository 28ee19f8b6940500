"""What a message costs in PostgreSQL: put into the store and settled, so many at a time, on a server of its own.

    python -m benchmarks.postgres_store

Prints for each number at a time the messages in a second, and the processor time of this process and of the server.
"""

import asyncio
import time
from dataclasses import replace
from datetime import timedelta

from benchmarks import postgres_server
from relayd.mail.envelope import NewMessage
from relayd.mail.ids import WorkerIdentity
from relayd.store.postgres.queue import PostgresStore
from relayd.worker.parts import IdSource
from relayd.worker.system import SystemClock
from tests.support.builders import a_message, settlements_of
from tests.support.postgres import Server

AT_A_TIME = (1, 5, 20, 50)
MESSAGES = 2000
OCTETS = 4096
LEASE = timedelta(seconds=60)


async def main(server: Server) -> None:
    clock = SystemClock()
    store = PostgresStore.open(postgres_server.fresh(server, "store"), clock=clock, slots={})
    worker = await store.register(WorkerIdentity(node="here", boot="now", name="1"))
    ids = IdSource(worker)
    mail = a_message("a@x.test", content=b"x" * OCTETS)

    async def pass_on(message: NewMessage) -> None:
        for work in await store.enqueue(message, worker=worker.number, lease_for=LEASE):
            await store.settle(work.lease, settlements_of(work))

    for at_a_time in AT_A_TIME:
        begun, ours, theirs = (
            time.perf_counter(),
            time.process_time(),
            postgres_server.seconds(server),
        )
        for _ in range(MESSAGES // at_a_time):
            now = clock.now()
            batch = [replace(mail, id=ids.next_id(now), received_at=now) for _ in range(at_a_time)]
            await asyncio.gather(*map(pass_on, batch))
        took = time.perf_counter() - begun
        own = (time.process_time() - ours) / MESSAGES * 1e6
        there = (postgres_server.seconds(server) - theirs) / MESSAGES * 1e6
        print(
            f"{at_a_time:3} at a time: {MESSAGES / took:6.0f} msg/s, {own:4.0f} µs here, {there:4.0f} µs there"
        )
    await store.close()


if __name__ == "__main__":
    with postgres_server.server() as running:
        asyncio.run(main(running))
