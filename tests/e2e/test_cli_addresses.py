"""`relayd addresses suppress`, `unsuppress`, `import` and `export`, with a real store and control socket."""

import asyncio
import csv
import io
import os
from collections.abc import AsyncIterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from structlog.testing import capture_logs

from relayd.control.suppress import AT_ONCE
from relayd.mail.envelope import NewMessage
from relayd.mail.ids import format_id
from relayd.mail.suppression import ToSuppress
from relayd.ports.queue import QueueStore
from tests.support.builders import a_bounce, a_message, a_settlement
from tests.support.cli_world import Ran, World, make_world
from tests.support.control_server import a_control_server
from tests.support.stores import LEASE
from tests.support.workers import registered

REPLY = "550 5.1.1 =no such user"


@pytest.fixture
def world(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> World:
    return make_world(tmp_path, capsys.readouterr)


@pytest.fixture
async def store(world: World) -> AsyncIterator[QueueStore]:
    store = world.open_store()
    with capture_logs():
        async with a_control_server(world.socket, store):
            yield store
    await store.close()


@pytest.fixture
async def gone(world: World, store: QueueStore) -> NewMessage:
    """A message to gone@x.test that bounced."""
    message = a_message("gone@x.test", at=world.clock.now())
    worker = await registered(store, "1")
    [work] = await store.enqueue(message, worker=worker, lease_for=LEASE)
    await store.settle(work.lease, [a_settlement(message.id, 0, a_bounce(), code=550, reply=REPLY)])
    return message


async def run(world: World, *arguments: str) -> Ran:
    return await asyncio.to_thread(world.run, "addresses", *arguments)


async def exported(world: World) -> list[list[str]]:
    ran = await run(world, "export")
    assert ran.status == 0, ran.err
    return [line.split(",") for line in ran.out.splitlines()]


@pytest.mark.usefixtures("store")
async def test_people_suppress_and_lift(world: World) -> None:
    with capture_logs() as logged:
        ran = await run(
            world, "suppress", "Kim@x.test", "b@x.test", "--reason", "asked on the phone"
        )
    assert (ran.status, ran.out) == (0, "suppressed Kim@x.test\nsuppressed b@x.test\n")
    [line] = logged
    assert (line["event"], line["rcpt"], line["addresses"]) == ("suppressed", "Kim@x.test", 2)
    ran = await run(world, "suppress", "kim@X.test", "--reason", "again")
    assert (ran.status, ran.out) == (0, "suppressed before: kim@X.test\n")
    ran = await run(world, "suppress", "kim@x.test", "c@x.test", "--json")
    assert [(row["rcpt"], row["new"]) for row in ran.rows] == [
        ("kim@x.test", False),
        ("c@x.test", True),
    ]
    [row] = (await run(world, "--recipient", "KIM@x.test", "--json")).rows
    assert (row["rcpt"], row["suppress"], row["messages"]) == ("Kim@x.test", True, 0)
    [told] = row["suppressions"]
    assert (told["reason"], bool(told["by"]), told["since"]) == (
        "asked on the phone",
        True,
        "2026-03-01T12:00:00.000Z",
    )
    ran = await run(world, "unsuppress", "b@x.test", "other@x.test", "kim@x.test")
    assert (ran.status, ran.out) == (
        os.EX_NOINPUT,
        "unsuppressed b@x.test\nunsuppressed kim@x.test\n",
    )
    assert "other@x.test is not suppressed" in ran.err
    assert (await run(world, "--unsuppress", "c@x.test")).out == "unsuppressed c@x.test\n"
    assert await exported(world) == [["address", "sender", "since", "by", "queue_id", "reason"]]


async def test_the_table_tells_who_when_and_why(
    world: World, store: QueueStore, gone: NewMessage
) -> None:
    await store.suppress([ToSuppress(address="b@x.test", reason="asked")], by="ann")
    titles, bounced, by_hand = (await run(world)).cells
    row = dict(zip(titles, bounced, strict=True))
    assert (row["SUPPRESS"], row["BY"], row["WHY"]) == (
        "yes",
        f"bounce {format_id(gone.id)}",
        REPLY,
    )
    row = dict(zip(titles, by_hand, strict=True))
    assert (row["ADDRESS"], row["STATUS"], row["MESSAGES"]) == ("b@x.test", "", "0")
    assert (row["SUPPRESS"], row["BY"], row["WHY"]) == ("yes", "ann", "asked")


async def test_a_list_goes_to_another_system_and_back(
    world: World, store: QueueStore, gone: NewMessage, tmp_path: Path
) -> None:
    """For whom it holds and why stay; what a spreadsheet would run does not get there as it is."""
    wanted = [
        ToSuppress(address="=cmd@x.test", reason="@SUM(A1)"),
        ToSuppress(address="'=odd@x.test", reason='two, with a "quote"'),
        ToSuppress(address='"a, b"@x.test', scope="-app@app.test"),
        ToSuppress(address="plain@y.test", reason=REPLY),
    ]
    await store.suppress(wanted, by="+ann")
    file = tmp_path / "list.csv"
    ran = await run(world, "export", str(file))
    assert (ran.status, ran.out, file.stat().st_mode & 0o777) == (0, "", 0o600)
    text = file.read_text()
    assert f"\ngone@x.test,,2026-03-01T12:00:00.000Z,,{format_id(gone.id)},{REPLY}\n" in text
    for cell in ("'=cmd@x.test", "'@SUM(A1)", "''=odd@x.test", "'-app@app.test", "'+ann"):
        assert f"{cell}," in text or f"{cell}\n" in text, cell
    before = (await run(world, "export", "--json")).rows
    again = await run(world, "import", str(file), "--json")
    assert again.rows == [{"suppressed": 0, "before": 5, "mistakes": 0}]
    for each in before:
        assert await store.unsuppress(each["rcpt"])
    ran = await run(world, "import", str(file))
    assert (ran.status, ran.out) == (0, "5 suppressed, 0 suppressed before\n")
    after = (await run(world, "export", "--json")).rows
    kept = ("rcpt", "from", "reason")
    assert [[row.get(key) for key in kept] for row in after] == [
        [row.get(key) for key in kept] for row in before
    ]
    plain = await run(world, "export", "--plain")
    assert plain.out.splitlines() == [row["rcpt"] for row in before if "from" not in row]


@pytest.mark.usefixtures("store", "gone")
async def test_a_dry_run_says_what_each_line_would_do(world: World, tmp_path: Path) -> None:
    file = tmp_path / "list.csv"
    file.write_bytes(
        b"\xef\xbb\xbfEmail Address,Note,Reason\r\nGONE@x.test,,\r\nnew@x.test,,asked\r\n\r\n"
        b"nobody,,\r\nNew@x.test,,\r\n"
    )
    ran = await run(world, "import", str(file), "--dry-run")
    assert ran.status == os.EX_DATAERR
    assert ran.cells == [
        ["LINE", "ADDRESS", "FOR", "DOES"],
        ["2", "GONE@x.test", "all mail", "nothing: suppressed before"],
        ["3", "new@x.test", "all mail", "suppress"],
        ["5", "", "", "mistake: 'nobody' is no address: expected local@domain"],
        ["6", "New@x.test", "all mail", "nothing: suppressed before"],
        ["1 would be suppressed, 2 suppressed before, 1 line cannot be read"],
    ]
    rows = (await run(world, "import", str(file), "--dry-run", "--json")).rows
    as_csv = await run(world, "import", str(file), "--dry-run", "--csv")
    told = list(csv.DictReader(as_csv.out.splitlines()))
    assert [row["does"] for row in told] == [row["does"] for row in rows]
    assert as_csv.err == f"{ran.out.splitlines()[-1]}\n"
    assert [(row["line"], row["does"]) for row in rows] == [
        (2, "nothing: suppressed before"),
        (3, "suppress"),
        (5, "mistake"),
        (6, "nothing: suppressed before"),
    ]
    assert len(await exported(world)) == 2
    done = await run(world, "import", str(file), "--reason", "old list")
    assert (done.status, done.out) == (
        os.EX_DATAERR,
        "1 suppressed, 2 suppressed before, 1 line cannot be read\n",
    )
    assert f"{file}: line 5: 'nobody' is no address" in done.err


async def test_standard_input_in_several_requests(
    world: World, store: QueueStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    number = 2 * AT_ONCE + 1
    text = "".join(f"u{each}@x.test\n" for each in range(number))
    monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=io.BytesIO(text.encode())))
    ran = await run(world, "import", "-", "--reason", "old list")
    assert (ran.status, ran.out) == (0, f"{number} suppressed, 0 suppressed before\n")
    rows = (await run(world, "export", "--json")).rows
    assert {row["reason"] for row in rows} == {"old list"}
    assert len(rows) == number
    assert await store.unsuppress(f"U{number - 1}@x.test")


@pytest.mark.usefixtures("store")
async def test_what_is_wrong_is_said(world: World, tmp_path: Path) -> None:
    ran = await run(world, "import", str(tmp_path / "none.csv"))
    assert (ran.status, ran.err) == (
        os.EX_NOINPUT,
        f"relayd: {tmp_path}/none.csv: No such file or directory\n",
    )
    assert (await run(world, "suppress", "nobody")).status == os.EX_USAGE
    assert (await run(world, "suppress")).status == os.EX_USAGE
    ran = await run(world, "kim@x.test")
    assert "relayd addresses --recipient kim@x.test" in ran.err
    ran = await run(world, "--domain", "x.test", "suppress", "kim@x.test")
    assert (ran.status, "suppress takes no filter" in ran.err) == (os.EX_USAGE, True)


async def test_import_needs_the_daemon_and_a_dry_run_does_not(world: World, tmp_path: Path) -> None:
    await world.open_store().close()
    file = tmp_path / "list.txt"
    file.write_text("kim@x.test\n")
    assert (await run(world, "import", str(file))).status == os.EX_UNAVAILABLE
    assert (await run(world, "import", str(file), "--dry-run")).status == 0
