"""Settings that are kept: read once, and anew when one of their files has changed."""

from pathlib import Path

import pytest

from relayd.config.kept import KeptSettings
from relayd.errors import ConfigError

TEXT = """
fqdn = "relay.test"
[console]
may_change = ["fqdn"]
[store]
url = "sqlite:{folder}/queue.db"
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    file = tmp_path / "relayd.toml"
    file.write_text(TEXT.format(folder=tmp_path))
    return file


def test_they_are_read_once(file: Path) -> None:
    kept = KeptSettings(str(file))
    assert kept.read() is kept.read()


def test_a_change_of_the_file_counts_at_once(file: Path) -> None:
    kept = KeptSettings(str(file))
    for name in ("other.test", "third.test"):  # of the same length
        file.write_text(file.read_text().replace(kept.read().fqdn, name))
        assert kept.read().fqdn == name
    file.write_text("fqdn = 7")
    for _ in range(2):
        with pytest.raises(ConfigError, match="fqdn"):
            kept.read()
    file.unlink()
    with pytest.raises(ConfigError, match="cannot be read"):
        kept.read()


def test_so_does_what_was_set_on_the_console(file: Path) -> None:
    kept, overlay = KeptSettings(str(file)), file.with_name("console.toml")
    assert kept.read().fqdn == "relay.test"
    overlay.write_text('[fqdn]\nto = "new.test"\nover = "relay.test"\n')
    assert kept.read().fqdn == "new.test"
    overlay.unlink()
    assert kept.read().fqdn == "relay.test"
    with_overlay = KeptSettings(str(file))
    overlay.write_text('[fqdn]\nto = "new.test"\nover = "relay.test"\n')
    assert (with_overlay.read().fqdn, with_overlay.read().fqdn) == ("new.test", "new.test")
    assert with_overlay.read() is with_overlay.read()


def test_so_do_rules(file: Path) -> None:
    kept, folder = KeptSettings(str(file)), file.with_name("rules.d")
    assert kept.read().rules == ()
    folder.mkdir()
    (folder / "own.toml").write_text("[[rule")
    with pytest.raises(ConfigError):
        kept.read()
    (folder / "own.toml").unlink()
    assert kept.read().rules == ()
