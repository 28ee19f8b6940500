"""Which store is asked, without reading the settings in full."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from relayd import config
from relayd.cli import DEFAULT_SETTINGS
from relayd.cli.store_url import DEFAULT_STORE, find_store
from relayd.store.sqlite.connection import prepare
from tests.support.cli_world import World

STORES = {
    "not written": ("fqdn = 1", DEFAULT_STORE),
    "the table alone": ("[store]", DEFAULT_STORE),
    "written": ('[store]\nurl = "sqlite:/a/queue.db"\nhistory = "1d"', "sqlite:/a/queue.db"),
    "not a path": ('[store]\nurl = "sqlite:queue.db"', None),
    "a host": ('[store]\nurl = "sqlite://a/queue.db"', None),
    "a folder": ('[store]\nurl = "sqlite:/a/"', None),
    "nothing": ('[store]\nurl = "sqlite:"', None),
    "not printable": ('[store]\nurl = "sqlite:/a\\u0007"', None),
    "another engine": ('[store]\nurl = "postgresql://a/b"', None),
    "no text": ("[store]\nurl = 1", None),
    "another key": ('[store]\nurll = "sqlite:/a/queue.db"', None),
    "no table": ("store = 1", None),
    "no TOML": ("store", None),
}


@pytest.mark.parametrize(("toml", "url"), STORES.values(), ids=STORES)
def test_the_store_is_found(toml: str, url: str | None, tmp_path: Path) -> None:
    """What is not plain is for the settings themselves to say."""
    file = tmp_path / "relayd.toml"
    file.write_text(toml)
    assert find_store(str(file)) == url


def test_settings_that_cannot_be_read_name_no_store(tmp_path: Path) -> None:
    assert find_store(str(tmp_path / "absent.toml")) is None


def test_it_has_the_defaults_of_the_settings() -> None:
    assert config.default_path == DEFAULT_SETTINGS
    assert config.DEFAULTS["store.url"] == DEFAULT_STORE


def test_a_mistake_elsewhere_does_not_keep_anybody_from_asking(world: World) -> None:
    prepare(str(world.folder / "queue.db"))
    with world.settings.open("a") as file:
        file.write("[frob]\n")
    assert world.run("check").status == os.EX_CONFIG
    assert world.run("status").status == 0


def test_asking_imports_neither_models_nor_the_daemon(world: World) -> None:
    """They would cost several times what the question does."""
    prepare(str(world.folder / "queue.db"))
    code = (
        "import sys; from relayd.cli.command import run; assert run(sys.argv[1:]) == 0\n"
        "print([name for name in ('asyncio', 'ssl', 'pydantic', 'idna', 'relayd.policy')"
        " if name in sys.modules])"
    )
    arguments = ["-c", str(world.settings), "status", "--recipient", "a@b.test"]
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-1] == "[]"
