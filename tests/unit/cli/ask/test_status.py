import os
import pty
import subprocess
import sys
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from relayd.cli.table import width_of
from relayd.mail.envelope import NewMessage
from relayd.mail.ids import format_id
from relayd.mail.operator import Action
from relayd.mail.outcome import Outcome, Relayed
from relayd.ports.queue import QueueStore
from relayd.ports.view import Query
from tests.support.builders import a_bounce, a_deferral, a_message, a_settlement
from tests.support.cli_world import STOPPED_LINE, World, column, enqueue
from tests.support.screens import a_screen
from tests.support.workers import registered

FAR = datetime(2199, 1, 1, tzinfo=UTC)
NASTY = "550 5.1.1 [red]no such user[/red] \x1b[2J\x1b]0;owned\x07"


async def settle(store: QueueStore, message: NewMessage, outcome: Outcome, **fields: Any) -> None:
    """Have the queue's only worker try `message` and end with `outcome` for all its recipients."""
    worker = await registered(store, "worker")
    for work in await store.claim(worker, limit=100, lease_for=timedelta(minutes=5)):
        mine = [one for one in work.recipients if work.message.id == message.id]
        assert mine
        await store.settle(
            work.lease, [a_settlement(message.id, one.number, outcome, **fields) for one in mine]
        )


async def fill(world: World) -> dict[str, NewMessage]:
    """Three messages: bounced, relayed, and one deferred and held."""
    store = world.open_store()
    try:
        bounced = a_message("gone@example.com", message_id_header="<1@app.test>", tag="news")
        await enqueue(store, bounced)
        await settle(store, bounced, a_bounce(), code=550, enhanced="5.1.1", reply=NASTY)
        relayed = a_message("ok@example.com", message_id_header="<1@app.test>")
        await enqueue(store, relayed)
        await settle(store, relayed, Relayed())
        waiting = a_message(
            "later@example.org", "held@example.net", reverse_path="", auth_user="app"
        )
        await enqueue(store, waiting)
        await settle(store, waiting, a_deferral(FAR))
        query = Query(recipient=("held@example.net",))
        await store.act(query, Action.HOLD, by="alice", reason="look at it")
    finally:
        await store.close()
    return {"bounced": bounced, "relayed": relayed, "waiting": waiting}


@pytest.fixture
async def filled(world: World) -> dict[str, NewMessage]:
    return await fill(world)


def test_no_queue_yet(world: World) -> None:
    ran = world.run("status")
    assert (ran.status, ran.out) == (os.EX_UNAVAILABLE, "")
    assert ran.err == f"relayd: no queue yet at {world.folder}/queue.db; has relayd been started?\n"


def test_queue_that_cannot_be_opened_is_another_trouble(world: World) -> None:
    (world.folder / "queue.db").mkdir()
    assert world.run("status").status == os.EX_TEMPFAIL


@pytest.mark.usefixtures("filled")
def test_one_row_per_recipient_newest_first(world: World) -> None:
    ran = world.run("status")
    assert (ran.status, ran.err) == (0, STOPPED_LINE)
    assert set(column(ran.cells, "RECIPIENT")[:2]) == {"later@example.org", "held@example.net"}
    assert column(ran.cells, "RECIPIENT")[2:] == ["ok@example.com", "gone@example.com"]
    assert column(ran.cells, "STATUS")[2:] == ["relayed", "bounced (hard)"]
    assert column(ran.cells, "FROM") == ["<>", "<>", "app@app.test", "app@app.test"]
    assert "\x1b" not in ran.out


def test_json_has_the_names_of_the_log(world: World, filled: dict[str, NewMessage]) -> None:
    (row,) = world.run("status", "--json", "--recipient", "gone@example.com").rows
    assert row["queue_id"] == format_id(filled["bounced"].id)
    expected = {
        "message_id": "<1@app.test>",
        "from": "app@app.test",
        "rcpt": "gone@example.com",
        "tag": "news",
        "status": "bounced",
        "bounce_class": "hard",
        "category": "bad_mailbox",
        "suppress": True,
        "attempt": 1,
        "code": 550,
        "enhanced": "5.1.1",
        "remote_host": "mx.example.test",
        "client_ip": "127.0.0.1",
    }
    assert {key: row[key] for key in expected} == expected
    assert "next_attempt_at" not in row


FILTERS = {
    "status": (["--status", "deferred"], {"later@example.org"}),
    "domain": (["--domain", "EXAMPLE.com"], {"ok@example.com", "gone@example.com"}),
    "null sender": (["--sender", "<>"], {"later@example.org", "held@example.net"}),
    "message-id": (["--message-id", "1@app.test"], {"ok@example.com", "gone@example.com"}),
    "tag": (["--tag", "news"], {"gone@example.com"}),
    "bounce class": (["--bounce-class", "hard"], {"gone@example.com"}),
    "category": (["--category", "mailbox_full"], {"later@example.org", "held@example.net"}),
    "since": (["--since", "2026-03-02"], set()),
    "until": (["--until", "2026-03-02", "--status", "relayed"], {"ok@example.com"}),
}


@pytest.mark.usefixtures("filled")
@pytest.mark.parametrize(("arguments", "addresses"), FILTERS.values(), ids=FILTERS)
def test_filters(world: World, arguments: list[str], addresses: set[str]) -> None:
    assert {row["rcpt"] for row in world.run("status", "--json", *arguments).rows} == addresses


@pytest.mark.usefixtures("filled")
def test_limit_is_kept_and_told(world: World) -> None:
    ran = world.run("status", "--limit", "2")
    assert len(ran.cells) == 3
    assert "--limit 0" in ran.err
    assert len(world.run("status", "--limit", "0").cells) == 5


def test_show_tells_everything(world: World, filled: dict[str, NewMessage]) -> None:
    ran = world.run("status", "show", format_id(filled["waiting"].id).lower())
    assert ran.status == 0
    for words in (
        format_id(filled["waiting"].id),
        "127.0.0.1 as app",
        "<>",
        "later@example.org  deferred",
        "waits for  the retry at 2199-01-01 00:00:00Z",
        "held@example.net  held",
        "held by alice since 2026-03-01 12:00:00Z: look at it",
        "held  by alice",
    ):
        assert words in ran.out
    assert ran.out.count("received") == 2


def test_show_by_message_id_shows_each(world: World, filled: dict[str, NewMessage]) -> None:
    ran = world.run("status", "show", "<1@app.test>")
    assert ran.out.index(format_id(filled["bounced"].id)) < ran.out.index(
        format_id(filled["relayed"].id)
    )
    assert "the address is invalid" in ran.out
    assert all(line.isprintable() for line in ran.out.split("\n"))


def test_show_as_json(world: World, filled: dict[str, NewMessage]) -> None:
    first, second = world.run("status", "show", "--json", format_id(filled["waiting"].id)).rows
    assert (first["rcpt"], second["rcpt"]) == ("later@example.org", "held@example.net")
    assert [event["event"] for event in second["history"]] == ["received", "deferred", "held"]
    assert second["history"][-1]["by"] == "alice"
    assert "held by alice" in second["waits_for"]


@pytest.mark.usefixtures("filled")
@pytest.mark.parametrize("wanted", ["0" * 13, "<none@app.test>", "x"])
def test_show_of_nothing_is_66(world: World, wanted: str) -> None:
    ran = world.run("status", "show", wanted)
    assert (ran.status, ran.err) == (os.EX_NOINPUT, f"relayd: no message {wanted}\n")


@pytest.mark.usefixtures("filled")
def test_watch_shows_again(world: World) -> None:
    once = world.run("status").out
    assert world.run("status", "--watch", "--rounds", "1").out == once


@pytest.mark.usefixtures("filled")
def test_terminal_gets_a_table_without_markup_or_escapes_of_strangers(world: World) -> None:
    """On a terminal the only escapes are our colours; `[red]` in a reply stays text."""
    ours, theirs = pty.openpty()
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "240", "LINES": "50"}
    command = [sys.executable, "-m", "relayd", "-c", str(world.settings), "status"]
    process = subprocess.Popen(command, stdout=theirs, env=environment)
    os.close(theirs)
    shown = bytearray()
    while True:
        try:
            chunk = os.read(ours, 65536)
        except OSError:  # the other side was closed
            break
        if not chunk:
            break
        shown += chunk
    os.close(ours)
    assert process.wait(timeout=30) == 0
    assert b"[red]no such user[/red] ?[2J?]0;owned?" in shown
    assert b"\x1b[31mbounced (hard)" in shown
    assert b"\x1b[2J" not in shown
    assert b"\x07" not in shown


@pytest.mark.parametrize("wanted", ["ID", "<1@app.test>", "1@app.test"])
async def test_an_id_needs_no_show(world: World, wanted: str) -> None:
    message = a_message("a@x.test", message_id_header="<1@app.test>")
    store = world.open_store()
    await enqueue(store, message)
    await store.close()
    wanted = wanted.replace("ID", format_id(message.id))
    shown = world.run("status", "show", wanted)
    assert shown.status == os.EX_OK
    assert world.run("status", wanted) == shown
    as_json = world.run("status", "show", wanted, "--json")
    assert world.run("status", wanted, "--json") == as_json
    assert world.run("status", "--json", wanted) == as_json
    assert "why" in world.run("status", wanted, "--explain").out


@pytest.mark.parametrize("wanted", ["0CNA0NJ6E0401", "ann@x.test"])
async def test_an_id_of_no_message(world: World, wanted: str) -> None:
    await world.open_store().close()
    ran = world.run("status", wanted)
    assert (ran.status, ran.out) == (os.EX_NOINPUT, "")
    assert f"no message {wanted}" in ran.err
    assert ("--recipient ann@x.test" in ran.err) == ("@" in wanted)


@pytest.mark.parametrize(
    "arguments",
    [
        ["shwo"],
        ["--tag", "x", "0CNA0NJ6E0401"],
        ["--limit", "5", "0CNA0NJ6E0401"],
        ["--watch", "0CNA0NJ6E0401"],
        ["--csv", "0CNA0NJ6E0401"],
        ["--fail-empty", "0CNA0NJ6E0401"],
        ["--columns", "id", "0CNA0NJ6E0401"],
        ["--delays", "0CNA0NJ6E0401"],
    ],
)
async def test_what_goes_with_no_id(world: World, arguments: list[str]) -> None:
    await world.open_store().close()
    ran = world.run("status", *arguments)
    assert (ran.status, ran.out) == (os.EX_USAGE, "")
    assert "ID" in ran.err


@pytest.mark.parametrize("options", [[], ["--delays"]], ids=str)
async def test_what_is_watched_fits_on_the_screen(
    world: World, monkeypatch: pytest.MonkeyPatch, options: list[str]
) -> None:
    """With the notices above it, which would push others off."""
    store = world.open_store()
    await enqueue(store, a_message(*(f"{number}@x.test" for number in range(30))))
    await store.close()
    with a_screen(monkeypatch, lines=20) as shown:
        monkeypatch.setattr("sys.stderr", shown)
        assert world.run("status", "--watch", "--rounds", "1", *options).status == 0
    lines = shown.getvalue().splitlines()
    assert lines[0].startswith("the daemon is stopped")
    assert len(lines) == 19, "one is left for the cursor"


@pytest.mark.parametrize("order", [("ID", "--utc"), ("--utc", "ID")], ids=str)
def test_show_in_utc(
    world: World, filled: dict[str, NewMessage], elsewhere: str, order: Sequence[str]
) -> None:
    """Every instant of it: as clocks show it here, or in UTC."""
    queue_id = format_id(filled["waiting"].id)
    local = world.run("status", queue_id).out
    utc = world.run("status", *(queue_id if word == "ID" else word for word in order)).out
    assert (local.count(elsewhere), local.count(":00Z")) == (8, 0)
    assert (utc.count(elsewhere), utc.count(":00Z")) == (0, 8)


@pytest.mark.parametrize("columns", [40, 80, 140])
def test_a_message_loses_nothing_on_a_narrow_screen(
    world: World, monkeypatch: pytest.MonkeyPatch, filled: dict[str, NewMessage], columns: int
) -> None:
    """Its lines are read and not compared: they go on below themselves."""
    words = ["status", format_id(filled["waiting"].id), "--explain"]
    piped = world.run(*words)
    with a_screen(monkeypatch, columns=columns) as shown:
        assert world.run(*words).status == piped.status == 0
    assert [line for line in shown.getvalue().splitlines() if width_of(line) > columns] == []
    assert shown.getvalue().split() == piped.out.split()
