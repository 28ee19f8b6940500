"""The rows of `relayd status` and `relayd queue list`, on a terminal and in a pipe."""

from dataclasses import replace
from datetime import timedelta

import pytest

from relayd.cli.ages import ago, until
from relayd.mail.operator import Action
from relayd.ports.view import Query
from relayd.store.sqlite import search, view
from tests.support.builders import a_facts, a_message
from tests.support.cli_world import World, column, enqueue
from tests.support.clock import START
from tests.support.screens import a_screen

COUNT = 40


@pytest.fixture
async def filled(world: World) -> None:
    store = world.open_store()
    for number in range(COUNT):
        await enqueue(store, a_message(f"r{number}@x.test", tag="news"))
        world.clock.advance(timedelta(seconds=1))
    await store.close()


@pytest.mark.usefixtures("filled")
@pytest.mark.parametrize("command", [["status"], ["queue", "list"], ["addresses"]], ids=" ".join)
@pytest.mark.parametrize("columns", [40, 80, 100, 140])
def test_the_newest_rows_stay_on_the_screen(
    world: World, monkeypatch: pytest.MonkeyPatch, command: list[str], columns: int
) -> None:
    """At the prompt are the newest rows, each in one line; in a pipe the newest comes first."""
    with a_screen(monkeypatch, columns=columns) as screen:
        world.run(*command)
    titles, *rows = screen.getvalue().splitlines()
    assert len(rows) == COUNT
    assert f"r{COUNT - 1}@x" in rows[-1]
    assert "r0@x" in rows[0]
    assert all(len(line) <= columns for line in (titles, *rows))
    piped = column(world.run(*command).cells, "ADDRESS" if "addresses" in command else "RECIPIENT")
    assert piped[0] == f"r{COUNT - 1}@x.test"


@pytest.mark.usefixtures("filled")
def test_ages_on_a_terminal_instants_where_they_are_wanted(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    with a_screen(monkeypatch) as screen:
        world.run("status", "--limit", "1")
    assert " d ago" in screen.getvalue()
    with a_screen(monkeypatch) as screen:
        world.run("status", "--limit", "1", "--utc")
    assert START.strftime("%Y-%m-%d") in screen.getvalue()


@pytest.mark.usefixtures("filled")
@pytest.mark.parametrize("command", [["status"], ["queue", "list"]], ids=" ".join)
def test_columns_as_they_are_asked_for(world: World, command: list[str]) -> None:
    ran = world.run(*command, "--columns", "tag, Recipient", "--limit", "2")
    assert ran.cells == [["TAG", "RECIPIENT"], ["news", "r39@x.test"], ["news", "r38@x.test"]]


@pytest.mark.parametrize("command", [["status"], ["queue", "list"], ["addresses"]], ids=" ".join)
@pytest.mark.parametrize(
    ("more", "says"),
    [
        (["--columns", "statsu"], "there is no column 'statsu'. Did you mean 'status'? There are "),
        (["--columns", ""], "there is no column ''"),
        (["--columns", "status", "--json"], "--json has every field"),
    ],
)
def test_columns_that_make_no_sense(
    world: World, command: list[str], more: list[str], says: str
) -> None:
    ran = world.run(*command, *more)
    assert (ran.status, ran.out) == (64, "")
    assert says in ran.err


@pytest.mark.usefixtures("filled")
def test_a_search_for_addresses_says_how_far_it_went(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(view, "_AT_ONCE", 1)
    monkeypatch.setattr(view, "_STEPS_OF_ADDRESSES", 2)
    ran = world.run("addresses")
    assert column(ran.cells, "ADDRESS") == ["r39@x.test", "r38@x.test"]
    assert "searched back to " in ran.err
    for more in (["--limit", "0"], ["--csv"], ["--limit", "2"], ["--recipient", "r3@x.test"]):
        ran = world.run("addresses", *more)
        assert len(ran.out.splitlines()) - 1 in (COUNT, 2, 1)
        assert "searched back to " not in ran.err


@pytest.mark.usefixtures("filled")
@pytest.mark.parametrize(
    ("more", "rows", "says"),
    [
        (["--tag", "news"], 2, "searched back to "),
        (["--tag", "news", "--limit", "2"], 2, "the newest 2; "),
        (["--tag", "news", "--limit", "0"], COUNT, ""),
        (["--tag", "news", "--csv"], COUNT, ""),
        (["--tag", "none"], 0, "nothing matches\n"),
        (["--tag", "n*"], 0, "nothing matches; values are whole: there are no patterns\n"),
    ],
)
def test_a_search_for_people_says_how_far_it_went(
    world: World, monkeypatch: pytest.MonkeyPatch, more: list[str], rows: int, says: str
) -> None:
    """It takes a bounded time, whatever is asked; one for programs, or for all rows, is complete."""
    monkeypatch.setattr(search, "_LOOKED_AT", 1)
    monkeypatch.setattr(view, "_STEPS", 1)
    for command, others in ((["status"], 0), (["queue", "list"], 0), (["status", "--delays"], 3)):
        ran = world.run(*command, "--domain", "x.test", *more)
        percentiles = 0 if "--csv" in more else others
        assert len(ran.cells) - 1 == rows + percentiles
        assert says in ran.err
        assert ("searched back" in ran.err) == says.startswith("searched back")


AGES = {
    0: ("0 s ago", "due"),
    1: ("1 s ago", "due"),
    59: ("59 s ago", "due"),
    60: ("1 min ago", "due"),
    119 * 60: ("119 min ago", "due"),
    2 * 3600: ("2 h ago", "due"),
    47 * 3600 + 3599: ("47 h ago", "due"),
    2 * 86400: ("2 d ago", "due"),
    90 * 86400: ("90 d ago", "due"),
    -1: ("0 s ago", "in 1 s"),
    -61: ("0 s ago", "in 2 min"),
    -899.5: ("0 s ago", "in 15 min"),
    -4 * 3600: ("0 s ago", "in 4 h"),
    -3 * 86400: ("0 s ago", "in 3 d"),
}


@pytest.mark.parametrize(("seconds", "said"), AGES.items(), ids=str)
def test_an_age_has_one_unit(seconds: float, said: tuple[str, str]) -> None:
    then = START - timedelta(seconds=seconds)
    assert (ago(then, START), until(then, START)) == said
    assert (ago(None, START), until(None, START)) == ("", "")


async def test_a_subject_that_was_kept_has_a_column(world: World) -> None:
    """At the end, where it moves no other; and where none was kept, there is no column."""
    store = world.open_store()
    await enqueue(store, a_message("a@x.test"))
    assert world.run("status").cells[0][-1] == "WHY"
    await enqueue(store, a_message("b@x.test", facts=replace(a_facts(), subject="Hi \x1b[31m")))
    await store.close()
    assert column(world.run("status").cells, "SUBJECT") == ["Hi ?[31m", ""]
    assert world.run("status").cells[0][-1] == "SUBJECT"
    newest, older = world.run("status", "--json").rows
    assert (newest["subject"], "subject" in older) == ("Hi \x1b[31m", False)
    assert "Subject      Hi ?[31m\n" in world.run("status", "show", newest["queue_id"]).out


async def test_why_says_who_holds_mail(world: World) -> None:
    """Not what a server said before: that is over."""
    store = world.open_store()
    await enqueue(store, a_message("a@x.test"))
    await store.act(Query(), Action.HOLD, by="ann", reason="wrong prices")
    for command in (["status"], ["queue", "list"]):
        assert column(world.run(*command).cells, "WHY") == ["held by ann: wrong prices"]
    [row] = world.run("status", "--json").rows
    assert row["held"].keys() == {"by", "since", "reason"}
    assert (row["held"]["by"], row["held"]["reason"]) == ("ann", "wrong prices")
    await store.close()
