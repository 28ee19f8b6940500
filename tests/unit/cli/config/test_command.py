"""`relayd config` without a daemon: what is shown, in which form, with which exit status."""

import io
import json
import os
import socket
import threading
import tomllib
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest

from relayd.cli.config.command import read_value
from relayd.config.keys import parse_key
from relayd.config.mistakes import lookup
from relayd.config.model import DEFAULTS, TABLES_OF_NAMES
from tests.support.cli_world import World, column

OURS = "relay.firm-of-ours.com"


def data_of(world: World) -> dict[str, object]:
    return tomllib.loads(world.settings.read_text())


# -- get


@pytest.mark.parametrize(
    ("key", "shown"),
    [
        ("fqdn", "relay.example.org"),
        ("use_remote_smtp", "false"),
        ("limits.recipients", "1000"),
        ("limits.message_size", "35MB"),
        ("retry.soft_bounce", '["15m"]'),
        ("listen.0.address", "127.0.0.1:2525"),
        ("listen[0].tls", "off"),
        ("smarthost.username", ""),
    ],
)
def test_one_key_is_its_value_for_a_script(world: World, key: str, shown: str) -> None:
    ran = world.run("config", "get", key)
    assert (ran.status, ran.out, ran.err) == (0, f"{shown}\n", "")


def test_a_mistyped_key_can_be_taken_out(world: World) -> None:
    """It is in the file, and no command could do away with it."""
    right = world.settings.read_text()
    world.settings.write_text(f"nokey = 1\n{right}[retry]\ngive_up_afetr = '3d'\n")
    assert world.run("config", "unset", "nokey").status == 78  # the other is there still
    ran = world.run("config", "unset", "nokey", "retry.give_up_afetr")
    assert (ran.status, "nokey: 1 -> not set" in ran.out) == (0, True)
    assert 'retry.give_up_afetr: "3d" -> not set' in ran.out
    assert world.settings.read_text() == f"{right}[retry]\n"
    assert world.run("config", "unset", "nokey").status == 78


def test_a_list_is_set_whole(world: World) -> None:
    ran = world.run("config", "set", "smarthost.hosts.0", "mail.example.org")
    assert (ran.status, "smarthost.hosts: is one list" in ran.err) == (78, True)


def test_a_table_with_one_key_names_it(world: World) -> None:
    """The name of a route says whose mail it is about."""
    assert world.run("config", "set", 'routes."*.x.test"', "hold").status == 0
    [_, row] = world.run("config", "get", "routes").cells
    assert row[:2] == ['routes."*.x.test"', '"hold"']
    assert world.run("config", "get", 'routes."*.x.test"').out == "hold\n"


def test_all_keys_with_where_they_come_from(world: World) -> None:
    ran = world.run("config", "get")
    assert ran.status == 0
    assert len(ran.cells) == len(DEFAULTS) - len(TABLES_OF_NAMES) + 1  # with the titles
    source = {name: from_ for name, _, from_ in ran.cells}
    assert (source["fqdn"], source["store.url"], source["workers"]) == ("file", "file", "default")


@pytest.mark.parametrize("key", ["smarthost", "listen.0", "listen"])
def test_a_table_is_its_keys(world: World, key: str) -> None:
    names = column(world.run("config", "get", key).cells, "KEY")
    assert len(names) > 5
    assert all(name.startswith(f"{key}.") for name in names)


def test_get_as_json(world: World) -> None:
    assert world.run("config", "get", "workers", "--json").rows == [
        {"key": "workers", "value": "auto", "default": "auto", "from": "default"}
    ]
    assert {row["key"] for row in world.run("config", "get", "--json").rows} >= {"fqdn", "tls.key"}


def test_routes_are_shown_by_their_patterns(world: World) -> None:
    assert world.run("config", "get", "routes").cells == [["KEY", "VALUE", "FROM"]]
    world.run("config", "set", 'routes."*.x.example"', "hold")
    assert world.run("config", "get", 'routes."*.x.example"').out == "hold\n"
    assert world.run("config", "get", "routes.y.example").status == os.EX_NOINPUT
    assert world.run("config", "get", "listen.7.tls").status == os.EX_NOINPUT


def test_get_names_the_nearest_right_key(world: World) -> None:
    ran = world.run("config", "get", "smarthost.hots")
    assert (ran.status, ran.out) == (os.EX_CONFIG, "")
    assert ran.err == f'{world.settings}: smarthost.hots: unknown key; did you mean "hosts"?\n'


def test_no_secret_is_shown(world: World) -> None:
    """Only the names of their files are settings."""
    secret = world.folder / "password"
    secret.write_text("hunter2")
    secret.chmod(0o600)
    with world.settings.open("a") as file:
        file.write('[smarthost]\nusername = "app"\npassword_file = "password"\n')
    for words in (("get",), ("get", "--json"), ("get", "smarthost"), ("diff",), ("diff", "--json")):
        ran = world.run("config", *words)
        assert ran.status == 0
        assert "hunter2" not in ran.out + ran.err


# -- set


VALUES = {
    "true": True,
    "20": 20,
    '["15m", "1h"]': ["15m", "1h"],
    "[]": [],
    '"20"': "20",
    "''": "",
    "20 # twenty": 20,
    "": "",
    "-": "-",
    "5d": "5d",
    "35MB": "35MB",
    "127.0.0.1:25": "127.0.0.1:25",
    "unix:/run/s": "unix:/run/s",
    "relay.example.org": "relay.example.org",
    "[::1]:25": "[::1]:25",
    "1\nworkers = 2": "1\nworkers = 2",
    "[" * 100_000: "[" * 100_000,
}


@pytest.mark.parametrize(("text", "value"), VALUES.items(), ids=lambda each: str(each)[:20])
def test_a_value_is_toml_where_it_reads_as_that(text: str, value: object) -> None:
    assert read_value(text) == value


def test_the_banner_says_what_changed_where_and_that_no_daemon_runs(world: World) -> None:
    """That nobody runs is no error: the file is what counts."""
    ran = world.run("config", "set", "limits.recipients", "500")
    assert (ran.status, ran.err) == (0, "")
    assert ran.out.splitlines() == [
        "Setting updated",
        "  limits.recipients: 1000 -> 500",
        f"  file: {world.settings}",
        f"  daemon: does not run (no daemon at {world.socket}: No such file or directory)",
    ]
    assert data_of(world)["limits"] == {"recipients": 500}
    ran = world.run("config", "set", "limits.recipients", "500")
    assert ran.out.splitlines()[:2] == ["Nothing to update", "  limits.recipients: 500, as before"]


def test_the_banner_as_json(world: World) -> None:
    [row] = world.run("config", "set", "redirect.to", "qa@firm-of-ours.com", "--json").rows
    assert row == {
        "file": str(world.settings),
        "key": "redirect.to",
        "from": "",
        "to": "qa@firm-of-ours.com",
        "written": True,
        "daemon": "stopped",
        "reasons": [f"no daemon at {world.socket}: No such file or directory"],
    }


def test_a_value_may_begin_with_a_hyphen(world: World) -> None:
    assert world.run("config", "set", "status_log.path", "-").status == 0
    assert world.run("config", "set", "direct.messages_per_minute", "-1").status == os.EX_CONFIG
    assert world.run("config", "set", "workers", "2", "--frob").status == os.EX_USAGE


@pytest.mark.parametrize(
    ("key", "value", "told"),
    [
        ("smarthost.tls", "maybe", 'smarthost.tls is "maybe": expected one of "off"'),
        ("smarthost.tsl", "off", 'smarthost.tsl: unknown key; did you mean "tls"?'),
        ("limits.message_size", "35", "limits.message_size is 35: expected a size such as"),
        ("retry.give_up_after", "5", "retry.give_up_after is 5: expected a duration"),
        ("listen.3.tls", "off", "listen[3].tls: expected listen.0 to listen.1"),
    ],
)
def test_a_wrong_value_is_refused_with_a_line(
    world: World, key: str, value: str, told: str
) -> None:
    before = world.settings.read_bytes()
    ran = world.run("config", "set", key, value)
    assert (ran.status, ran.out) == (os.EX_CONFIG, "")
    [line] = ran.err.splitlines()
    assert line.startswith(f"{world.settings}: {told}")
    assert world.settings.read_bytes() == before


def test_several_keys_are_one_change(world: World) -> None:
    """Neither may be there without the other."""
    world.folder.joinpath("password").write_text("secret\n")
    world.folder.joinpath("password").chmod(0o600)
    assert world.run("config", "set", "smarthost.username", "app").status == os.EX_CONFIG
    pair = ("smarthost.username=app", "smarthost.password_file=password")
    ran = world.run("config", "set", *pair)
    assert (ran.status, ran.err) == (0, "")
    assert ran.out.splitlines()[:3] == [
        "Settings updated",
        '  smarthost.username: "" -> "app"',
        '  smarthost.password_file: "" -> "password"',
    ]
    rows = world.run("config", "set", *pair, "--json").rows
    assert [(row["key"], row["written"]) for row in rows] == [
        ("smarthost.username", False),
        ("smarthost.password_file", False),
    ]
    ran = world.run("config", "unset", "smarthost.username", "smarthost.password_file")
    assert (ran.status, data_of(world)["smarthost"]) == (0, {})


@pytest.mark.parametrize(
    ("words", "key", "value"),
    [
        (["workers=2"], "workers", 2),
        (["smarthost.hosts", "10.0.0.5:25"], "smarthost.hosts", ["10.0.0.5:25"]),
        (["retry.soft_bounce=1h"], "retry.soft_bounce", ["1h"]),
        (['retry.soft_bounce=["1h", "2h"]'], "retry.soft_bounce", ["1h", "2h"]),
        (["direct.allow_networks=10.0.0.0/8"], "direct.allow_networks", ["10.0.0.0/8"]),
        (["test_mail.recipients", "a=b@x.example"], "test_mail.recipients", ["a=b@x.example"]),
        (['routes."a=b.example"=hold'], "", None),
        (["routes.*.x.example=10.0.0.5:25"], "routes.*.x.example", "10.0.0.5:25"),
    ],
)
def test_words_of_a_change(world: World, words: list[str], key: str, value: object) -> None:
    """A single value counts as a list of one; the first equals sign outside quotes ends the key."""
    ran = world.run("config", "set", *words)
    if not key:
        assert (ran.status, "a=b.example" in ran.err) == (os.EX_CONFIG, True)
        return
    assert (ran.status, ran.err) == (0, "")
    assert lookup(data_of(world), parse_key(key)) == value


@pytest.mark.parametrize("words", [["workers"], ["workers", "2", "3"], ["a=1", "b"], []])
def test_words_that_are_no_change_are_told_with_an_example(world: World, words: list[str]) -> None:
    ran = world.run("config", "set", *words)
    assert (ran.status, ran.out) == (os.EX_USAGE, "")
    assert "KEY=VALUE" in ran.err


def test_a_dry_run_checks_all_and_writes_nothing(world: World) -> None:
    before = world.settings.read_bytes()
    ran = world.run("config", "set", "--dry-run", "workers=2", "log.level=debug")
    assert (ran.status, ran.err) == (0, "")
    assert ran.out.splitlines()[0] == "Settings that would be updated"
    assert 'log.level: "info" -> "debug"' in ran.out
    assert world.run("config", "set", "--dry-run", "workers=0").status == os.EX_CONFIG
    [row] = world.run("config", "unset", "--dry-run", "store.url", "--json").rows
    assert (row["to"], row["written"], row["daemon"]) == (
        "sqlite:/var/lib/relayd/queue.db",
        False,
        "not_asked",
    )
    assert world.settings.read_bytes() == before


def test_listeners_that_go_together_are_those_that_were_named(world: World) -> None:
    """Not those that have their numbers after the first is gone."""
    ports = [f"listen.{n}.address=127.0.0.1:{2600 + n}" for n in range(4)]
    assert world.run("config", "set", *ports).status == 0
    assert world.run("config", "unset", "listen.1", "listen.2").status == 0
    assert [each["address"] for each in data_of(world)["listen"]] == [  # type: ignore[attr-defined]
        "127.0.0.1:2600",
        "127.0.0.1:2603",
    ]


def test_direct_mode_comes_with_the_risks(world: World) -> None:
    with world.settings.open("a") as file:
        file.write(NO_DNS)
    ran = world.run("config", "set", "use_remote_smtp", "true")
    assert ran.status == os.EX_CONFIG
    assert "--force" in ran.err
    world.run("config", "set", "fqdn", OURS)
    lines = world.run("config", "set", "use_remote_smtp", "true").out.splitlines()
    assert lines[1] == "  use_remote_smtp: false -> true"
    told = [line.strip(" -") for line in lines if line.startswith("  - ")]
    told = [line for line in told if not line.startswith(("warn, ", "fail, "))]
    assert [next(word for word in WORDS if word in line) for line in told] == WORDS
    assert "once more, after 15m; a hard one never" in told[2]
    again = world.run("config", "set", "use_remote_smtp", "true").out
    assert "reputation" not in again


@pytest.mark.parametrize("options", [(), ("--dry-run",)])
def test_another_queue_leaves_the_mail_behind(world: World, options: tuple[str, ...]) -> None:
    """What waits would be in a queue that nobody serves, and no question would find it."""
    [before] = [row["value"] for row in world.run("config", "get", "store.url", "--json").rows]
    wanted = f"store.url=sqlite:{world.settings.parent}/other.db"
    told = world.run("config", "set", wanted, *options).out
    assert f"what is in {before} stays there" in told
    assert "relayd move" in told
    if options:
        [row] = world.run("config", "set", wanted, *options, "--json").rows
        assert f"what is in {before}" in row["warnings"][0]
    else:
        assert "stays there" not in world.run("config", "set", wanted).out


NO_DNS = '[dns]\nnameservers = ["127.0.0.1:9"]\ntimeout = "1s"\n'  # nobody answers there
WORDS = ["slower", "reputation", "soft bounce", "proxy", "test mail", "`relayd doctor`"]


@pytest.mark.parametrize(
    ("waits", "domain", "told"),
    [
        ("[]", "", "a soft bounce is never tried again; a hard one never"),
        ('["1h", "2h"]', "", "is tried 2 times more, after 1h and 2h; a hard one never"),
        ('["1h"]', "b.firm-of-ours.com", "come back to b.firm-of-ours.com and are counted"),
    ],
)
def test_the_risks_are_those_of_these_settings(
    world: World, waits: str, domain: str, told: str
) -> None:
    with world.settings.open("a") as file:
        file.write(f'[retry]\nsoft_bounce = {waits}\n[bounces]\nverp_domain = "{domain}"\n')
        file.write(NO_DNS)
    [row] = world.run("config", "set", "use_remote_smtp", "true", "--force", "--json").rows
    assert len(row["warnings"]) >= len(WORDS)
    assert any(told in each for each in row["warnings"])


ANSWERS = {
    "gone": (b"", "unknown", os.EX_UNAVAILABLE, "daemon: cannot be asked (", "daemon: cannot"),
    "refuses": (
        b'{"ok":false,"error":"a: no\\nb: no"}\n',
        "refused",
        os.EX_OSERR,
        "daemon: keeps its old settings, because",
        "daemon: cannot be asked (a: no; b: no)",
    ),
    "another-file": (
        b'{"ok":true,"file":"/etc/other.toml","digest":"0","settings":{"fqdn":"\\"x\\""}}\n',
        "older",
        os.EX_UNAVAILABLE,
        "daemon: runs with other settings, read from /etc/other.toml;",
        "daemon: runs with other settings, read from /etc/other.toml;",
    ),
}


@pytest.fixture
def answering(world: World) -> Iterator[Callable[[bytes], None]]:
    """Somebody at the control socket who gives every question the same answer."""
    stack = ExitStack()

    def start(answer: bytes) -> None:
        listening = stack.enter_context(socket.socket(socket.AF_UNIX))
        listening.bind(str(world.socket))
        listening.listen()

        def serve() -> None:
            with suppress(OSError):
                while True:
                    with listening.accept()[0] as client:
                        client.recv(1000)
                        client.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        stack.callback(thread.join, 10)
        stack.callback(listening.shutdown, socket.SHUT_RDWR)

    with stack:
        yield start


@pytest.mark.parametrize(
    ("answer", "state", "status", "banner", "diff"), ANSWERS.values(), ids=ANSWERS
)
def test_what_the_daemon_says_is_told(
    world: World,
    answering: Callable[[bytes], None],
    answer: bytes,
    state: str,
    status: int,
    banner: str,
    diff: str,
) -> None:
    """And that a daemon which cannot be asked is not taken for one that does not run."""
    answering(answer)
    ran = world.run("config", "set", "workers", "2")
    assert (ran.status, ran.err) == (status, "")
    assert f"\n  {banner}" in ran.out
    [row] = world.run("config", "set", "workers", "3", "--json").rows
    assert row["daemon"] == state
    assert diff in world.run("config", "diff").out
    refuses = state == "refused"
    assert (row["written"], row.get("put_back", False)) == (not refuses, refuses)
    assert data_of(world).get("workers") == (None if refuses else 3)


def test_on_a_terminal_the_banner_has_a_frame(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    terminal = Terminal()
    monkeypatch.setattr("sys.stdout", terminal)
    monkeypatch.setenv("COLUMNS", "100")
    world.run("config", "set", "workers", "2")
    lines = terminal.getvalue().splitlines()
    assert lines[0].startswith("╭─ Setting updated ─")
    assert lines[1].startswith('│ workers: "auto" -> 2')
    assert lines[-1].startswith("╰─")


# -- diff


def test_diff_shows_what_is_not_the_default(world: World) -> None:
    ran = world.run("config", "diff")
    assert ran.status == 0
    table, _, told = ran.out.partition("\n\n")
    rows = [line.split("\t") for line in table.splitlines()]
    assert rows[0] == ["KEY", "DEFAULT", "VALUE", "FROM"]
    assert rows[1] == ["fqdn", "-", '"relay.example.org"', "file"]
    assert [row[0] for row in rows[2:]] == ["store.url", "control.socket", "status_log.path"]
    assert (
        told == f"daemon: does not run (no daemon at {world.socket}: No such file or directory)\n"
    )


def test_diff_as_json(world: World) -> None:
    *rows, daemon = world.run("config", "diff", "--json").rows
    assert rows[0] == {"key": "fqdn", "value": "relay.example.org", "from": "file"}
    assert rows[1]["default"] == "sqlite:/var/lib/relayd/queue.db"
    assert daemon["daemon"] == "stopped"


def test_wrong_settings_are_not_shown_as_if_they_counted(world: World) -> None:
    world.settings.write_text("frob = 1\n")
    for verb in ("get", "diff"):
        ran = world.run("config", verb)
        assert (ran.status, ran.out) == (os.EX_CONFIG, "")
        assert len(ran.err.splitlines()) == 2


def test_the_shipped_file_needs_one_command(tmp_path: Path, world: World) -> None:
    """From the file that is shipped to one that works."""
    shipped = Path(__file__).parents[4] / "etc/relayd.toml"
    world.settings.write_bytes(shipped.read_bytes())
    assert world.run("check").status == os.EX_CONFIG
    [row] = world.run("config", "set", "fqdn", OURS, "--json").rows
    assert "from" not in row
    assert world.run("check").status == 0
    assert json.loads(json.dumps(data_of(world)))["fqdn"] == OURS
    assert tmp_path == world.folder
