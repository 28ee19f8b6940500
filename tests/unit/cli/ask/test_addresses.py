import os
from datetime import timedelta

import pytest

from relayd.mail.outcome import Outcome, Relayed
from tests.support.builders import a_bounce, a_message, a_settlement
from tests.support.cli_world import World, column, enqueue

OUTCOMES: dict[str, Outcome] = {
    "gone@example.com": a_bounce(),
    "ok@example.com": Relayed(),
}


@pytest.fixture
async def filled(world: World) -> None:
    store = world.open_store()
    try:
        for _ in range(2):
            worker = await enqueue(store, a_message(*OUTCOMES))
            for work in await store.claim(worker, limit=9, lease_for=timedelta(minutes=1)):
                settlements = [
                    a_settlement(work.message.id, one.number, OUTCOMES[one.address])
                    for one in work.recipients
                ]
                await store.settle(work.lease, settlements)
    finally:
        await store.close()


@pytest.mark.usefixtures("filled")
def test_one_row_per_address(world: World) -> None:
    ran = world.run("addresses")
    told = dict(zip(column(ran.cells, "ADDRESS"), ran.cells[1:], strict=True))
    assert told.keys() == OUTCOMES.keys()
    assert told["gone@example.com"][1] == "bounced"
    assert told["gone@example.com"][3:7] == ["2", "2", "0", "yes"]
    assert told["ok@example.com"][3:7] == ["2", "0", "0", "no"]


@pytest.mark.usefixtures("filled")
def test_filters_and_json(world: World) -> None:
    (row,) = world.run("addresses", "--bounce-class", "hard", "--json").rows
    assert (row["rcpt"], row["status"], row["suppress"]) == ("gone@example.com", "bounced", True)
    assert (row["messages"], row["hard_bounces"], row["other_bounces"]) == (2, 2, 0)
    assert world.run("addresses", "--json", "--domain", "example.org").rows == []
    assert len(world.run("addresses", "--json", "--limit", "1").rows) == 1
    assert len(world.run("addresses", "--json", "--limit", "0").rows) == 2


def test_no_queue_yet(world: World) -> None:
    assert world.run("addresses").status == os.EX_UNAVAILABLE


WRONG = {
    "no address": ["--unsuppress", "example.com"],
    "a name and an address": ["--unsuppress", "Kim <kim@example.com>"],
    "with a filter": ["--unsuppress", "gone@example.com", "--domain", "example.com"],
}


@pytest.mark.usefixtures("filled")
@pytest.mark.parametrize("arguments", WRONG.values(), ids=WRONG)
def test_unsuppress_takes_one_address_and_no_filter(world: World, arguments: list[str]) -> None:
    ran = world.run("addresses", *arguments)
    assert (ran.status, ran.out) == (os.EX_USAGE, "")


@pytest.mark.usefixtures("filled")
def test_unsuppress_needs_the_daemon(world: World) -> None:
    """The command never writes the store itself (F-21)."""
    assert world.run("addresses", "--unsuppress", "gone@example.com").status == os.EX_UNAVAILABLE
    (row,) = world.run("addresses", "--recipient", "gone@example.com", "--json").rows
    assert row["suppress"] is True
