"""What every list has: CSV, and a word when it is empty."""

import csv
import io
import json
from collections.abc import Mapping
from datetime import UTC, datetime

import pytest

from relayd.answers.recipients import FIELDS, fields
from relayd.cli.output import Form, show_fields
from relayd.mail.words import BounceClass
from tests.support.builders import a_message
from tests.support.cli_world import STOPPED_LINE, World, enqueue
from tests.support.recipient_rows import a_row

EVENT = {
    "ts": "2026-03-01T12:00:00.000Z",
    "event": "received",
    "queue_id": "0CNA0NJ6E0401",
    "from": "app@app.test",
    "rcpt": "a@x.test",
    "tag": "=SUM(A1)",
}


@pytest.fixture
async def filled(world: World) -> None:
    store = world.open_store()
    await enqueue(store, a_message("a@x.test", "b@x.test", tag='say "hi", +1'))
    await store.close()
    world.log.write_text(json.dumps(EVENT) + "\n")
    hashed = "$argon2id$v=19$m=8,t=1,p=1$" + "A" * 22 + "$" + "A" * 43
    (world.folder / "users").write_text(f"shop {hashed} a@x.test @y.test\n")
    world.settings.write_text(
        world.settings.read_text() + f'[auth]\nusers_file = "{world.folder}/users"\n'
    )


LISTS: Mapping[str, list[str]] = {
    "status": ["status"],
    "queue list": ["queue", "list"],
    "addresses": ["addresses"],
    "log": ["log"],
}


@pytest.mark.usefixtures("filled")
@pytest.mark.parametrize("command", LISTS.values(), ids=LISTS)
def test_csv_says_what_json_says(world: World, command: list[str]) -> None:
    """A header line with the names of JSON; CRLF at the end of each line."""
    rows = world.run(*command, "--json").rows
    ran = world.run(*command, "--csv")
    assert (ran.status, ran.err.removeprefix(STOPPED_LINE)) == (0, "")
    assert ran.out.count("\r\n") == len(rows) + 1
    told = list(csv.DictReader(io.StringIO(ran.out, newline=""), strict=True))
    assert len(told) == len(rows)
    for row, cells in zip(rows, told, strict=True):
        assert row.keys() <= cells.keys()
        for name, value in row.items():
            expected = value if isinstance(value, str) else json.dumps(value)
            assert cells[name].removeprefix("'") == expected, name


EMPTY = {
    "status": (["status", "--tag", "none"], "nothing matches"),
    "queue list": (["queue", "list", "--tag", "none"], "nothing matches"),
    "addresses": (["addresses", "--domain", "none.test"], "nothing matches"),
    "log": (["log", "--tag", "none"], "nothing matches"),
}


@pytest.mark.usefixtures("filled")
@pytest.mark.parametrize(("command", "said"), EMPTY.values(), ids=EMPTY)
@pytest.mark.parametrize("form", [[], ["--json"], ["--csv"]], ids=str)
def test_an_empty_answer_says_so(
    world: World, command: list[str], said: str, form: list[str]
) -> None:
    """On standard error, with the exit status 0; with `--fail-empty` it is 1."""
    ran = world.run(*command, *form)
    assert (ran.status, ran.err.removeprefix(STOPPED_LINE)) == (0, f"relayd: {said}\n")
    assert len(ran.out.splitlines()) == (0 if form == ["--json"] or command[0] == "log" else 1) + (
        form == ["--csv"] and command[0] == "log"
    )
    assert world.run(*command, *form, "--fail-empty").status == 1
    assert world.run(*command[:-2], *form, "--fail-empty").status == 0


async def test_a_new_queue_is_no_mistake_of_the_filter(world: World) -> None:
    await world.open_store().close()
    assert world.run("status").err == f"{STOPPED_LINE}relayd: no mail yet\n"
    assert world.run("queue", "list").err == f"{STOPPED_LINE}relayd: nothing waits in the queue\n"
    assert world.run("addresses").err == "relayd: no mail yet\n"


@pytest.mark.usefixtures("filled")
@pytest.mark.parametrize("command", LISTS.values(), ids=LISTS)
def test_json_or_csv(world: World, command: list[str]) -> None:
    ran = world.run(*command, "--json", "--csv")
    assert (ran.status, ran.out) == (64, "")
    assert "Either --json or --csv." in ran.err


CELLS = [
    ("=1+1", "'=1+1"),
    ("+1", "'+1"),
    ("-1", "'-1"),
    ("@SUM(A1)", "'@SUM(A1)"),
    ("<a@x.test>", "<a@x.test>"),
    ('say "hi"', '"say ""hi"""'),
    ("a,b", '"a,b"'),
    ("a\r\nb\x1b", "a??b?"),
    ("", ""),
    (None, ""),
    (-1, "-1"),
    (0.25, "0.25"),
    (True, "true"),
    (False, "false"),
    (["=a", "b"], '"\'=a, b"'),
    ((), ""),
    (BounceClass.HARD, "hard"),
    (datetime(2026, 3, 1, 12, tzinfo=UTC), "2026-03-01T12:00:00.000Z"),
]


@pytest.mark.parametrize(("value", "cell"), CELLS, ids=repr)
def test_a_cell_is_data_and_no_formula(
    value: object, cell: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert show_fields([{"a": value, "b": 1}], ("a", "b", "c"), Form.CSV) == 1
    assert capsys.readouterr().out == f"a,b,c\r\n{cell},1,\r\n"


def test_the_names_are_those_of_the_fields() -> None:
    assert tuple(fields(a_row())) == FIELDS
