"""Where the store and the listeners are, without reading the settings in full."""

from pathlib import Path

import pytest

from relayd.answers.switches import NONE_ON, Switches
from relayd.config import units
from relayd.config.model import DEFAULTS
from relayd.config.peek import (
    CONTROL_SOCKET,
    DEFAULT_LISTENER,
    DEFAULT_STORE,
    STATUS_LOG,
    find_status_log,
    find_store,
    find_switches,
)

STORES = {
    "not written": ("fqdn = 1", DEFAULT_STORE),
    "the table alone": ("[store]", DEFAULT_STORE),
    "written": ('[store]\nurl = "sqlite:/a/queue.db"\nhistory = "1d"', "sqlite:/a/queue.db"),
    "not a path": ('[store]\nurl = "sqlite:queue.db"', None),
    "a host": ('[store]\nurl = "sqlite://a/queue.db"', None),
    "a folder": ('[store]\nurl = "sqlite:/a/"', None),
    "nothing": ('[store]\nurl = "sqlite:"', None),
    "not printable": ('[store]\nurl = "sqlite:/a\\u0007"', None),
    "a server": ('[store]\nurl = "postgresql://a/b"\nfolder = "/c"', "postgresql://a/b"),
    "a server with a password": (
        '[store]\nurl = "postgresql://a/b"\npassword_file = "/p"',
        "postgresql://a/b?password_file=/p",
    ),
    "a password in it": ('[store]\nurl = "postgresql://a:b@c/d"', None),
    "a file that is none": ('[store]\nurl = "postgresql://a/b"\npassword_file = 1', None),
    "no text": ("[store]\nurl = 1", None),
    "another key": ('[store]\nurll = "sqlite:/a/queue.db"', None),
    "a table of another name": ('[stor]\nurl = "sqlite:/a/queue.db"', None),
    "a server under another name": ('[[listen]]\n[database]\nurl = "postgres://a/b"', None),
    "no table above it": ('fqdn = "a.test"\nurl = "/a/queue.db"', None),
    "in a list": ('[retry]\nx = [["sqlite:/a/queue.db"]]', None),
    "in another table too": (
        '[store]\nurl = "sqlite:/a/q"\n[x]\nurl = "sqlite:/b/q"',
        "sqlite:/a/q",
    ),
    "no table": ("store = 1", None),
    "no TOML": ("store", None),
    "no TOML above": ('fqdn = a.test\n[store]\nurl = "sqlite:/a/q"', "sqlite:/a/q"),
    "no TOML below": ('[store]\nurl = "sqlite:/a/q"\n[retry]\ngive_up_after = 5d', "sqlite:/a/q"),
    "another table twice": ('[log]\n[store]\nurl = "sqlite:/a/q"\n[log]\n', "sqlite:/a/q"),
    "below the head of another table, which is there twice": (
        '[store]\n[log]\nurl = "sqlite:/a/q"\n[log]\nlevel = "info"',
        None,
    ),
    "listeners, and no TOML": (
        '[[listen]]\n[[listen]]\n[store]\nurl = "sqlite:/a/q"\n[retry]\nx = 1d',
        "sqlite:/a/q",
    ),
    "no TOML, and the default": ("fqdn = a.test\n[retry]\n# url of the store\n", DEFAULT_STORE),
    "no TOML in it": ('[store]\nurl = "sqlite:/a/q"\nhistory = 1d', None),
    "its head is no TOML": ('fqdn = "a.test"\n[store\nurl = "sqlite:/a/q"', None),
    "its head lacks a bracket": ('[log]\nstore]\nurl = "sqlite:/a/q"', None),
    "no TOML, under another name": ("[stoer]\nurl = /a/q", None),
    "no TOML elsewhere, under another name": ('fqdn = a\n[stoer]\nurl = "sqlite:/a/q"', None),
    "twice": ('[store]\nurl = "sqlite:/a/q"\n[store]\nurl = "sqlite:/b/q"', None),
    "twice, in two ways": ('store.url = "sqlite:/a/q"\n[store]\nhistory = "1d"', None),
    "in a text over lines that has no end": (
        'fqdn = """\n[store]\nurl = "sqlite:/a/q"',
        None,
    ),
}


@pytest.mark.parametrize(("toml", "url"), STORES.values(), ids=STORES)
def test_the_store_is_found(toml: str, url: str | None, tmp_path: Path) -> None:
    """What is not plain is for the settings themselves to say."""
    file = tmp_path / "relayd.toml"
    file.write_text(toml)
    assert find_store(str(file)) == url


def test_a_mistyped_variable_leaves_no_store(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was meant for the store that it names must not happen to that of the defaults."""
    file = tmp_path / "relayd.toml"
    file.write_text("")
    monkeypatch.setenv("RELAYD_STOR__URL", "sqlite:/a/queue.db")
    assert find_store(str(file)) is None


def test_settings_that_cannot_be_read_name_no_store(tmp_path: Path) -> None:
    assert find_store(str(tmp_path / "absent.toml")) is None


def test_it_has_the_defaults_of_the_settings() -> None:
    assert DEFAULTS["store.url"] == DEFAULT_STORE
    assert DEFAULTS["control.socket"] == CONTROL_SOCKET
    assert DEFAULTS["listen.address"] == units.listen_address(DEFAULT_LISTENER)


SWITCHED = {
    "": (NONE_ON, CONTROL_SOCKET),
    "soft_bounce = true": (Switches(soft_bounce=True), CONTROL_SOCKET),
    "soft_bounce = false": (NONE_ON, CONTROL_SOCKET),
    '[redirect]\nto = "qa@x.test"': (Switches(redirect="qa@x.test"), CONTROL_SOCKET),
    "redirect = 1\ncontrol = 2": (NONE_ON, CONTROL_SOCKET),
    '[redirect]\nto = 1\n[control]\nsocket = "/a/b"': (NONE_ON, "/a/b"),
    "[": (NONE_ON, CONTROL_SOCKET),
    'soft_bounce = true\n[control]\nsocket = "/a/b"\n[retry]\nx = 1d': (
        Switches(soft_bounce=True),
        "/a/b",
    ),
    "[control]\nsocket = /a/b": (NONE_ON, None),
    '[control]\n[log]\nsocket = "/a/b"\n[log]\nlevel = "info"': (NONE_ON, None),
}


@pytest.mark.parametrize(("text", "found"), SWITCHED.items())
def test_what_is_switched_on(tmp_path: Path, text: str, found: tuple[Switches, str]) -> None:
    file = tmp_path / "relayd.toml"
    file.write_text(text)
    assert find_switches(str(file)) == found
    assert find_switches(str(tmp_path / "none")) == (NONE_ON, None)


LOGS = {
    "fqdn = a.test": STATUS_LOG,
    'fqdn = a.test\n[status_log]\npath = "/a/log"': "/a/log",
    "[status_log]\npath = /a/log": None,
    'fqdn = a.test\n[status_log]\npath = "-"': "-",
}


@pytest.mark.parametrize(("text", "found"), LOGS.items())
def test_the_status_log_of_a_file_that_is_no_toml(
    tmp_path: Path, text: str, found: str | None
) -> None:
    file = tmp_path / "relayd.toml"
    file.write_text(text)
    assert find_status_log(str(file)) == found
