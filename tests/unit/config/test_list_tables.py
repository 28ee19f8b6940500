"""Keys of one table of a list: `dkim.0.selector`."""

import tomllib
from pathlib import Path

import pytest

from relayd.config.change import changing
from relayd.config.edit import with_value
from relayd.config.keys import parse_key
from relayd.errors import ConfigError

TABLES = """\
fqdn = "relay.mill.net"
# The first.
[[dkim]]
domain = "x.test"
selector = "a"  # since 2026
key_file = "a.pem"
"""


@pytest.mark.parametrize("name", ["dkim.0.selector", "dkim[0].selector"])
def test_the_name_of_one_key(name: str) -> None:
    assert parse_key(name) == ("dkim", 0, "selector")


def test_a_key_is_changed_where_it_is() -> None:
    changed = with_value(TABLES, ("dkim", 0, "selector"), "b")
    assert changed == TABLES.replace('"a"', '"b"', 1)


def test_a_new_table_comes_after_the_others() -> None:
    changed = with_value(TABLES, ("dkim", 1, "domain"), "y.test")
    assert changed == f'{TABLES}\n[[dkim]]\ndomain = "y.test"\n'
    assert tomllib.loads(with_value("", ("dkim", 0, "domain"), "x.test")) == {
        "dkim": [{"domain": "x.test"}]
    }


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "relayd.toml"
    path.write_text(f'{TABLES}[store]\nurl = "sqlite:{tmp_path}/queue.db"\n')
    return path


def test_what_changed_is_told_by_key(file: Path) -> None:
    edits = [(parse_key(f"dkim.{name}"), value) for name, value in NEW.items()]
    with changing(str(file), edits) as changed:
        assert [(each.name, each.old, each.new) for each in changed.keys] == [
            ("dkim.0.selector", '"a"', '"b"'),
            ("dkim.1.domain", None, '"y.test"'),
            ("dkim.1.selector", None, '"c"'),
            ("dkim.1.key_file", None, '"c.pem"'),
        ]


NEW = {
    "0.selector": "b",
    "1.domain": "y.test",
    "1.selector": "c",
    "1.key_file": "c.pem",
}


WRONG = {
    "beyond the next": ("dkim.2.domain", "expected dkim.0 to dkim.1, which would be a new one"),
    "no such key": ("dkim.0.selektor", 'did you mean "selector"?'),
    "half a table": ("dkim.1.domain", "is missing"),
    "no number": ("dkim.selector", "selector"),
}


@pytest.mark.parametrize(("name", "words"), WRONG.values(), ids=WRONG)
def test_a_wrong_key_is_refused(file: Path, name: str, words: str) -> None:
    before = file.read_text()
    with pytest.raises(ConfigError) as refused, changing(str(file), [(parse_key(name), "y.test")]):
        pytest.fail("it is no key")
    assert words in str(refused.value)
    assert file.read_text() == before
