"""`relayd queue list --by`."""

import os
from datetime import timedelta

import pytest

from relayd.cli.ask import by
from relayd.store.sqlite import waiting
from tests.support.builders import a_message, a_recipient
from tests.support.cli_world import World, column, enqueue
from tests.support.clock import START


async def fill(world: World) -> None:
    store = world.open_store()
    to = [
        a_recipient(each, destination="smarthost") for each in ("a@x.test", "b@x.test", "c@y.test")
    ]
    await enqueue(store, a_message(*to, tag="news"), a_message(to[0], reverse_path=""))
    await store.close()


async def test_domains_behind_a_smarthost(world: World) -> None:
    await fill(world)
    ran = world.run("queue", "list", "--by", "domain")
    assert ran.status == os.EX_OK
    assert column(ran.cells, "DOMAIN") == ["x.test", "y.test"]
    assert column(ran.cells, "RECIPIENTS") == column(ran.cells, "QUEUED") == ["3", "1"]
    assert column(ran.cells, "HELD") == ["0", "0"]
    assert all(column(ran.cells, "OLDEST") + column(ran.cells, "NEXT"))


@pytest.mark.parametrize(
    ("kind", "title", "values"),
    [
        ("sender", "SENDER", ["app@app.test", "<>"]),
        ("destination", "DESTINATION", ["smarthost"]),
        ("tag", "TAG", ["news", "(none)"]),
        ("user", "USER", ["(none)"]),
    ],
)
async def test_each_kind(world: World, kind: str, title: str, values: list[str]) -> None:
    await fill(world)
    assert column(world.run("queue", "list", "--by", kind).cells, title) == values


async def test_filters_limit_and_json(world: World) -> None:
    await fill(world)
    ran = world.run("queue", "list", "--by", "domain", "--tag", "news", "--limit", "1", "--json")
    [row] = ran.rows
    assert row["oldest"].startswith(f"{START:%Y-%m-%dT}")
    del row["oldest"], row["next_attempt_at"]
    counts = {"recipients": 2, "queued": 2, "deferred": 0, "held": 0}
    assert row == {"by": "domain", "domain": "x.test", **counts}
    assert "the 1 of 2" in world.run("queue", "list", "--by", "domain", "--limit", "1").err


@pytest.mark.parametrize("arguments", [["0CNA0NJ6E0401"], ["--columns", "id"]])
async def test_what_does_not_go_with_it(world: World, arguments: list[str]) -> None:
    await fill(world)
    ran = world.run("queue", "list", "--by", "domain", *arguments)
    assert (ran.status, ran.out) == (os.EX_USAGE, "")


@pytest.mark.parametrize("more", [[], ["--domain", "x.test"]], ids=str)
async def test_of_very_much_mail_the_newest_is_counted(
    world: World, monkeypatch: pytest.MonkeyPatch, more: list[str]
) -> None:
    """In a table, in a bounded time; all of it for programs, and where all is asked for."""
    store = world.open_store()
    for number in range(5):
        await enqueue(
            store, a_message(a_recipient("a@x.test", destination="smarthost"), count=number)
        )
        world.clock.advance(timedelta(seconds=1))
    await store.close()
    monkeypatch.setattr(by, "_MOST", 2)
    monkeypatch.setattr(waiting, "_AT_ONCE", 1)
    command = ["queue", "list", "--by", "domain", *more]
    ran = world.run(*command)
    assert column(ran.cells, "RECIPIENTS") in (["2"], ["3"])
    assert "of mail since " in ran.err
    for all_of in (["--limit", "0"], ["--csv"], ["--json"]):
        ran = world.run(*command, *all_of)
        assert "5" in ran.out
        assert "of mail since" not in ran.err


async def test_csv_and_an_empty_answer(world: World) -> None:
    await fill(world)
    header, row = world.run(
        "queue", "list", "--by", "tag", "--csv", "--limit", "1"
    ).out.splitlines()
    assert header == "by,tag,recipients,queued,deferred,held,oldest,next_attempt_at"
    assert row.startswith("tag,news,3,3,0,0,")
    ran = world.run("queue", "list", "--by", "tag", "--tag", "no", "--fail-empty")
    assert ran.status == 1
    assert "nothing matches" in ran.err
