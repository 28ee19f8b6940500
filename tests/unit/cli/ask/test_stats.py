"""`relayd stats`: the questions of an operator's day, on a small history."""

import os
from datetime import timedelta

import pytest

from relayd.mail.outcome import Outcome, Relayed
from relayd.mail.words import BounceClass, Category
from tests.support.builders import a_bounce, a_message, a_settlement
from tests.support.cli_world import World, column
from tests.support.clock import START
from tests.support.screens import a_screen
from tests.support.workers import registered

_OUTCOMES: tuple[Outcome, ...] = (
    Relayed(),
    a_bounce(),
    a_bounce(BounceClass.BLOCK, category=Category.POLICY),
)
_EVERYTHING = ("--since", "2026-01-01", "--until", "2026-12-01")


@pytest.fixture
async def filled(world: World) -> None:
    """Mail of two applications over two days: the shop's bounces."""
    store = world.open_store()
    worker = await registered(store, "worker")
    for number in range(6):
        sender, user = ("shop@app.test", "shop") if number < 4 else ("news@app.test", None)
        message = a_message(
            "a@x.test",
            at=world.clock.now(),
            count=number,
            reverse_path=sender,
            auth_user=user,
            tag="news" if number == 5 else None,
        )
        [work] = await store.enqueue(message, worker=worker, lease_for=timedelta(minutes=5))
        world.clock.advance(timedelta(seconds=10))
        outcome = _OUTCOMES[number % 3]
        await store.settle(work.lease, [a_settlement(message.id, 0, outcome, at=world.clock.now())])
        world.clock.advance(timedelta(hours=8))
    await store.close()


@pytest.mark.usefixtures("filled")
def test_which_application_sends_and_bounces_most(world: World) -> None:
    for by in ("user", "sender"):
        ran = world.run("stats", "--by", by)
        assert column(ran.cells, by.upper())[0].startswith("shop")
        assert column(ran.cells, by.upper())[-1] == "all"
        assert column(ran.cells, "RECEIVED") == ["4", "2", "6"]
        assert column(ran.cells, "SHARE") == ["66.7%", "33.3%", "100.0%"]
        assert column(ran.cells, "BOUNCED") == ["2", "2", "4"]
        assert column(ran.cells, "BOUNCED %") == ["50.0%", "100.0%", "66.7%"]
    assert column(world.run("stats", "--by", "user").cells, "USER")[1] == "(none)"


@pytest.mark.usefixtures("filled")
def test_what_bounced_by_reason(world: World) -> None:
    ran = world.run("stats", "--by", "category", *_EVERYTHING)
    told = dict(zip(column(ran.cells, "CATEGORY"), ran.cells[1:], strict=True))
    assert column(ran.cells, "BOUNCED") == ["2", "2", "4"]
    assert set(told) == {"bad_mailbox", "policy", "all"}
    rows = world.run("stats", "--by", "category", "--json").rows
    assert [(row.get("category"), row["hard"], row["block"], row["share"]) for row in rows] == [
        ("bad_mailbox", 2, 0, 0.5),
        ("policy", 0, 2, 0.5),
        (None, 2, 2, 1.0),
    ]


@pytest.mark.usefixtures("filled")
def test_without_by_there_are_totals_and_steps_of_time(world: World) -> None:
    ran = world.run("stats", *_EVERYTHING)
    assert column(ran.cells, "RECEIVED") == ["2", "3", "1", "6"]
    assert column(ran.cells, "SINCE")[-1] == "all"
    rows = world.run(
        "stats", "--json", "--since", "2026-03-01T12:00:00Z", "--until", "2026-03-02T14:00:00Z"
    ).rows
    assert [row["ts"][11:16] for row in rows[:-1]] == ["12:00", "20:00", "04:00", "12:00"]
    assert rows[-1]["received"] == 4
    assert rows[-1]["since"] == "2026-03-01T12:00:00.000Z"
    assert rows[-1]["p95"] == pytest.approx(10, rel=0.1)


@pytest.mark.usefixtures("filled")
def test_the_time_that_is_covered_is_told(world: World) -> None:
    ran = world.run("stats", "--since", "2026-03-01T12:05:00Z", "--until", "2026-03-01T12:06:00Z")
    assert "Events from 2026-03-01 12:00:00Z to 2026-03-01 12:10:00Z." in ran.err
    assert "no numbers from before" not in ran.err
    assert "no numbers from before 2026-03-01" in world.run("stats", *_EVERYTHING).err


@pytest.mark.usefixtures("filled")
def test_limit_and_columns(world: World) -> None:
    ran = world.run("stats", "--by", "sender", "--limit", "1", "--columns", "value,bounced")
    assert ran.cells == [["SENDER", "BOUNCED"], ["shop@app.test", "2"], ["all", "4"]]
    assert "--limit 0 shows all" in ran.err


def test_an_empty_queue_and_none(world: World) -> None:
    assert world.run("stats").status == os.EX_UNAVAILABLE
    assert world.run("stats", "--by", "weather").status == os.EX_USAGE
    assert START.year == 2026


@pytest.mark.usefixtures("filled")
def test_delays_of_a_selection(world: World) -> None:
    """Of the last attempt of each recipient, then percentiles."""
    rows = world.run("status", "--delays", "--json", "--sender", "news@app.test").rows
    assert [row["rcpt"] for row in rows[:2]] == ["a@x.test", "a@x.test"]
    assert [row["by"] for row in rows[2:]] == ["p50", "p95", "p99"]
    ran = world.run("status", "--delays", "--limit", "2")
    assert column(ran.cells, "ID")[2:] == ["p50", "p95", "p99"]
    assert "--limit 0 takes all" in ran.err
    assert ran.cells[0][3:] == ["DELAY", "QUEUE", "CONNECT", "TRANSACTION"]
    assert world.run("status", "--delays", "--columns", "id").status == os.EX_USAGE


@pytest.mark.usefixtures("filled")
def test_the_newest_delay_is_at_the_prompt(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """As in every table; percentiles of all are below it."""
    piped = column(world.run("status", "--delays").cells, "ID")
    with a_screen(monkeypatch) as shown:
        assert world.run("status", "--delays").status == 0
    ids = [line.split()[0] for line in shown.getvalue().splitlines()[1:]]
    assert ids == [*reversed(piped[:-3]), "p50", "p95", "p99"]


@pytest.mark.usefixtures("filled")
def test_steps_of_time_in_utc(world: World, elsewhere: str) -> None:
    """Rows and what is said about them: as clocks show it here, or in UTC."""
    local, utc = world.run("stats", *_EVERYTHING), world.run("stats", "--utc", *_EVERYTHING)
    assert all(cell.endswith(elsewhere) for cell in column(local.cells, "SINCE")[:-1])
    assert all(cell.endswith("Z") for cell in column(utc.cells, "SINCE")[:-1])
    assert (elsewhere in local.err, elsewhere in utc.err) == (True, False)
