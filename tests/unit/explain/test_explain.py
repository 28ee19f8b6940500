"""Every code, event, status, setting and error is explained, and every error says by which word."""

import json
import os
import tomllib
from pathlib import Path

import pytest

from relayd.cli.command import _EXIT_STATUS, report
from relayd.config.load import load
from relayd.config.model import DEFAULTS, LISTS_OF_TABLES, TABLES_OF_TABLES
from relayd.errors import ConfigError, LeaseLost, Mistake, RelaydError
from relayd.explain import pages
from relayd.explain.lookup import explain, is_code, names
from relayd.explain.pages import PAGES, entries
from relayd.explain.pointer import of_error, of_mistake
from relayd.mail.words import Category, EventKind
from relayd.policy.doctor.finding import Check, Level
from relayd.ports import outward
from relayd.ports.view import Status
from tests.support.cli_world import World, make_world
from tests.support.wrong_settings import WRONG

ROOT = Path(__file__).parents[3]


@pytest.fixture
def world(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> World:
    return make_world(tmp_path, capsys.readouterr)


def kinds_of(word: str) -> set[str]:
    return {entry.kind for entry in explain(word)}


@pytest.mark.parametrize(
    "key", [*DEFAULTS, *(f"dkim.{key}" for key in LISTS_OF_TABLES["dkim"].model_fields)]
)
def test_every_setting_is_explained(key: str) -> None:
    found = next(entry for entry in explain(key) if entry.kind == "setting")
    assert found.name == key
    assert dict(found.columns).keys() & {"meaning and unit", "meaning"}


@pytest.mark.parametrize("table", TABLES_OF_TABLES)
def test_a_key_below_a_name_is_explained_too(table: str) -> None:
    for key in TABLES_OF_TABLES[table].model_fields:
        assert kinds_of(f'{table}."a.example".{key}') == {"setting"}


@pytest.mark.parametrize("kind", EventKind)
def test_every_event_is_explained(kind: EventKind) -> None:
    assert "event of the status log" in kinds_of(kind)


@pytest.mark.parametrize(("word", "kind"), [
    *((each, "status") for each in Status),
    *((each, "category of a bounce") for each in Category),
    *((each, "check of the doctor") for each in Check),
    *((each, "level of the doctor") for each in Level),
    *((str(status), "exit status") for status in {os.EX_OK, os.EX_SOFTWARE, *(each for _, each in _EXIT_STATUS)}),
    *((each, "word") for each in ("hard", "block", "soft")),
    ("destination_down", "event of the operational log"),
    ("judged", "event of a trace"),
    ("bounce_class", "field of an event"),
    ("relayd_workers", "metric"),
    ("key-used", "problem of the HTTP API"),
    ("451", "reply to a client"),
    ("4.3.1", "reply to a client"),
    ("530 5.7.0 Authentication required", "reply to a client"),
    ("smarthost", "setting"),
    ("listen[0].tls", "setting"),
    ("smarthost.hosts[0]", "setting"),
    ("[smarthost]", "setting"),
])  # fmt: skip
def test_every_word_is_explained(word: str, kind: str) -> None:
    assert kind in kinds_of(word)


def test_operational_events_are_the_rows_of_their_page() -> None:
    """A test compares the page with the code; here each row is found."""
    found = [entry for entry in entries() if entry.kind == "event of the operational log"]
    assert len(found) > 80
    assert all(len(entry.columns) >= 1 for entry in found)


def test_the_pages_have_sections_of_these_names() -> None:
    """Anchors are made as the site makes them: those that the pages use of each other are among ours."""
    anchors = {entry.page for entry in entries()}
    for used in (
        "docs/config.md#retry-when-to-try-again",
        "docs/errors.md#sender-and-recipient",
        "docs/commands.md#exit-status",
        "README.md#statuses",
    ):
        assert used in anchors


def test_a_wheel_has_the_pages() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())
    included = settings["tool"]["hatch"]["build"]["targets"]["wheel"]["force-include"]
    for page in PAGES:
        assert included[page] == f"relayd/from_clone/{page}"
    assert all((ROOT / file).is_file() for file in included)


@pytest.mark.parametrize("text", [text for _, _, text in WRONG.values()], ids=WRONG)
def test_a_mistake_in_the_settings_names_a_word(tmp_path: Path, text: str) -> None:
    path = tmp_path / "relayd.toml"
    path.write_text(text)
    with pytest.raises(ConfigError) as raised:
        load(str(path))
    for mistake in raised.value.mistakes:
        assert explain(of_mistake(mistake).split()[-1].rstrip(")"))


def kinds() -> set[type[RelaydError]]:
    found = {RelaydError}
    for _ in range(3):
        found |= {each for kind in found for each in kind.__subclasses__()}
    return {each for each in found if each.__module__ in (RelaydError.__module__, outward.__name__)}


@pytest.mark.parametrize("kind", sorted(kinds(), key=str))
def test_an_error_names_a_word(kind: type[RelaydError]) -> None:
    error = kind.__new__(kind)
    assert explain(of_error(error, os.EX_SOFTWARE).split()[-1].rstrip(")"))


def test_a_subclass_is_called_by_the_class_that_is_known() -> None:
    class Local(LeaseLost):
        pass

    assert of_error(Local("x"), 70) == " (relayd explain LeaseLost)"
    assert of_error(RelaydError("x"), 70) == " (relayd explain 70)"


def test_an_unknown_key_leads_to_the_page_about_mistakes() -> None:
    mistake = Mistake(file="f", key="smarthost.hots", value="", expected="unknown key")
    assert of_mistake(mistake) == " (relayd explain ConfigError)"


def test_errors_do_not_need_the_pages(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A relayd that was installed without them still says what is wrong."""

    def missing(_: str) -> str:
        raise RelaydError("gone")

    monkeypatch.setattr(pages, "shipped", missing)
    entries.cache_clear()
    mistake = Mistake(file="f", key="smarthost.tls", value="", expected="x")
    assert report(ConfigError((mistake,))) == os.EX_CONFIG
    assert capsys.readouterr().err == "f: smarthost.tls: x (relayd explain ConfigError)\n"
    monkeypatch.undo()
    entries.cache_clear()


def test_the_command_prints_what_the_page_says(world: World) -> None:
    ran = world.run("explain", "smarthost.tls")
    assert ran.status == 0
    assert ran.out.startswith("smarthost.tls  setting\n")
    assert "docs/config.md#smarthost-the-server-that-sends-our-mail-on" in ran.out
    assert "](" not in ran.out, "no links"


def test_json_has_an_object_for_each(world: World) -> None:
    rows = world.run("explain", "deferred", "--json").rows
    assert [row["kind"] for row in rows] == ["event of the status log", "status", "word"]
    assert {"name", "kind", "page"} <= rows[0].keys()
    assert json.dumps(rows)


@pytest.mark.parametrize(
    ("word", "says"),
    [
        ("smarthost.tsl", "did you mean smarthost.tls"),
        ("550 5.7.26", "relayd has no"),
        ("559", "relayd classify"),
        ("xyzzy", "relayd has no"),
    ],
)
def test_what_is_not_known_is_near_to_something(world: World, word: str, says: str) -> None:
    ran = world.run("explain", word)
    assert (ran.status, ran.pointers) == (os.EX_NOINPUT, ("66",))
    assert says in ran.err


def test_a_code_may_be_of_another_server(world: World) -> None:
    assert "relayd classify '550" in world.run("explain", "550").out
    assert not is_code("655")
    assert len(names()) > 500
