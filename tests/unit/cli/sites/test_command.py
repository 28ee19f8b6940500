"""`relayd sites`: what is known of receivers, and how it is forgotten."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from relayd.cli.context import now
from relayd.policy.pace import Saw, Seen
from relayd.ports.queue import QueueStore
from relayd.ports.sites import Fallback, SiteKey
from relayd.store.sqlite.connection import prepare
from tests.support.cli_world import World, make_world
from tests.support.control_server import a_control_server

SLOW = Seen(saw=Saw.SLOW, reply="421 4.7.28 too fast", went=30.0, message=1)
BLOCKED = Seen(saw=Saw.BLOCKED, reply="550 5.7.1 listed", message=2, has_other_way=True)


@pytest.fixture
def world(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> World:
    made = make_world(tmp_path, capsys.readouterr)
    prepare(str(tmp_path / "queue.db"))
    return made


@contextlib.asynccontextmanager
async def some_sites(world: World) -> AsyncIterator[QueueStore]:
    """Google is paced; b.test, seen from two addresses, has refused one of them. Months ago old.test did."""
    store = world.open_store()
    await store.sites.note_site(SiteKey("old.test"), BLOCKED)
    world.clock.advance(now() - world.clock.now())
    await store.sites.note_site(SiteKey("google"), SLOW)
    await store.sites.note_site(SiteKey("b.test", "192.0.2.1"), BLOCKED)
    await store.sites.note_site(SiteKey("b.test", "192.0.2.2"), SLOW)
    until = (world.clock.now() + timedelta(hours=6)).timestamp()
    for domain in ("b.test", "c.test"):
        await store.sites.note_fallback(Fallback(domain=domain, site="b.test", until=until))
    async with a_control_server(world.socket, store):
        yield store
    await store.close()


def test_without_any_word_every_site_is_free(world: World) -> None:
    ran = world.run("sites")
    assert (ran.status, len(ran.cells)) == (0, 1), "the titles"
    assert "every site is free" in ran.err
    assert world.run("sites", "--fail-empty").status == 1
    assert world.run("sites", "google").out.splitlines()[1].startswith("  free")


async def test_the_list_has_a_row_for_each_site_and_address(world: World) -> None:
    async with some_sites(world):
        ran = await asyncio.to_thread(world.run, "sites", "--json")
        assert [(row["site"], row.get("local_ip"), row["mode"]) for row in ran.rows] == [
            ("b.test", "192.0.2.1", "blocked"),
            ("b.test", "192.0.2.2", "paced"),
            ("google", None, "paced"),
        ]
        assert ran.rows[0]["reply"] == "550 5.7.1 listed"
        assert "messages_per_minute" not in ran.rows[0]
        assert ran.rows[0]["until"] > ran.rows[2]["until"]
        assert ran.rows[2]["messages_per_minute"] == 24.0
        ran = await asyncio.to_thread(world.run, "sites")
        assert "421 4.7.28 too fast" in ran.out
        assert ran.status == 0


async def test_one_site_is_shown_with_the_domains_that_go_another_way(world: World) -> None:
    async with some_sites(world):
        ran = await asyncio.to_thread(world.run, "sites", "b.test")
        lines = ran.out.splitlines()
        assert len(lines) == 7
        assert lines[0] == "b.test"
        assert lines[1].startswith("  from 192.0.2.1: blocked, nothing before 20")
        assert lines[2] == "    it said: 550 5.7.1 listed"
        assert lines[3].startswith("  from 192.0.2.2: paced, at most 24.0 messages a minute")
        assert lines[5].startswith("  mail to b.test goes by the smarthost until 20")
        ran = await asyncio.to_thread(world.run, "sites", "show", "b.test", "--json")
        [row] = ran.rows
        assert [each["mode"] for each in row["sources"]] == ["blocked", "paced"]
        assert [each["domain"] for each in row["fallbacks"]] == ["b.test", "c.test"]
        assert (await asyncio.to_thread(world.run, "sites", "--csv", "b.test")).status == 64


async def test_a_site_is_freed_with_its_domains(world: World) -> None:
    async with some_sites(world) as store:
        with capture_logs() as logs:
            ran = await asyncio.to_thread(world.run, "sites", "free", "b.test")
        assert ran.out.splitlines() == [
            "freed b.test from 192.0.2.1, which was blocked",
            "freed b.test from 192.0.2.2, which was paced",
            "mail to b.test goes directly again",
            "mail to c.test goes directly again",
        ]
        assert [line["event"] for line in logs].count("site_free") == 2
        changes = await store.sites.site_states()
        assert {each.until for each in changes.fallbacks} == {0.0}
        ran = await asyncio.to_thread(world.run, "sites", "--json")
        assert [row["site"] for row in ran.rows] == ["google"]
        with capture_logs():
            ran = await asyncio.to_thread(world.run, "sites", "free", "google", "--json")
        assert (ran.rows[0]["site"], ran.rows[0]["domains"]) == ("google", [])
        assert [each["mode"] for each in ran.rows[0]["sources"]] == ["paced"]
        ran = await asyncio.to_thread(world.run, "sites", "free", "google")
        assert ran.status != 0
        assert "nothing is known of a site google" in ran.err
        until = (now() + timedelta(hours=1)).timestamp()
        await store.sites.note_fallback(Fallback(domain="e.test", site="e.test", until=until))
        ran = await asyncio.to_thread(world.run, "sites", "free", "e.test")
        assert ran.out == "mail to e.test goes directly again\n", "whatever is known of the site"
