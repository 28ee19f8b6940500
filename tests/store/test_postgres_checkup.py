"""What a server says of itself to who looks from outside."""

import asyncio
from dataclasses import replace
from pathlib import Path

from structlog.testing import capture_logs

from relayd.doctor import machine
from relayd.mail.ids import WorkerIdentity
from relayd.policy.doctor.finding import Level
from relayd.ports.membership import Cluster
from relayd.ports.schema import Migrated
from relayd.store import examine_server, migrate, nodes_of, open_store
from relayd.worker import housekeeping
from relayd.worker.system import SystemClock
from tests.support import postgres
from tests.support.postgres import needs_postgres
from tests.support.supervised import settings_of


@needs_postgres
def test_a_server_tells_its_version_its_schema_and_its_size() -> None:
    facts, queue = examine_server(postgres.database())
    assert facts.problem == ""
    assert int(facts.version.partition(".")[0]) >= 15
    assert facts.schema == facts.newest_schema > 0
    assert facts.octets > 1_000_000
    assert facts.logs == (), "what comes with PostgreSQL logs no mail"
    assert queue is not None
    assert (queue.waiting, queue.held, queue.oldest_at) == (0, 0, None)
    assert nodes_of(postgres.database()) == []
    assert migrate(postgres.database()) == Migrated([])


@needs_postgres
def test_a_database_without_a_queue_is_told_by_its_schema() -> None:
    facts, queue = examine_server(postgres.server().url("template1"))
    assert (facts.problem, facts.schema, queue) == ("", 0, None)


def test_a_server_that_is_away_is_a_fact(tmp_path: Path) -> None:
    facts, queue = examine_server(f"postgresql://relayd@/mail?host={tmp_path}")
    assert "the database cannot be used" in facts.problem
    assert facts.name == f"postgresql://relayd@{tmp_path}/mail"
    assert queue is None


@needs_postgres
async def test_machines_with_other_settings_are_named(tmp_path: Path) -> None:
    """Nobody is, while no machine is alive."""
    url = postgres.database()
    settings = settings_of([], control="", queue=f"{tmp_path}/queue.db")
    settings = replace(settings, store=replace(settings.store, url=url))
    assert await asyncio.to_thread(machine._judge_nodes, settings) == []
    other = {**settings.shared_keys, "retry.soft_bounce": "another"}
    for node, cluster in (
        ("one", Cluster(settings=settings.shared_digest, keys=settings.shared_keys)),
        ("two", Cluster(settings="another", keys=other)),
    ):
        store = open_store(url, clock=SystemClock(), slots={}, cluster=cluster)
        await store.register(WorkerIdentity(node=node, boot=node, name="1"))
        await store.close()
    [found] = await asyncio.to_thread(machine._judge_nodes, settings)
    assert (found.level, found.subject) == (Level.WARN, "two")
    assert found.reason.startswith("settings are not as here (retry.soft_bounce): ")
    with capture_logs() as logs:
        await housekeeping.compare_settings(settings, is_first=True)
    [said] = logs
    assert (said["event"], said["node"]) == ("settings_differ", "two")
    assert said["keys"] == ["retry.soft_bounce"]
    older = "UPDATE node SET settings = 'of an older relayd' WHERE name = 'two'"
    postgres.server().run(older)
    [_, two] = await asyncio.to_thread(nodes_of, url)
    assert two.differs_in(settings.shared_keys) == ()
    postgres.empty()
