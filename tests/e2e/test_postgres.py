"""Real daemons with one PostgreSQL: they share the queue, and go on by themselves when it comes back."""

import os
import smtplib
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path

import pytest

from tests.support.daemon import Daemon, a_smarthost, eventually
from tests.support.postgres import Server, needs_postgres

pytestmark = needs_postgres
RESTARTS_WITHIN = 10  # seconds: far less than the time of a lease


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    running = Server()
    yield running
    running.close()


@pytest.fixture
def machines(tmp_path: Path, server: Server) -> Iterator[tuple[Daemon, Daemon]]:
    """Two relays with a folder each, as they would be on two machines."""
    with a_smarthost({}) as smarthost:
        both = []
        for name in ("one", "two"):
            folder = tmp_path / name
            (folder / "state").mkdir(parents=True)
            both.append(
                Daemon(
                    folder,
                    smarthost.port,
                    workers=1,
                    store=server.url(),
                    store_more=f'folder = "{folder}/state"',
                    more=f'[cluster]\nnode = "{name}"',
                )
            )
        try:
            for each in both:
                each.up()
            yield both[0], both[1]
        finally:
            for each in both:
                each.close()
            server.run("DELETE FROM node")  # the next ones are others with their names


def test_two_machines_have_one_queue(machines: tuple[Daemon, Daemon], server: Server) -> None:
    """Each knows of the mail of the other; while the server is away none is taken, and none is lost."""
    one, two = machines
    one.send("a@x.test")
    two.send("b@x.test")
    arrived = {"a@x.test": "relayed", "b@x.test": "relayed"}
    for each in machines:
        eventually(partial(_have_arrived, each, arrived), "both mails arrive")
    assert {row["node"] for row in two.run("nodes", "--json").rows} == {"one", "two"}

    ran = one.run("top", "--all", "--json")
    assert ran.err == ""
    [top] = ran.rows
    assert [(each["node"], each["workers"]) for each in top["nodes"]] == [("one", 1), ("two", 1)]
    eventually(lambda: None not in _noted(two).values(), "each tells what it received")
    assert one.run("top", "--all", "--once").out.count("\n") > 8

    server.kill()
    eventually(lambda: _answer_to_mail(one) == 451, "no mail is taken")
    asked = two.run("status")
    assert asked.status == os.EX_UNAVAILABLE
    assert len(asked.err.splitlines()) == 1
    for each in machines:
        eventually(partial(each.events, "store_away"), "the log says so")

    server.start()

    def is_taken() -> bool:
        try:
            return bool(one.send("c@x.test"))
        except (AssertionError, smtplib.SMTPException):
            return False

    eventually(is_taken, "mail is taken again")
    eventually(lambda: two.statuses().get("c@x.test") == "relayed", "it arrives")
    assert arrived.items() <= two.statuses().items()
    for each in machines:
        eventually(partial(each.events, "store_back"), "the log says so")


def test_what_is_done_on_one_machine_holds_on_all(machines: tuple[Daemon, Daemon]) -> None:
    """Pauses, acts and suppressions; the answer of each command is true for mail of the other machine."""
    one, two = machines
    assert one.run("pause", "--sender", "app@app.test").status == 0
    two.send("waits@x.test")
    two.send("goes@x.test")
    assert [each["rcpt"] for each in one.run("queue", "list", "--json").rows] == [
        "goes@x.test",
        "waits@x.test",
    ]
    held = one.run("queue", "hold", "--recipient", "waits@x.test", "--json")
    assert [each["changed"] for each in held.rows] == [1]
    assert two.run("resume", "all").status == 0
    eventually(lambda: one.statuses().get("goes@x.test") == "relayed", "it goes on")
    assert two.statuses()["waits@x.test"] == "held"
    assert two.run("queue", "release", "--recipient", "waits@x.test").status == 0
    eventually(lambda: one.statuses().get("waits@x.test") == "relayed", "it is tried")

    assert one.run("addresses", "suppress", "gone@x.test").status == 0
    [row] = two.run("addresses", "--recipient", "gone@x.test", "--json").rows
    assert row["suppress"]

    assert one.run("pause", "all", "--intake").status == 0
    eventually(lambda: _answer_to_recipient(two) == 450, "the other one takes no mail either")
    assert two.run("resume", "all").status == 0
    eventually(lambda: _answer_to_recipient(one) == 250, "mail is taken")
    for command in ("drain", "store compact", "backup /nowhere", "restore /nowhere"):
        refused = two.run(*command.split())
        assert refused.status == os.EX_USAGE, command
        assert len(refused.err.splitlines()) == 1


def _noted(machine: Daemon) -> dict[str, int | None]:
    """What each machine has received, as the store knows it."""
    [top] = machine.run("top", "--all", "--json").rows
    return {each["node"]: (each["totals"] or {}).get("received") for each in top["nodes"]}


def test_a_name_that_is_taken(machines: tuple[Daemon, Daemon]) -> None:
    """Who restarts has its own name at once; a second relay with it takes no mail, and says why."""
    one, two = machines
    one.kill()
    assert one.up() < RESTARTS_WITHIN
    assert not one.events("store_away")
    assert two.stop() == 0
    two.write(more='[cluster]\nnode = "one"')
    two.start()
    [away, *_] = eventually(lambda: two.events("store_away"), "it waits")
    assert "another relayd on this machine is called one as well" in away["reason"]
    with pytest.raises(smtplib.SMTPConnectError, match="421"):
        two.client()
    one.send("d@x.test")
    eventually(lambda: one.statuses().get("d@x.test") == "relayed", "it goes on")


def test_who_joins_goes_on_when_the_others_stop(machines: tuple[Daemon, Daemon]) -> None:
    """It had waited until they count it. With them gone in good order there is nobody to wait for."""
    one, two = machines
    one.stop()
    two.send("e@x.test")
    eventually(lambda: two.statuses().get("e@x.test") == "relayed", "it is delivered")


def _answer_to_mail(machine: Daemon) -> int:
    with machine.client() as client:
        client.ehlo()
        return client.mail("app@app.test")[0]


def _answer_to_recipient(machine: Daemon) -> int:
    with machine.client() as client:
        client.ehlo()
        code, _ = client.mail("app@app.test")
        return client.rcpt("a@x.test")[0] if code == 250 else code


def _have_arrived(machine: Daemon, wanted: Mapping[str, str]) -> bool:
    return machine.statuses() == wanted
