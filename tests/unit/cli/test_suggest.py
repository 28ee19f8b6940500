"""What is mistyped gets the right suggestion, whichever command it is for."""

import click
import pytest

from relayd import __version__
from relayd.cli import suggest
from relayd.cli.command import root
from tests.support.cli_world import World
from tests.support.command_tree import all_commands

MISTYPED = {
    "a command": (["statsu"], "Did you mean 'relayd status'"),
    "another": (["adresses"], "Did you mean 'relayd addresses'?"),
    "a verb": (["queue", "relase"], "Did you mean 'relayd queue release'?"),
    "a verb without its group": (["hold", "0CNSP4NW60800"], "Did you mean 'relayd queue hold'?"),
    "a verb of two groups": (["list"], "'relayd queue list' or 'relayd user list'?"),
    "a verb that is near a command": (["rotate"], "Did you mean 'relayd dkim rotate'?"),
    "what systemd does": (["restart"], "Did you mean 'systemctl restart relayd'?"),
    "a word of other servers": (["flush"], "Did you mean 'relayd queue expedite'?"),
    "an option": (["status", "--recipent", "a@x.test"], "Did you mean '--recipient'?"),
    "an option of the whole": (["--verison"], "Did you mean '--version'?"),
    "a status": (["status", "--status", "bounce"], "Did you mean 'bounced'?"),
    "a category": (["status", "--category", "mailbox"], "Did you mean 'mailbox_full'?"),
    "an event": (["log", "--event", "recieved"], "Did you mean 'received'?"),
    "an argument": (["completion", "bahs"], "Did you mean 'bash'?"),
    "a column": (["status", "--columns", "id,recipent"], "Did you mean 'recipient'?"),
    "a column of another list": (["pauses", "--columns", "utnil"], "Did you mean 'until'?"),
    "a day": (["status", "--since", "yesteday"], "Did you mean 'yesterday'?"),
    "a weekday": (["stats", "--until", "wensday"], "Did you mean 'wednesday'?"),
    "a Message-ID": (["queue", "hold", "<a@b.test>"], "--message-id '<a@b.test>'"),
    "too long ago": (["status", "--since", "9" * 15 + "d"], "further away than the calendar goes"),
    "an option of lists": (["resume", "--csv"], "It is an option of relayd status, relayd stats"),
    "an option of one": (["queue", "list", "--explain"], "It is an option of relayd status show"),
    "before the command": (
        ["--json", "stats"],
        "It comes after the command: relayd COMMAND --json.",
    ),
    "before the verb": (["queue", "--tag", "x", "list"], "relayd queue COMMAND --tag."),
    "in help": (["help", "queue", "hodl"], "Did you mean 'relayd queue hold'?"),
}


@pytest.mark.parametrize(("words", "says"), MISTYPED.values(), ids=MISTYPED)
def test_a_mistyped_word(world: World, words: list[str], says: str) -> None:
    ran = world.run_bare(*words)
    assert (ran.status, ran.out) == (64, "")
    assert says in ran.err


@pytest.mark.parametrize("words", [["frobnicate"], ["status", "--frob"], ["user", "frob"]], ids=str)
def test_nothing_is_suggested_that_is_not_near(world: World, words: list[str]) -> None:
    assert "Did you mean" not in world.run_bare(*words).err


SETTINGS = {
    "[retries]\nsoft_bounce = ['1h']": 'retries: unknown key; did you mean "retry"?',
    "[status-log]\npath = '-'": 'status-log: unknown key; did you mean "status_log"?',
    "[store]\nhistroy = '5d'": 'store.histroy: unknown key; did you mean "history"?',
    "[retry]\nsoft_bouce = ['1h']": 'retry.soft_bouce: unknown key; did you mean "soft_bounce"?',
}


@pytest.mark.parametrize(("text", "says"), SETTINGS.items(), ids=SETTINGS)
def test_a_mistyped_key(world: World, text: str, says: str) -> None:
    world.settings.write_text(f'fqdn = "relay.example.org"\n{text}\n')
    assert says in world.run("check").err


COMMANDS = all_commands()


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_is_found_with_two_letters_turned(world: World, name: str) -> None:
    """`--recipeint` as it is typed in a hurry; `relayd sendmail` has letters only."""
    for each in COMMANDS[name].params:
        option = max(each.opts, key=len)
        turned = f"{option[:-2]}{option[-1]}{option[-2]}"
        if turned == option or not isinstance(each, click.Option) or each.hidden:
            continue
        if name in {"relayd sendmail", "relayd config set"}:  # which take what looks like an option
            continue
        ran = world.run_bare(*name.split()[1:], turned)
        assert ran.status == 64
        assert f"'{option}'" in ran.err


def test_what_is_known_elsewhere_is_no_command_here() -> None:
    context = click.Context(root)
    assert not set(suggest._KNOWN_ELSEWHERE) & set(root.list_commands(context))
    for known in suggest._KNOWN_ELSEWHERE.values():
        assert known.startswith("systemctl ") or suggest.has_command(context, known.split())


@pytest.mark.parametrize("name", COMMANDS)
def test_help_is_the_same_in_both_ways_and_uncut(world: World, name: str) -> None:
    words = name.split()[1:]
    asked, option = world.run_bare("help", *words), world.run_bare(*words, "--help")
    assert (asked.status, option.status) == (0, 0)
    assert asked.out == option.out
    assert not any(line.endswith("...") for line in asked.out.splitlines()[1:])
    assert max(map(len, asked.out.splitlines())) <= 100  # a terminal that is wider gets no more


def test_all_commands_are_in_a_section(world: World) -> None:
    lines = world.run_bare("help").out.splitlines()
    context = click.Context(root)
    for name in root.list_commands(context):
        assert any(line.startswith(f"  {name} ") for line in lines), name
    assert "Commands:" not in lines
    queue = " ".join(lines).partition("  queue ")[2]
    assert "list, hold, release, expedite, bounce, drop" in " ".join(queue.split())


def test_the_version_in_both_ways(world: World) -> None:
    assert world.run_bare("version").out == world.run_bare("--version").out
    assert world.run_bare("version").out.startswith(f"relayd {__version__}")


def test_the_help_of_sendmail_names_its_letters(world: World) -> None:
    ran = world.run_bare("sendmail", "--help")
    assert ran.status == 0
    assert all(f"  {letter} " in ran.out for letter in ("-t", "-i", "-f ADDRESS", "-bs"))
