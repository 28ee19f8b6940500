"""One key is set in the text of the settings; all else stays as people wrote it."""

import tomllib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from relayd.config.edit import Uneditable, with_value, without
from relayd.config.keys import parse_key
from relayd.config.model import DEFAULTS, TABLES_OF_NAMES
from relayd.config.values import default_of

SHIPPED = (Path(__file__).parents[3] / "etc/relayd.toml").read_text()
KEYS = [name.replace("listen.", "listen.0.") for name in DEFAULTS if name not in TABLES_OF_NAMES]


def edited(text: str, name: str, value: object) -> str:
    return with_value(text, parse_key(name), value)


def added(old: str, new: str) -> tuple[str, str]:
    """The one line that is new, and the line in front of it."""
    before, after = old.splitlines(), new.splitlines()
    place = next(number for number, line in enumerate([*before, None]) if line != after[number])
    assert after[:place] + after[place + 1 :] == before
    return after[place], after[place - 1]


@pytest.mark.parametrize("name", KEYS)
def test_in_the_shipped_file_a_key_goes_behind_its_comment(name: str) -> None:
    """The line above says what the default is."""
    leaf = name.rpartition(".")[2]
    line, above = added(SHIPPED, edited(SHIPPED, name, "new"))
    assert line == f'{leaf} = "new"'
    assert above.startswith(f"# {leaf} = ")
    default = default_of(name)
    assert default is None or above.removeprefix(f"# {leaf} = ").startswith(default)


def test_all_keys_of_the_shipped_file_can_be_set_one_by_one() -> None:
    text = SHIPPED
    for name in KEYS:
        text = edited(text, name, "new")
    lines = [line for line in text.splitlines() if not line.endswith('= "new"')]
    assert lines == SHIPPED.splitlines()
    assert text.count('= "new"') == len(KEYS)


@pytest.mark.parametrize(
    ("text", "name", "value", "expected"),
    [
        pytest.param("", "fqdn", "x", 'fqdn = "x"\n', id="empty-file"),
        pytest.param("# mine", "fqdn", "x", 'fqdn = "x"\n# mine', id="a-comment-alone"),
        pytest.param("a = 1", "fqdn", "x", 'a = 1\nfqdn = "x"\n', id="no-newline-at-the-end"),
        pytest.param(
            "a = 1 # one\n\n# of b\n[b]\nc = 2\n",
            "fqdn",
            "x",
            'a = 1 # one\nfqdn = "x"\n\n# of b\n[b]\nc = 2\n',
            id="before-the-first-table",
        ),
        pytest.param("[b]\nc = 2\n", "fqdn", "x", 'fqdn = "x"\n[b]\nc = 2\n', id="tables-only"),
        pytest.param(
            "[log] # here\n# of tls\n[tls]\n",
            "log.level",
            "info",
            '[log] # here\nlevel = "info"\n# of tls\n[tls]\n',
            id="empty-table",
        ),
        pytest.param(
            "[log]", "log.level", "info", '[log]\nlevel = "info"\n', id="header-at-the-end"
        ),
        pytest.param(
            "a = 1", "log.level", "info", 'a = 1\n\n[log]\nlevel = "info"\n', id="no-such-table"
        ),
        pytest.param(
            "a = 1\n[smarthosts]\n",
            "senders.*.x.example.smarthost",
            "news",
            'a = 1\n[smarthosts]\n\n[senders."*.x.example"]\nsmarthost = "news"\n',
            id="no-such-table-of-a-name",
        ),
        pytest.param(
            "[smarthosts.news]\nhosts = ['h:25']\n[smarthosts.other]\n",
            "smarthosts.news.tls",
            "verify",
            "[smarthosts.news]\nhosts = ['h:25']\ntls = \"verify\"\n[smarthosts.other]\n",
            id="a-table-of-a-name",
        ),
        pytest.param(
            "fqdn = 'old'   # the name\n",
            "fqdn",
            "new",
            'fqdn = "new"   # the name\n',
            id="in-its-place-with-its-comment",
        ),
        pytest.param(
            "#fqdn = 'old'\n#  fqdn = 'older'\n",
            "fqdn",
            "new",
            "#fqdn = 'old'\nfqdn = \"new\"\n#  fqdn = 'older'\n",
            id="no-blank-in-the-comment",
        ),
        pytest.param(
            "#  fqdn = 'old'\nb = 1\n",
            "fqdn",
            "new",
            "#  fqdn = 'old'\nb = 1\nfqdn = \"new\"\n",
            id="an-example-is-no-place",
        ),
        pytest.param(
            "a = '''\n# fqdn = 'x'\n'''\n# fqdn = 'y'\n",
            "fqdn",
            "z",
            "a = '''\n# fqdn = 'x'\n'''\n# fqdn = 'y'\nfqdn = \"z\"\n",
            id="a-comment-inside-a-text-is-none",
        ),
        pytest.param(
            "[a]\n# level = 1\n[log]\n# level = 2\n",
            "log.level",
            "info",
            '[a]\n# level = 1\n[log]\n# level = 2\nlevel = "info"\n',
            id="the-comment-of-its-own-table",
        ),
        pytest.param(
            "# fqdn = 'x'\r\n[log]\r\n",
            "fqdn",
            "y",
            "# fqdn = 'x'\r\nfqdn = \"y\"\r\n[log]\r\n",
            id="crlf",
        ),
        pytest.param(
            "[routes]\n\n# next\n[log]\n",
            "routes.*.x.example",
            "hold",
            '[routes]\n"*.x.example" = "hold"\n\n# next\n[log]\n',
            id="a-first-route",
        ),
        pytest.param(
            "[routes]\n'*.x.example' = 'hold' # wait\n\"b.example\" = 'direct'\n",
            'routes."*.x.example"',
            "direct",
            "[routes]\n'*.x.example' = \"direct\" # wait\n\"b.example\" = 'direct'\n",
            id="a-route-changed",
        ),
        pytest.param(
            'hosts = [\n  "a:25", # first\n  # "x#y:25",\n  "b#c:25",\n] # all\n',
            "hosts",
            ["d:25"],
            '# first\n# "x#y:25",\nhosts = ["d:25"] # all\n',
            id="comments-inside-a-list",
        ),
        pytest.param(
            "hosts = [ # first\n]\n",
            "hosts",
            True,
            "# first\nhosts = true\n",
            id="a-list-becomes-a-flag",
        ),
        pytest.param(
            "log = { level = 'info' } # short\n",
            "log.format",
            "json",
            "log = { level = 'info', format = \"json\"} # short\n",
            id="inline-table",
        ),
        pytest.param(
            "log.level = 'info' # dotted\nworkers = 1\n",
            "log.level",
            "debug",
            'log.level = "debug" # dotted\nworkers = 1\n',
            id="dotted-key",
        ),
        pytest.param(
            "a = 1\n",
            "listen.0.tls",
            "off",
            'a = 1\n\n[[listen]]\ntls = "off"\n',
            id="a-first-listener",
        ),
        pytest.param(
            "a = 1\n",
            "listen.1.address",
            "unix:/s",
            'a = 1\n\n[[listen]]\n\n[[listen]]\naddress = "unix:/s"\n',
            id="a-second-listener-keeps-the-default-one",
        ),
        pytest.param(
            "[[listen]]\n# one\n[log]\nlevel = 'info'\n",
            "listen.1.address",
            "unix:/s",
            "[[listen]]\n# one\n[log]\nlevel = 'info'\n\n[[listen]]\naddress = \"unix:/s\"\n",
            id="one-more-listener",
        ),
        pytest.param(
            "[[listen]]\naddress = 'a' # one\n[[listen]]\naddress = 'b' # two\n",
            "listen.1.address",
            "c",
            "[[listen]]\naddress = 'a' # one\n[[listen]]\naddress = \"c\" # two\n",
            id="the-second-listener",
        ),
    ],
)
def test_where_the_line_goes(text: str, name: str, value: object, expected: str) -> None:
    assert edited(text, name, value) == expected


def test_what_cannot_be_edited_is_refused() -> None:
    """An inline list of listeners has no room for a [[listen]]."""
    with pytest.raises(Uneditable):
        edited("listen = []\n", "listen.1.address", "unix:/s")
    with pytest.raises(Uneditable):
        edited("log = 5\n", "log.level", "info")


VALUES = st.one_of(
    st.booleans(),
    st.integers(-(2**63), 2**63 - 1),
    st.text(st.characters(exclude_categories=["Cs"])),
    st.lists(st.text(st.characters(exclude_categories=["Cs"])), max_size=4),
)


@given(st.sampled_from(KEYS), VALUES, VALUES)
@settings(max_examples=25, deadline=None)
def test_a_second_change_is_made_in_the_place_of_the_first(
    name: str, first: object, second: object
) -> None:
    text = edited(edited(SHIPPED, name, first), name, second)
    data, key = tomllib.loads(text), parse_key(name)
    holder: object = data
    for part in key[:-1]:
        holder = holder[part]  # type: ignore[index]
    assert holder.pop(key[-1]) == second  # type: ignore[attr-defined]
    assert data == tomllib.loads(SHIPPED)
    comments = [line for line in text.splitlines() if line.startswith("#")]
    assert [line for line in SHIPPED.splitlines() if line.startswith("#")] == comments


def said(text: str) -> dict[str, object]:
    """A table without keys says nothing."""
    return {name: value for name, value in tomllib.loads(text).items() if value not in ({}, [{}])}


@given(st.sampled_from(KEYS), VALUES)
@settings(max_examples=25, deadline=None)
def test_what_was_set_can_be_taken_out_again(name: str, value: object) -> None:
    text = edited(SHIPPED, name, value)
    after = without(text, parse_key(name))
    assert said(after) == said(SHIPPED)
    comments = [line for line in after.splitlines() if line.startswith("#")]
    assert [line for line in SHIPPED.splitlines() if line.startswith("#")] == comments


@pytest.mark.parametrize(
    ("text", "name", "expected"),
    [
        pytest.param("a = 1\nfqdn = 'x'\nb = 2\n", "fqdn", "a = 1\nb = 2\n", id="a-line"),
        pytest.param("fqdn = 'x'", "fqdn", "", id="the-last-line-without-its-end"),
        pytest.param("fqdn = 'x' # why\n", "fqdn", "# why\n", id="its-comment-stays"),
        pytest.param("fqdn = 'a # b'\n", "fqdn", "", id="what-only-looks-like-a-comment"),
        pytest.param("a = 1\r\nfqdn = 'x'\r\n", "fqdn", "a = 1\r\n", id="crlf"),
        pytest.param(
            "[dns]\nnameservers = [\n  '1.1.1.1', # one\n  '2.2.2.2'\n] # two\n",
            "dns.nameservers",
            "[dns]\n# one\n# two\n",
            id="a-list-of-lines",
        ),
        pytest.param("log.level = 'info'\nw = 1\n", "log.level", "w = 1\n", id="a-dotted-key"),
        pytest.param(
            "log = { level = 'info', format = 'json' } # x\n",
            "log.level",
            "log = {  format = 'json' } # x\n",
            id="in-an-inline-table",
        ),
        pytest.param(
            "[routes]\n'*.a.example' = 'hold'\n\"b.example\" = \"direct\"\n",
            "routes.*.a.example",
            '[routes]\n"b.example" = "direct"\n',
            id="a-route",
        ),
        pytest.param("fqdn = 'x'\n", "log.level", "fqdn = 'x'\n", id="not-there"),
        pytest.param(
            "[[listen]]\naddress = 'a'\n[[listen]] # b\n# of b\naddress = 'b'\n[log]\nlevel = 'info'\n",
            "listen.1",
            "[[listen]]\naddress = 'a'\n[log]\nlevel = 'info'\n",
            id="a-listener-with-its-comments",
        ),
        pytest.param("[[listen]]\naddress = 'a'\n", "listen.0", "", id="the-only-listener"),
    ],
)
def test_what_is_left(text: str, name: str, expected: str) -> None:
    assert without(text, parse_key(name)) == expected
