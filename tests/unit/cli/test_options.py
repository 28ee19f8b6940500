"""What holds for the options of every command: of two values none counts silently."""

from collections.abc import Mapping, Sequence

import click
import pytest

from relayd.cli.group import LAST_COUNTS, Group, has_one_value
from tests.support.cli_world import World
from tests.support.command_options import options_of
from tests.support.command_tree import all_commands

COMMANDS = all_commands()
SINGLE = [
    (name, option)
    for name, command in COMMANDS.items()
    for option, each in options_of(command).items()
    if has_one_value(each)
]


@pytest.mark.parametrize(("name", "option"), SINGLE, ids=[f"{a} {b}" for a, b in SINGLE])
def test_an_option_with_one_value_is_refused_when_given_twice(
    world: World, name: str, option: str
) -> None:
    ran = world.run(*name.split()[1:], option, "1", option, "2")
    assert (ran.status, ran.out) == (64, "")
    assert ran.err.splitlines()[-1] == f"Error: {option} is given twice: it has one value."
    assert f"Usage: {name} " in ran.err


def test_all_single_values_are_in_that_table() -> None:
    """Groups look at what is below them; of those of the root only `-c` has a value."""
    assert {("relayd stats", "--by"), ("relayd pause", "--for")} < set(SINGLE)
    assert "relayd" not in {name for name, _ in SINGLE}
    for name, command in COMMANDS.items():
        assert isinstance(command, Group) or not isinstance(command, click.Group), name
        for option, each in options_of(command).items():
            is_repeatable = each.multiple or each.is_flag or each.count
            assert is_repeatable or option == LAST_COUNTS or has_one_value(each)


def test_an_alias_may_have_settings_of_its_own(world: World) -> None:
    """`alias relayd="relayd -c FILE"`: the last one counts."""
    absent = str(world.folder / "absent.toml")
    assert world.run_bare("-c", absent, "-c", str(world.settings), "check").status == 0
    assert world.run_bare("check", "-c", absent, "-c", str(world.settings)).status == 0


FINE: Mapping[str, Sequence[str]] = {
    "a flag": ("status", "--json", "--json"),
    "several values": ("status", "--tag", "a", "--tag", "b"),
    "in a value": ("status", "--tag", "--limit", "--limit", "1"),
    "help": ("status", "--limit", "1", "--limit", "2", "--help"),
}


@pytest.mark.parametrize("line", FINE.values(), ids=FINE)
def test_what_may_be_said_twice(world: World, line: Sequence[str]) -> None:
    assert "twice" not in world.run(*line).err


def test_other_mistakes_come_first(world: World) -> None:
    ran = world.run("stats", "--by", "user", "--by", "tag", "--frob")
    assert "No such option" in ran.err


IGNORED = {
    "rows of what has all": ("stats --limit 3", "--limit is for --by"),
    "an end of what has none": ("status --watch --fail-empty", "--fail-empty does not go"),
    "an end of a log": ("log -f --fail-empty", "--fail-empty does not go"),
    "columns of another table": ("status --delays --columns id", "--columns is for the table"),
    "instants where there are none": ("status --delays --utc", "--utc is for the table"),
    "columns of a count": ("queue list --by tag --columns id", "--columns is for the table"),
    "a count of ids": ("queue list --by tag 0CNA0NJ6E0401", "--by counts what filters select"),
    "columns of fields": ("pauses --json --columns pause", "--columns is for tables"),
    "for another command": ("addresses --json suppress a@x.test", "its options come after it"),
    "with the lift of one": ("addresses --unsuppress a@x.test --csv", "no filter or other option"),
    "of a list, for one message": ("status --fail-empty 0CNA0NJ6E0401", "An ID needs no filter"),
    "rows without rows": ("queue hold 0CNA0NJ6E0401 --csv", "--csv is for the rows of --list"),
}


@pytest.mark.parametrize(("line", "says"), IGNORED.values(), ids=IGNORED)
async def test_no_option_is_ignored(world: World, line: str, says: str) -> None:
    """What it cannot do is said, with status 64, before anything is printed."""
    await world.open_store().close()
    ran = world.run(*line.split())
    assert (ran.status, ran.out) == (64, "")
    assert says in ran.err
