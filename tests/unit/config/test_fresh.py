"""New settings: what the text says, and what is never written over."""

import os
import stat
import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as some

from relayd.config.fresh import Draft, judged, refuse_replacing, says_something, write_fresh
from relayd.config.load import load
from relayd.config.toml_text import toml_of
from relayd.errors import ConfigError
from relayd.shipped import shipped

TEXT = some.text(alphabet=some.characters(exclude_categories=["Cs"]), max_size=12)
SCALAR = TEXT | some.integers(-(2**60), 2**60) | some.booleans()
VALUE = SCALAR | some.lists(SCALAR, max_size=3) | some.dictionaries(TEXT, SCALAR, max_size=3)
TABLE = some.dictionaries(TEXT, VALUE, max_size=4)
DOCUMENT = some.fixed_dictionaries(
    {"fqdn": TEXT},
    optional={
        "smarthost": TABLE,
        "routes": TABLE,
        "smarthosts": some.dictionaries(TEXT, TABLE, max_size=3),
        "senders": some.dictionaries(TEXT, TABLE, max_size=3),
        "listen": some.lists(TABLE, min_size=1, max_size=3),
    },
)


@given(DOCUMENT)
def test_what_is_written_is_what_was_meant(values: dict[str, object]) -> None:
    text = toml_of(values, "one line\nand another")
    assert tomllib.loads(text) == values
    assert text.startswith("# one line\n# and another\n")


def a_draft(**values: object) -> Draft:
    smarthost = {"hosts": ["127.0.0.1:1"], "username": "app", "password_file": "secret"}
    return Draft(
        values={"fqdn": "relay.example.org", "smarthost": smarthost, **values},
        about="made by a test",
        secrets={"secret": "hidden"},
    )


def test_the_secret_is_used_before_it_is_written(tmp_path: Path) -> None:
    settings = judged(a_draft(), str(tmp_path / "relayd.toml"))
    assert settings.smarthost.login is not None
    assert settings.smarthost.login.secret == "hidden"
    assert "hidden" not in repr(a_draft())
    assert not [*tmp_path.iterdir()]


def test_a_mistake_is_found_before_anything_is_written(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"smarthost\.hosts|workers"):
        judged(a_draft(workers=1000), str(tmp_path / "relayd.toml"))


def test_files_are_there_for_us_and_the_group(tmp_path: Path) -> None:
    path = tmp_path / "etc" / "relayd.toml"
    files = write_fresh(a_draft(), str(path), group=os.getegid())
    assert [each.name for each in files] == ["secret", "relayd.toml"]
    assert {stat.S_IMODE(each.stat().st_mode) for each in files} == {0o640}
    alone = write_fresh(a_draft(), str(tmp_path / "own" / "relayd.toml"), group=None)
    assert {stat.S_IMODE(each.stat().st_mode) for each in alone} == {0o600}


def test_old_ones_are_all_kept(tmp_path: Path) -> None:
    path = tmp_path / "relayd.toml"
    for text in ("first", "second"):
        path.write_text(text)
        write_fresh(a_draft(), str(path), group=None)
    assert (tmp_path / "relayd.toml.old").read_text() == "first"
    assert (tmp_path / "relayd.toml.old.1").read_text() == "second"


def test_all_files_or_none(tmp_path: Path) -> None:
    """A disk may be full after the secret: then it is as if nobody had asked."""
    path, secret = tmp_path / "relayd.toml", tmp_path / "secret"
    in_the_way = tmp_path / ".relayd.toml.new"
    in_the_way.mkdir()  # as good as a full disk
    with pytest.raises(ConfigError):
        write_fresh(a_draft(), str(path), group=None)
    assert [*tmp_path.iterdir()] == [in_the_way]
    path.write_text("old settings")
    secret.write_text("old secret")
    with pytest.raises(ConfigError):
        write_fresh(a_draft(), str(path), group=None)
    assert {each.name for each in tmp_path.iterdir()} == {path.name, secret.name, in_the_way.name}
    assert (path.read_text(), secret.read_text()) == ("old settings", "old secret")
    in_the_way.rmdir()
    lost = {"hosts": ["a.test:25"], "certificate": "/nonexistent", "key_file": "/nonexistent"}
    with pytest.raises(ConfigError, match=r"smarthosts\.lost\.certificate"):
        write_fresh(a_draft(smarthosts={"lost": lost}), str(path), group=None)
    assert {each.name for each in tmp_path.iterdir()} == {path.name, secret.name}
    assert (path.read_text(), secret.read_text()) == ("old settings", "old secret")
    write_fresh(a_draft(), str(path), group=None)
    assert secret.read_text() == "hidden\n"


def test_who_comes_second_replaces_nothing(tmp_path: Path) -> None:
    """Two may ask at once: both saw no settings, and the lock lets one in after the other."""
    path = tmp_path / "relayd.toml"
    first, second = a_draft(), a_draft(fqdn="other.example.org")
    refuse_replacing(second, str(path))
    write_fresh(first, str(path), group=None, replaces=False)
    with pytest.raises(ConfigError, match="--force"):
        write_fresh(second, str(path), group=None, replaces=False)
    assert "relay.example.org" in path.read_text()
    assert len([*tmp_path.iterdir()]) == 2


def test_secrets_are_where_they_are_looked_for(tmp_path: Path) -> None:
    """Settings may be a link into another folder."""
    (tmp_path / "real").mkdir()
    (tmp_path / "etc").mkdir()
    path = tmp_path / "etc" / "relayd.toml"
    path.symlink_to("../real/relayd.toml")
    write_fresh(a_draft(), str(path), group=None)
    login = load(str(path)).smarthost.login
    assert login is not None
    assert login.secret == "hidden"
    assert path.is_symlink()


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (None, False),
        ("", False),
        ("# a comment\n[smarthost]\n[[listen]]\n", False),
        ("workers = 1\n", True),
        ("[routes]\n'a.test' = 'hold'\n", True),
        ("no TOML", True),
    ],
)
def test_comments_say_nothing(tmp_path: Path, text: str | None, *, says: bool) -> None:
    path = tmp_path / "relayd.toml"
    if text is not None:
        path.write_text(text)
    assert says_something(str(path)) == says
    if says:
        with pytest.raises(ConfigError, match="--force"):
            refuse_replacing(a_draft(), str(path))


def test_what_is_in_the_clone_is_found() -> None:
    assert "[Service]" in shipped("systemd/relayd.service")
