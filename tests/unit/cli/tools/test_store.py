"""`relayd store status` and `relayd store migrate` of a database."""

import json
import os
from collections.abc import Iterator

import pytest

from relayd.ports.schema import StepKind
from relayd.store.postgres import schema
from relayd.store.postgres.schema import Step
from tests.support import postgres
from tests.support.cli_world import World
from tests.support.postgres import needs_postgres

pytestmark = needs_postgres

FIRST = schema.steps()[0]
CONTRACT = Step(9, "0009_grey", StepKind.CONTRACT, "DROP INDEX audit_at")
NODE = (
    "INSERT INTO node VALUES ('old', '', '', '0.0.1', 1, 1, '', extract(epoch FROM now()) * 1000)"
)


@pytest.fixture(autouse=True)
def _database(world: World) -> Iterator[None]:
    """An empty database, and settings that name it."""
    server = postgres.server()
    server.run("CREATE DATABASE migrated")
    text = world.settings.read_text().replace(
        f"sqlite:{world.folder}/queue.db", server.url("migrated")
    )
    world.settings.write_text(text)
    yield
    server.run("DROP DATABASE migrated WITH (FORCE)")


def test_what_would_be_done_what_is_done_and_what_waits(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(schema, "steps", lambda: [FIRST])
    foreseen = world.run("store", "migrate", "--dry-run")
    assert (foreseen.status, foreseen.err) == (0, "")
    assert foreseen.out.endswith(": 0001_start (expand) would be applied\n")
    assert world.run("store", "migrate").out.endswith(": 0001_start (expand) applied\n")
    assert world.run("store", "migrate").out.endswith(": nothing to do\n")

    monkeypatch.setattr(schema, "steps", lambda: [FIRST, CONTRACT])
    postgres.server().run(NODE, "migrated")
    waits = "0009_grey (contract) waits for old (relayd 0.0.1)"
    for more in ((), ("--dry-run",)):
        assert world.run("store", "migrate", *more).out.endswith(f": {waits}\n")
    told = world.run("store", "status").out.splitlines()
    assert told[-1].split(maxsplit=1) == ["step", waits]
    assert told[-2].startswith("step       0001_start (expand) applied 2")
    [facts] = [json.loads(line) for line in world.run("store", "status", "--json").out.splitlines()]
    assert facts["steps"][1] == {
        "name": "0009_grey",
        "kind": "contract",
        "applied_at": None,
        "held_by": ["old (relayd 0.0.1)"],
        "known": True,
    }
    postgres.server().run("DELETE FROM node", "migrated")
    assert world.run("store", "migrate").out.endswith(": 0009_grey (contract) applied\n")

    monkeypatch.setattr(schema, "steps", lambda: [FIRST])
    refused = world.run("store", "migrate")
    assert (refused.status, refused.out) == (os.EX_DATAERR, "")
    assert refused.err == (
        "relayd: the database has schema 9, this relayd knows up to 1: install the newer version\n"
    )
