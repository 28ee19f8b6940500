"""The roles of docs/howto/cluster.md: made by its SQL as it is written, each can do its work and no more."""

import asyncio
import os
import re
import subprocess
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from relayd.errors import CopyFailed
from relayd.mail.ids import WorkerIdentity
from relayd.ports.membership import Cluster
from relayd.store import copy, examine_server, migrate, open_store
from relayd.store.postgres import partitions
from relayd.store.values import to_ms
from relayd.worker.system import SystemClock
from tests.support.builders import a_message, settlements_of
from tests.support.cli_world import World, make_world
from tests.support.postgres import Server, needs_postgres
from tests.support.stores import LEASE

pytestmark = needs_postgres

PAGE = Path(__file__).parents[2] / "docs/howto/cluster.md"
ONE_ROLE, THREE_ROLES, TO_READ = re.findall(r"(?s)```sql\n(.*?)```", PAGE.read_text())
SECRET = ("content", "content_part", "meta", "account", "session", "api_key", "once", "endpoint")


@pytest.fixture
def server() -> Iterator[Server]:
    running = Server(superuser="admin")
    yield running
    running.close()


async def send(url: str) -> None:
    """Have a worker take a message, finish it, and drop what is old; a second one waits."""
    clock = SystemClock()
    store = open_store(url, clock=clock, slots={}, cluster=Cluster())
    worker = (await store.register(WorkerIdentity(node="one", boot="one", name="1"))).number
    message = a_message("a@x.test", at=clock.now())
    [work] = await store.enqueue(message, worker=worker, lease_for=LEASE)
    await store.settle(work.lease, settlements_of(work))
    waits = a_message("b@x.test", at=clock.now())
    await store.enqueue(waits, worker=worker, lease_for=None)
    await store.extend([work.lease], worker=worker, lease_for=LEASE)
    await store.reap()
    await store.purge(clock.now() - timedelta(days=90))
    assert await store.content(waits.id) is not None
    await store.close()


def is_refused(server: Server, sql: str, user: str) -> str:
    with pytest.raises(subprocess.CalledProcessError) as refused:
        server.run(sql, "relayd", user)
    return str(refused.value.stderr)


def test_one_role(server: Server) -> None:
    server.run(ONE_ROLE)
    asyncio.run(send(server.url("relayd")))
    assert examine_server(server.url("relayd"))[0].lacking == ""


def test_three_roles(server: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    server.run(THREE_ROLES)
    relay, owner, reader = (
        server.url("relayd", user) for user in ("relayd", "relayd_owner", "relayd_read")
    )
    assert migrate(owner).applied
    server.run(TO_READ, "relayd", "relayd_owner")
    asyncio.run(send(relay))
    assert examine_server(relay)[0].lacking == ""

    week = partitions.week_of(to_ms(SystemClock().now())) + 20
    server.run(f"SELECT make_week('event', {week})", "relayd", "relayd")
    for sql in (
        "DROP TABLE queue",
        "ALTER TABLE queue ADD COLUMN colour int",
        "CREATE TABLE mine (a int)",
        "SELECT make_week('queue; DROP TABLE queue', 1)",
    ):
        assert re.search(
            "must be owner|permission denied|no week of", is_refused(server, sql, "relayd")
        )
    for sql in (
        *(f"SELECT 1 FROM {name}" for name in SECRET),
        "DELETE FROM queue",
        f"SELECT drop_week({week})",
        f"SELECT make_week('event', {week + 1})",
    ):
        assert "permission denied" in is_refused(server, sql, "relayd_read")

    world = make_world(tmp_path, capsys.readouterr)
    questions_work(world, reader)


@pytest.mark.parametrize(("roles", "owner"), [(ONE_ROLE, "relayd"), (THREE_ROLES, "relayd_owner")])
def test_a_queue_is_copied_there_and_back(
    server: Server, tmp_path: Path, roles: str, owner: str
) -> None:
    """By the owner, who is no superuser: the server warns such a one of what it may not do."""
    server.run(roles)
    file, database, last = (
        f"sqlite:{tmp_path}/a.db",
        server.url("relayd", owner),
        f"sqlite:{tmp_path}/b.db",
    )
    migrate(database)
    asyncio.run(send(file))
    if owner != "relayd":
        with pytest.raises(CopyFailed, match=r"role relayd does not own the tables .*cluster\.md"):
            copied(file, server.url("relayd", "relayd"))
    assert copied(file, database) == copied(database, last) == 2


def copied(source: str, target: str) -> int:
    """Copy a queue; return how many messages there were."""
    return copy(source, target, lambda *_: None, mark_of=lambda _: "").rows["message"]


def questions_work(world: World, url: str) -> None:
    text = world.settings.read_text()
    world.settings.write_text(text.replace(f"sqlite:{world.folder}/queue.db", url))
    ran = world.run("status", "--json")
    assert ran.status == os.EX_OK, ran.err
    rows = ran.rows
    assert {row["rcpt"]: row["status"] for row in rows} == {
        "a@x.test": "relayed",
        "b@x.test": "queued",
    }
    for command in (
        ("status", "show", rows[0]["queue_id"]),
        ("queue", "list"),
        ("addresses",),
        ("pauses",),
        ("sites",),
        ("stats", "--by", "domain"),
        ("tlsrpt", "show"),
        ("nodes",),
        ("store", "status"),
    ):
        ran = world.run(*command)
        assert ran.status == os.EX_OK, (command, ran.err)
    ran = world.run("top", "--json")  # there is no daemon
    assert ran.rows[0]["queue"]["queued"] == 1, ran.err
    ran = world.run("top", "--all", "--json")
    [node] = ran.rows[0]["nodes"]
    assert (node["node"], node["rates"]) == ("one", None), ran.err
