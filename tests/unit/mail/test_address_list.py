"""Address lists: what is an address in them comes out to the letter, and nothing else does."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relayd.mail.address import PathError
from relayd.mail.address_list import parse_addresses
from tests.support.processor import took_by

READ = {
    "one": ("a@x.test", ["a@x.test"]),
    "several": ("a@x.test, b@y.test,c@z.test", ["a@x.test", "b@y.test", "c@z.test"]),
    "nothing": ("", []),
    "only commas": (", ,", []),
    "name": ("Ann Other <a@x.test>", ["a@x.test"]),
    "name with a comma": ('"Other, Ann" <a@x.test>', ["a@x.test"]),
    "name with an escaped quote": ('"Ann \\"A\\" <b@y.test>" <a@x.test>', ["a@x.test"]),
    "name that is an address": ("b@y.test <a@x.test>", ["a@x.test"]),
    "encoded name": ("=?utf-8?Q?Ann=2C_Other?= <a@x.test>", ["a@x.test"]),
    "name with a dot": ("Ann B. Other <a@x.test>", ["a@x.test"]),
    "comment behind": ("a@x.test (Ann, Other)", ["a@x.test"]),
    "comment in front": ("(Ann)a@x.test", ["a@x.test"]),
    "comments nest": ("a@x.test (b (c, d@e.test) \\) f), g@x.test", ["a@x.test", "g@x.test"]),
    "comment behind brackets": ("<a@x.test> (Ann)", ["a@x.test"]),
    "quote in a comment": ('a@x.test (5" disk)', ["a@x.test"]),
    "quoted local part": ('"a, b"@x.test, c@x.test', ['"a, b"@x.test', "c@x.test"]),
    "folded": ("a@x.test,\r\n\tAnn\r\n <b@y.test>", ["a@x.test", "b@y.test"]),
    "blanks in brackets": ("< a@x.test\r\n >", ["a@x.test"]),
    "group": ("Us: a@x.test, Ann <b@y.test>;, c@z.test", ["a@x.test", "b@y.test", "c@z.test"]),
    "empty group": ("undisclosed-recipients:;", []),
    "two groups": ("A: a@x.test; B: b@y.test;", ["a@x.test", "b@y.test"]),
    "source route": ("<@r.test,@s.test:a@x.test>", ["a@x.test"]),
    "literal": ("a@[IPv6:::1], b@[192.0.2.1]", ["a@[IPv6:::1]", "b@[192.0.2.1]"]),
    "utf-8": ("J\u00fcrgen <j\u00fcrgen@b\u00fccher.test>", ["j\u00fcrgen@b\u00fccher.test"]),
    "no domain": ("root, Ann <www-data>", ["root@", "www-data@"]),
    "leading hyphen": ("-f@x.test", ["-f@x.test"]),
}
UNREADABLE = {
    "a blank": "a b@x.test",
    "a comment inside": "a(c)b@x.test",
    "null path": "<>",
    "an open group": "a:b@x.org",
    "a semicolon": "a@x.test; b@y.test",
    "a group in a group": "a: b: c@x.test;;",
    "brackets and a group": "<a@x.test>: b@y.test;",
    "two in brackets": "<a@x.test> <b@y.test>",
    "words behind brackets": "<a@x.test> b",
    "open bracket": "<a@x.test",
    "brackets in brackets": "<<a@x.test>>",
    "parameters": "a@x.test> SIZE=1",
    "open comment": "(a (b) c",
    "open quote": '"a',
    "two at signs": "a@b@x.test",
    "line break in quotes": '"a\r\nDATA"@x.test',
    "control character": "a\x0b@x.test",
    "nul": "a\0@x.test",
    "no utf-8": "a\udcff@x.test",
    "no name": "@x.test",
    "escape sequence": "\x1b[31m@x.test",
    "long": "a" * 504 + "@x.test",
}


@pytest.mark.parametrize(("text", "addresses"), READ.values(), ids=READ)
def test_addresses_are_found_to_the_letter(text: str, addresses: list[str]) -> None:
    assert [str(address) for address in parse_addresses(text)] == addresses


@pytest.mark.parametrize("text", UNREADABLE.values(), ids=UNREADABLE)
def test_what_is_not_certainly_an_address_is_refused(text: str) -> None:
    """No part of it becomes a recipient (HC-04); the sentence names it and is safe to print."""
    with pytest.raises(PathError) as caught:
        parse_addresses(f"ok@x.test, {text}")
    assert "cannot read an address in " in str(caught.value)
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 500


@given(st.text(st.sampled_from('ab@.,:;<>()"\\[] \r\n\0\u00fc'), max_size=20))
def test_any_text_is_a_list_or_refused(text: str) -> None:
    """Each address stands in the text as it is, and could not be read as two."""
    try:
        found = parse_addresses(text)
    except PathError:
        return
    for address in found:
        assert str(address).removesuffix("@") in text
        assert not {"\r", "\n", "\0"} & set(str(address))


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("(" * 50_000, id="open-comments"),
        pytest.param("(" * 25_000 + ")" * 25_000, id="deep-comment"),
        pytest.param("<" * 50_000, id="brackets"),
        pytest.param('"\\' * 25_000, id="quotes"),
        pytest.param("a " * 25_000, id="words"),
        pytest.param("a@x.test," * 5_000, id="addresses"),
        pytest.param('""' * 25_000, id="empty-strings"),
    ],
)
def test_a_hostile_list_costs_linear_time(text: str) -> None:
    def parse() -> None:
        with suppress(PathError):
            parse_addresses(text)

    assert took_by(parse, 0.3) < 0.3
