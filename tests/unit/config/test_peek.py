"""Where the store and the listeners are, without reading the settings in full."""

from pathlib import Path

import pytest

from relayd.config import units
from relayd.config.model import DEFAULTS
from relayd.config.peek import DEFAULT_LISTENER, DEFAULT_STORE, find_store, is_soft_bounce_on

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
    assert DEFAULTS["store.url"] == DEFAULT_STORE
    assert DEFAULTS["listen.address"] == units.listen_address(DEFAULT_LISTENER)


@pytest.mark.parametrize(
    ("text", "is_on"),
    [("soft_bounce = true", True), ("soft_bounce = false", False), ("", False), ("[", False)],
)
def test_whether_soft_bounce_is_on(tmp_path: Path, text: str, *, is_on: bool) -> None:
    file = tmp_path / "relayd.toml"
    file.write_text(text)
    assert is_soft_bounce_on(str(file)) is is_on
    assert not is_soft_bounce_on(str(tmp_path / "none"))
