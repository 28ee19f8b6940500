"""What pages are written with: words that are constants, and pieces of HTML in which nothing comes through."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from jinja2 import UndefinedError
from markupsafe import Markup

from relayd.console import marks
from relayd.console.escaping import escaped
from relayd.console.templating import templates_in
from relayd.policy.console.roles import Role

_AT = datetime(2026, 3, 1, 12, tzinfo=UTC)
_EVIL = "\"><script>'&\u202e"


def written(folder: Path, template: str, **values: object) -> str:
    (folder / "page.html").write_text(template)
    return templates_in(folder).get_template("page.html").render(**values)


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        ('{{ _("a & b") }}', "a &amp; b"),
        ('{{ _("of {what}").format(what=what) }}', "of &lt;i&gt;"),
        ('{% if _("x") == "x" %}same{% endif %}', "same"),
        ("{{ what }}", "&lt;i&gt;"),
    ],
)
def test_words_are_constants_and_all_is_escaped(
    tmp_path: Path, template: str, expected: str
) -> None:
    """A word needs no function when a page is written: there is none here."""
    assert written(tmp_path, template, what="<i>") == expected


def test_what_a_page_shows_is_escaped_fast(tmp_path: Path) -> None:
    """Jinja's own way is as safe, and takes several times as long: this says when it is taken again."""
    code = templates_in(tmp_path).compile("{{ what }}", "x", "x.html", raw=True)
    assert "environment.escaped(" in code
    assert " escape(" not in code


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("<&>\"'", "&lt;&amp;&gt;&quot;&#x27;"),
        (Markup("<b>&amp;</b>"), "<b>&amp;</b>"),
        (7, "7"),
        (None, "None"),
        (True, "True"),
        (1.5, "1.5"),
        (Role.ADMIN, "admin"),
        (["<"], "[&#39;&lt;&#39;]"),
    ],
)
def test_each_kind_of_value_is_escaped(tmp_path: Path, value: object, shown: str) -> None:
    assert escaped(value) == shown
    assert written(tmp_path, "{{ what }}", what=value) == shown


def test_what_a_page_did_not_give_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(UndefinedError):
        written(tmp_path, "{{ missing }}")
    with pytest.raises(AttributeError):
        written(tmp_path, "{{ given.missing }}", given="")


def test_pieces_escape_what_they_are_given() -> None:
    times = marks.Times(lambda: _AT)
    pieces = [marks.status(_EVIL), marks.address(_EVIL), marks.cell(1, _EVIL)]
    for each in pieces:
        assert "<script" not in each
        assert "'" not in each
    assert "&lt;U+202E&gt;" in marks.address(_EVIL)
    assert times.time(_AT - timedelta(minutes=5)) == (
        '<time datetime="2026-03-01T11:55:00Z" title="5 m ago">2026-03-01 11:55:00Z</time>'
    )
    assert times.since(_AT) == (
        '<time datetime="2026-03-01T12:00:00Z" title="2026-03-01 12:00:00Z">0 s ago</time>'
    )


def test_a_value_in_a_link_is_one_value() -> None:
    assert marks.quoted("mx:ä.test&x=1#?/@") == "mx:%C3%A4.test%26x%3D1%23%3F/@"
    buttons = marks.act_on('x&y="><script>', marks.field("token", _EVIL))
    assert 'value="?destination=x%26y%3D%22%3E%3Cscript%3E&amp;unfinished=1"' in buttons
    assert "<script" not in buttons


def test_a_piece_of_nothing_is_false() -> None:
    times = marks.Times(lambda: _AT)
    assert not any((marks.address(""), marks.address(None), times.time(None), times.since(None)))
