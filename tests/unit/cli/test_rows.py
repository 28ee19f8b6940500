"""What every list has: columns, CSV, and a word when it is empty.

Every command is in one of two tables here: it prints a list, or there is a reason why not.
"""

import csv
import io
import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

import click
import pytest

from relayd.answers.recipients import FIELDS, fields
from relayd.cli.context import now
from relayd.cli.output import Form, show_fields
from relayd.mail.operator import Action
from relayd.mail.pause import Named, PauseRule, Scope, Side
from relayd.mail.words import BounceClass
from relayd.policy.pace import Saw, Seen
from relayd.ports.outbox import TOLD, Subscription
from relayd.ports.sites import SiteKey
from relayd.ports.view import Query
from tests.support.builders import a_message
from tests.support.cli_world import STOPPED_LINE, World, enqueue, with_users
from tests.support.clock import START
from tests.support.command_options import options_of
from tests.support.command_tree import all_commands
from tests.support.people import ROOT, a_key, an_account
from tests.support.recipient_rows import a_row
from tests.support.tls_counts import a_tls_session

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
    rule = PauseRule(
        named=Named(Scope.TAG, "=x"),
        sides=frozenset(Side),
        since=START,
        until=None,
        by="ann",
        reason='say "hi"',
    )
    await store.pause([rule])
    await store.people.add_account(an_account("ann@x.test"), author=ROOT)
    await store.people.add_key(a_key(senders=("a@x.test", "@y.test")), author=ROOT)
    wanted = Subscription(url="https://app.test/", kinds=TOLD, senders=("@app.test", "@y.test"))
    await store.outbox.put_endpoint(wanted, author=ROOT)
    await store.act(Query(), Action.HOLD, by="ann", reason="")
    await store.trust.add_tls_results({a_tls_session(): 2})
    world.clock.advance(now() - world.clock.now())  # what was said long ago is forgotten
    await store.sites.note_site(SiteKey("google"), Seen(saw=Saw.SLOW, reply="421 slow", went=30.0))
    await store.close()
    world.log.write_text(json.dumps(EVENT) + "\n")
    with_users(world, "shop a@x.test @y.test")


LISTS: Mapping[str, tuple[str, str]] = {  # what makes it empty, and what it says then
    "relayd status": ("--tag none", "nothing matches"),
    "relayd queue list": ("--tag none", "nothing matches"),
    "relayd addresses": ("--domain none.test", "nothing matches"),
    "relayd log": ("--tag none", "nothing matches"),
    "relayd stats": ("--since 2020-01-01 --until 2020-01-02", "nothing in that time"),
    "relayd config get": ("routes", "has nothing in routes"),
    "relayd config diff": ("", ""),
    "relayd pauses": ("", ""),
    "relayd sites": ("", ""),
    "relayd tlsrpt show": ("2020-01-01", "nothing is counted"),
    "relayd user list": ("", ""),
    "relayd console user list": ("", ""),
    "relayd console key list": ("", ""),
    "relayd console audit": ("--by none", "nothing matches"),
    "relayd console webhook list": ("", ""),
    "relayd console webhook deliveries": ("", ""),
    "relayd nodes": ("", ""),
    "relayd doctor": ("", ""),
}
NO_LISTS: Mapping[str, Sequence[str]] = {  # by the reason
    "explains one thing": (
        *("status show", "sites show", "route", "test-mail", "classify", "check-content"),
        "dkim dns",
        "store status",
        "console webhook show",
    ),
    "JSON for programs": ("parse-bounce",),
    "a dialogue, as it comes": ("trace",),
    "five tables that are watched; metrics are for programs": ("top",),
    "is CSV, as import reads it": ("addresses export",),
    "acts, and tells what it did": (
        *(f"addresses {each}" for each in ("suppress", "unsuppress", "import")),
        *(f"queue {each.value}" for each in Action),
        *("queue requeue", "config set", "config unset", "user add", "user remove"),
        *(
            "pause",
            "resume",
            "drain",
            "sites free",
            "reload",
            "store compact",
            "store copy",
            "store migrate",
            "backup",
            "restore",
            "move",
        ),
        *("serve", "console", "demo", "check", "console sessions end", "oauth2 login"),
        *("init", "import", "support-bundle"),
        *("dkim keygen", "dkim rotate"),
        *(f"console user {each}" for each in ("add", "set", "password", "remove")),
        *(f"console key {each}" for each in ("add", "set", "remove")),
        *(
            f"console webhook {each}"
            for each in ("add", "set", "remove", "rotate", "test", "replay")
        ),
    ),
    "text": ("queue cat", "sendmail", "explain", "help", "man", "completion", "version"),
}
OPTIONS = {"--json", "--csv", "--fail-empty", "--columns", "--utc"}
WITHOUT: Mapping[tuple[str, str], str] = {
    ("relayd log", "--columns"): "lines, not a table",
    ("relayd doctor", "--columns"): "each finding has its remedy below it",
    ("relayd doctor", "--fail-empty"): "there are always checks",
    ("relayd doctor", "--utc"): "has no instants",
    ("relayd config diff", "--columns"): "two tables",
    ("relayd config diff", "--fail-empty"): "fqdn always differs",
    ("relayd config diff", "--utc"): "has no instants",
    ("relayd config get", "--utc"): "has no instants",
    ("relayd user list", "--utc"): "has no instants",
    ("relayd tlsrpt show", "--utc"): "days are in UTC",
}
ROWS_OF_ACTS = {"addresses import": "--dry-run"}  # which print rows with an option, and then --csv
ROWS_OF_ACTS |= {f"queue {each}": "--list" for each in (*Action, "requeue")}
QUICK = [name for name in LISTS if name != "relayd doctor"]  # which asks the network
MAY_BE_EMPTY = [name for name, (empty, _) in LISTS.items() if empty]
COMMANDS = all_commands()


def test_every_command_is_a_list_or_there_is_a_reason() -> None:
    others = [f"relayd {name}" for names in NO_LISTS.values() for name in names]
    assert sorted([*LISTS, *others]) == sorted(
        name
        for name, command in COMMANDS.items()
        if not isinstance(command, click.Group) or command.invoke_without_command
    )


@pytest.mark.parametrize("name", LISTS)
def test_a_list_has_the_options_of_lists(name: str) -> None:
    missing = OPTIONS - options_of(COMMANDS[name]).keys()
    assert missing == {option for of, option in WITHOUT if of == name}


def test_acts_that_print_rows_have_csv_for_them(world: World) -> None:
    for name in NO_LISTS["acts, and tells what it did"]:
        options = options_of(COMMANDS[f"relayd {name}"]).keys()
        assert ("--csv" in options) == (name in ROWS_OF_ACTS), name
        assert ("--list" in options) == (ROWS_OF_ACTS.get(name) == "--list"), name
    for name, option in ROWS_OF_ACTS.items():
        ran = world.run(*name.split(), "0" * 13, "--csv")
        assert (ran.status, ran.out) == (64, "")
        assert ran.err.endswith(f"Error: --csv is for the rows of {option}.\n")


def in_a_cell(value: object) -> str:
    if isinstance(value, list) and all(isinstance(each, str) for each in value):
        return ", ".join(value)
    return value if isinstance(value, str) else json.dumps(value)


@pytest.mark.usefixtures("filled")
@pytest.mark.parametrize("name", QUICK)
def test_csv_says_what_json_says(world: World, name: str) -> None:
    """A header line with the names of JSON; CRLF at the end of each line."""
    words = name.split()[1:]
    rows = world.run(*words, "--json").rows
    ran = world.run(*words, "--csv")
    assert (ran.status, "relayd: " in ran.err) == (0, False)
    assert ran.out.count("\r\n") == len(rows) + 1
    told = list(csv.DictReader(io.StringIO(ran.out, newline=""), strict=True))
    assert len(told) == len(rows) > 0
    for row, cells in zip(rows, told, strict=True):
        assert row.keys() <= cells.keys()
        for field, value in row.items():
            assert cells[field].removeprefix("'") == in_a_cell(value), field


@pytest.mark.usefixtures("filled")
@pytest.mark.parametrize("name", MAY_BE_EMPTY)
@pytest.mark.parametrize("form", [[], ["--json"], ["--csv"]], ids=str)
def test_an_empty_answer_says_so(world: World, name: str, form: list[str]) -> None:
    """On standard error, with the exit status 0; with `--fail-empty` it is 1."""
    empty, said = LISTS[name]
    words = [*name.split()[1:], *form]
    ran = world.run(*words, *empty.split())
    assert ran.status == 0
    assert ran.err.splitlines()[-1].startswith("relayd: ")
    assert ran.err.endswith(f"{said}\n")
    assert world.run(*words, *empty.split(), "--fail-empty").status == 1
    assert world.run(*words, "--fail-empty").status == 0
    if form == ["--json"] and name != "relayd stats":  # which has totals
        assert ran.out == ""


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("relayd pauses", "nothing is paused"),
        ("relayd sites", "every site is free"),
        ("relayd user list", "there are no users"),
        ("relayd console user list", "there are no users of the console"),
        ("relayd console key list", "there are no API keys"),
        ("relayd console webhook list", "there are no webhooks"),
        ("relayd console webhook deliveries", "nothing matches"),
    ],
)
async def test_a_list_that_has_no_filter(world: World, name: str, said: str) -> None:
    await world.open_store().close()
    with_users(world)
    ran = world.run(*name.split()[1:], "--fail-empty")
    assert (ran.status, ran.err) == (1, f"relayd: {said}\n")


async def test_a_new_queue_is_no_mistake_of_the_filter(world: World) -> None:
    await world.open_store().close()
    assert world.run("status").err == f"{STOPPED_LINE}relayd: no mail yet\n"
    assert world.run("queue", "list").err == f"{STOPPED_LINE}relayd: nothing waits in the queue\n"
    assert world.run("addresses").err == "relayd: no mail yet\n"


@pytest.mark.usefixtures("filled")
@pytest.mark.parametrize("name", LISTS)
def test_json_or_csv(world: World, name: str) -> None:
    ran = world.run(*name.split()[1:], "--json", "--csv")
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
    ("rfc822;+1+1;=1;1;", "rfc822;'+1+1;'=1;1;"),  # a semicolon sets cells apart, elsewhere
    ("a\r\nb\x1b", "a??b?"),
    ("", ""),
    (None, ""),
    (-1, "-1"),
    (0.25, "0.25"),
    (True, "true"),
    (False, "false"),
    ("\uff1d1+1", "'\uff1d1+1"),
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
