"""Every command answers settings and stores that cannot be used with one line, and no traceback.

A command is run in this process: an exception that nothing turns into a line fails the test.
"""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from relayd.cli.command import root
from relayd.cli.tools.help_pages import help_pages
from relayd.store.sqlite.connection import prepare
from tests.support.cli_world import World

ID = "0CNA0NJ6E0401"
LINES = {
    "serve": [],
    "init": ["--fqdn", "relay.example.org", "--smarthost", "127.0.0.1:1"],
    "import": ["postfix", "/no/such/folder"],
    "check": [],
    "config get": [],
    "config set": ["workers", "2"],
    "config unset": ["workers"],
    "config diff": [],
    "reload": [],
    "status": ["--since", "7d"],
    "status show": [ID],
    "stats": ["--by", "sender"],
    "addresses": [],
    "addresses suppress": ["a@x.test"],
    "addresses unsuppress": ["a@x.test"],
    "addresses import": ["/dev/null"],
    "addresses export": [],
    "queue list": [],
    "queue hold": [ID],
    "queue release": [ID],
    "queue expedite": ["--domain", "x.test"],
    "queue bounce": ["--all", "--yes"],
    "queue drop": ["--tag", "x"],
    "queue requeue": ["--tag", "x"],
    "queue cat": [ID],
    "pause": ["all"],
    "resume": ["all"],
    "pauses": [],
    "sites": [],
    "sites show": ["google"],
    "sites free": ["google"],
    "drain": [],
    "log": [],
    "trace": [ID],
    "doctor": ["--quick"],
    "top": ["--once"],
    "route": ["a@x.test"],
    "test-mail": ["a@x.test"],
    "tlsrpt show": [],
    "dkim keygen": ["x.test", "--ed25519"],
    "dkim dns": [],
    "dkim rotate": ["x.test"],
    "oauth2 login": [],
    "user add": ["ann"],
    "user remove": ["ann"],
    "user list": [],
    "console user add": ["ann", "--role", "viewer"],
    "console user set": ["ann", "--disable"],
    "console user password": ["ann"],
    "console user remove": ["ann"],
    "console user list": [],
    "console key add": ["shop", "--scopes", "submit"],
    "console key set": ["shop", "--disable"],
    "console key remove": ["shop"],
    "console key list": [],
    "console sessions end": ["ann"],
    "console audit": [],
    "console webhook add": ["https://app.test/"],
    "console webhook set": ["1", "--disable"],
    "console webhook remove": ["1"],
    "console webhook rotate": ["1"],
    "console webhook test": ["1"],
    "console webhook replay": ["1", "--all"],
    "console webhook show": ["1"],
    "console webhook list": [],
    "console webhook deliveries": [],
    "backup": ["no/such/folder"],
    "restore": ["no/such/folder"],
    "move": ["no/such/folder"],
    "nodes": [],
    "store compact": [],
    "store copy": ["sqlite:/no/such/queue.db", "sqlite:/no/such/copy.db"],
    "store migrate": [],
    "store status": [],
    "classify": ["550 no such user"],
    "check-content": ["no-such-file"],
    "parse-bounce": ["no-such-file"],
    "sendmail": ["a@x.test"],
}
NEED_NO_SETTINGS = {"demo", "completion", "explain", "support-bundle", "man", "help", "version"}
ASK_THE_QUEUE = (
    "status",
    "status show",
    "addresses",
    "addresses suppress",
    "addresses export",
    "queue list",
    "queue hold",
    "queue expedite",
    "queue cat",
    "pauses",
    "sites",
    "sites show",
    "console user list",
    "console key list",
    "console audit",
    "console key remove",
    "console webhook set",
    "console webhook replay",
    "console webhook show",
    "console webhook list",
    "console webhook deliveries",
    "top",
    "route",
    "tlsrpt show",
    "store status",
    "test-mail",
    "backup",
    "move",
)


def test_every_command_is_here() -> None:
    lists = (
        "relayd status",
        "relayd addresses",
        "relayd sites",
    )  # without a command of their group
    pages = [page for page in help_pages(root) if not page.commands or page.name in lists]
    names = {page.name.removeprefix("relayd ") for page in pages}
    assert names == LINES.keys() | NEED_NO_SETTINGS


def in_one_line(world: World, name: str, *more: str) -> int:
    """Run a command; return its status, and expect a line if it failed."""
    ran = world.run(*name.split(), *LINES[name], *more)
    assert len(ran.err.splitlines()) == (0 if ran.status == os.EX_OK else 1), ran.err
    assert "Traceback" not in ran.err
    is_told = ran.status != os.EX_OK and name != "sendmail"  # which says what others say
    assert len(ran.pointers) == is_told, "what explains it"
    return ran.status


def no_file(file: Path) -> None:
    file.unlink()


def a_folder(file: Path) -> None:
    file.unlink()
    file.mkdir()


def no_text(file: Path) -> None:
    file.write_bytes(b"\xff\xfe\x00[[[")


def cut_off(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:5000] + b"\xff" * 3000)


@pytest.mark.parametrize("fault", [no_file, a_folder, no_text])
@pytest.mark.parametrize("name", LINES)
def test_settings_that_cannot_be_read(
    world: World, name: str, fault: Callable[[Path], None]
) -> None:
    fault(world.settings)
    status = in_one_line(world, name)
    assert (status == os.EX_OK) == (name == "classify")


@pytest.mark.parametrize("fault", [no_file, a_folder, no_text, cut_off])
@pytest.mark.parametrize("name", ASK_THE_QUEUE)
def test_a_queue_that_cannot_be_read(
    world: World, name: str, fault: Callable[[Path], None]
) -> None:
    with world.settings.open("a") as file:
        file.write(f'[[listen]]\naddress = "unix:{world.folder}/none.sock"\n')
    queue = world.folder / "queue.db"
    prepare(str(queue))
    fault(queue)
    status = in_one_line(world, name)
    assert (status == os.EX_OK) == (name == "route")
