"""The parser of paths: what RFC 5321 and RFC 6531 allow, octet for octet, and nothing else."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from relayd.mail.address import (
    PATH_LIMIT,
    Address,
    PathError,
    parse_address,
    parse_path,
)
from tests.support.processor import took_by

LONG_DOMAIN = ".".join(["d" * 63] * 4)  # 255 octets
VERP = "bounce+" + "campaign-2026-11-" * 4 + "=first.last+list=customer.example"
SRS = f"SRS0=HHH=TT={LONG_DOMAIN}=user"

GOOD = [
    pytest.param("<user@example.com>", "user", "example.com", id="plain"),
    pytest.param("<a@b>", "a", "b", id="one-label"),
    pytest.param("<User.Name+tag@Example.COM>", "User.Name+tag", "Example.COM", id="case-kept"),
    pytest.param("<!#$%&'*+-/=?^_`{|}~@x.test>", "!#$%&'*+-/=?^_`{|}~", "x.test", id="atext"),
    pytest.param('<"a b"@x.test>', '"a b"', "x.test", id="quoted"),
    pytest.param('<""@x.test>', '""', "x.test", id="quoted-empty"),
    pytest.param(r'<"a\"b\\c"@x.test>', r'"a\"b\\c"', "x.test", id="quoted-pairs"),
    pytest.param('<"a@b>c"@x.test>', '"a@b>c"', "x.test", id="quoted-specials"),
    pytest.param('<"a"@x.test>', '"a"', "x.test", id="needless-quotes-kept"),
    pytest.param("<u%x.test@y.test>", "u%x.test", "y.test", id="percent-is-a-letter"),
    pytest.param("<x.test!u@y.test>", "x.test!u", "y.test", id="bang-is-a-letter"),
    pytest.param("<@a.test:u@x.test>", "u", "x.test", id="source-route"),
    pytest.param("<@a.test,@b.test:u@x.test>", "u", "x.test", id="source-route-of-two"),
    pytest.param("<u@[192.0.2.1]>", "u", "[192.0.2.1]", id="ipv4-literal"),
    pytest.param("<u@[IPv6:2001:db8::1]>", "u", "[IPv6:2001:db8::1]", id="ipv6-literal"),
    pytest.param("<u@[ipv6:::1]>", "u", "[ipv6:::1]", id="ipv6-tag-in-any-case"),
    pytest.param("<u@_dmarc.x.test>", "u", "_dmarc.x.test", id="underscore-label"),
    pytest.param("<u@1.2.3>", "u", "1.2.3", id="numeric-labels"),
    pytest.param("<u@a--b.test>", "u", "a--b.test", id="inner-hyphens"),
    pytest.param("<grüße@x.test>", "grüße", "x.test", id="utf8-local-part"),
    pytest.param("<u@exämple.test>", "u", "exämple.test", id="utf8-domain"),
    pytest.param('<"grüße an"@x.test>', '"grüße an"', "x.test", id="utf8-quoted"),
    pytest.param("<" + "l" * 64 + "@x.test>", "l" * 64, "x.test", id="local-part-of-64"),
    pytest.param("<" + "l" * 65 + "@x.test>", "l" * 65, "x.test", id="local-part-of-65"),
    pytest.param(f"<{VERP}@x.test>", VERP, "x.test", id="verp"),
    pytest.param(f"<{SRS}@x.test>", SRS, "x.test", id="srs"),
    pytest.param(f'<"{"a b" * 60}"@x.test>', f'"{"a b" * 60}"', "x.test", id="long-quoted"),
    pytest.param(f"<{'l' * 503}@x.test>", "l" * 503, "x.test", id="path-of-512"),
    pytest.param(f"<{'ü' * 251}l@x.test>", "ü" * 251 + "l", "x.test", id="path-of-512-in-utf8"),
    pytest.param(f"<{'l' * 254}@{LONG_DOMAIN}>", "l" * 254, LONG_DOMAIN, id="domain-of-255"),
    pytest.param(f"<u@{'漢' * 40}.test>", "u", "漢" * 40 + ".test", id="u-label-of-120-octets"),
    pytest.param(f"<u@{'d' * 63}.test>", "u", "d" * 63 + ".test", id="label-of-63"),
]

BAD = [
    pytest.param(b"", id="nothing"),
    pytest.param(b"user@example.com", id="no-brackets"),
    pytest.param(b"<user@example.com", id="no-closing-bracket"),
    pytest.param(b"user@example.com>", id="no-opening-bracket"),
    pytest.param(b"<user>", id="no-domain"),
    pytest.param(b"<@example.com>", id="no-local-part"),
    pytest.param(b"<user@>", id="empty-domain"),
    pytest.param(b"< >", id="blank"),
    pytest.param(b"< user@example.com>", id="leading-blank"),
    pytest.param(b"<user@example.com >", id="trailing-blank"),
    pytest.param(b"<us er@example.com>", id="blank-in-local-part"),
    pytest.param(b"<a@b@c>", id="two-at-signs"),
    pytest.param(b"<.a@x.test>", id="leading-dot"),
    pytest.param(b"<a.@x.test>", id="trailing-dot"),
    pytest.param(b"<a..b@x.test>", id="double-dot"),
    pytest.param(b"<a@x.test.>", id="domain-ends-in-dot"),
    pytest.param(b"<a@.x.test>", id="domain-starts-with-dot"),
    pytest.param(b"<a@x..test>", id="domain-double-dot"),
    pytest.param(b"<a@-x.test>", id="label-starts-with-hyphen"),
    pytest.param(b"<a@x-.test>", id="label-ends-with-hyphen"),
    pytest.param(b"<a@" + b"d" * 64 + b".test>", id="label-of-64"),
    pytest.param(b'<"a@x.test>', id="open-quote"),
    pytest.param(b'<"a"b@x.test>', id="quote-then-atom"),
    pytest.param(b'<a"b"@x.test>', id="atom-then-quote"),
    pytest.param(b'<"a".b@x.test>', id="obsolete-mix-of-quotes-and-dots"),
    pytest.param(b'<"a\\"@x.test>', id="quoted-pair-eats-the-quote"),
    pytest.param(b"<a\\@b@x.test>", id="backslash-outside-quotes"),
    pytest.param(b"<u@[192.0.2.1>", id="open-literal"),
    pytest.param(b"<u@192.0.2.1]>", id="unopened-literal"),
    pytest.param(b"<u@[192.0.2]>", id="short-literal"),
    pytest.param(b"<u@[300.0.2.1]>", id="literal-over-255"),
    pytest.param(b"<u@[IPv6:]>", id="empty-ipv6-literal"),
    pytest.param(b"<u@[2001:db8::1]>", id="ipv6-literal-without-tag"),
    pytest.param(b"<u@[IPv6:192.0.2.1]>", id="ipv4-literal-with-the-tag-of-ipv6"),
    pytest.param(b"<u@[IPv6:2001:db8::1%eth0]>", id="ipv6-literal-with-zone"),
    pytest.param(b"<@a.test,u@x.test>", id="route-without-colon"),
    pytest.param(b"<@a.test:@b.test:u@x.test>", id="two-routes"),
    pytest.param(b"<@:u@x.test>", id="empty-route"),
    # HD-01: what the library would take, change or smuggle
    pytest.param(b"<=?utf-8?q?foo=40evil.com=0d=0aRCPT?=@x.com", id="encoded-word-open"),
    pytest.param(b"<a(c)@b.test>", id="comment"),
    pytest.param(b"Foo <a@b.test>", id="display-name"),
    pytest.param(b"<a,b@c.test>", id="comma"),
    pytest.param(b"<a:b@c.test>", id="colon"),
    pytest.param(b"<a;b@c.test>", id="semicolon"),
    pytest.param(b"<<a@b.test>>", id="double-brackets"),
    pytest.param(b"<a@b.test>SIZE=3", id="parameter-without-blank"),
    pytest.param(b"<a@b.test>\tSIZE=3", id="parameter-behind-a-tab"),
    pytest.param(b"<>SIZE=3", id="null-path-parameter-without-blank"),
    # UTF-8 (RFC 6531 section 3.3, RFC 3629)
    pytest.param(b"<\xff@x.test>", id="not-utf8"),
    pytest.param(b"<\xc0\xaf@x.test>", id="overlong"),
    pytest.param(b"<\xed\xa0\x80@x.test>", id="surrogate"),
    pytest.param(b"<\xf4\x90\x80\x80@x.test>", id="beyond-unicode"),
    pytest.param(b"<a@x.\xc3>", id="cut-utf8"),
    pytest.param(b"<@\xff:a@x.test>", id="not-utf8-in-the-route"),
    pytest.param("<a\u0085b@x.test>".encode(), id="c1-next-line"),
    pytest.param("<a\u009bb@x.test>".encode(), id="c1-csi"),
    pytest.param("<a\u2028b@x.test>".encode(), id="line-separator"),
    pytest.param("<a\u2029b@x.test>".encode(), id="paragraph-separator"),
    pytest.param("<a\u202eb@x.test>".encode(), id="right-to-left-override"),
    pytest.param("<a\u2066b@x.test>".encode(), id="isolate"),
    pytest.param("<a\u200fb@x.test>".encode(), id="right-to-left-mark"),
    pytest.param("<a\u061cb@x.test>".encode(), id="arabic-letter-mark"),
    pytest.param("<a@x\u202e.test>".encode(), id="override-in-the-domain"),
    # sizes
    pytest.param(b"<" + b"l" * 504 + b"@x.test>", id="path-of-513"),
    pytest.param(f"<{'ü' * 252}@x.test>".encode(), id="path-of-513-in-utf8"),
    pytest.param(b"<u@" + b"d." * 127 + b"dd>", id="domain-of-256"),
    pytest.param(f"<u@{'漢' * 64}.test>".encode(), id="u-label-of-64"),
    pytest.param(b"<@" + b"r." * 252 + b"test:u@x.test>", id="route-too-long"),
]


@pytest.mark.parametrize(("path", "local", "domain"), GOOD)
def test_a_path_is_read_to_the_octet(path: str, local: str, domain: str) -> None:
    """Quoting and case are kept, a source route is left out (S-34, RFC 5321 section 4.1.2)."""
    assert parse_path(path.encode()) == (Address(local, domain), b"")


@pytest.mark.parametrize("path", BAD)
def test_what_is_not_a_path_is_refused(path: bytes) -> None:
    """Nothing is repaired or guessed (HD-01, A-12, A-24, A-30)."""
    with pytest.raises(PathError) as caught:
        parse_path(path)
    assert str(caught.value).isascii()
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("octet", [*range(0x20), 0x7F])
@pytest.mark.parametrize("path", [b"<a%b@x.test>", b'<"a%b"@x.test>', b"<a@x%b.test>"])
def test_no_control_character_passes(octet: int, path: bytes) -> None:
    """Not in an atom, not in quotes, not in a domain (A-24)."""
    with pytest.raises(PathError):
        parse_path(path.replace(b"%", bytes([octet])))


def test_an_encoded_word_stays_what_it_is() -> None:
    """It is no address in disguise: the letters are atext and are kept (HD-01)."""
    path = b"<=?utf-8?q?foo=40evil.com=0d=0aRCPT?=@x.com>"
    address, _ = parse_path(path)
    assert address == Address("=?utf-8?q?foo=40evil.com=0d=0aRCPT?=", "x.com")


@pytest.mark.parametrize(
    ("argument", "null", "parameters"),
    [
        pytest.param(b"<>", True, b"", id="null-path"),
        pytest.param(b"<> SIZE=3", True, b"SIZE=3", id="null-path-and-parameters"),
        pytest.param(b"<a@b> ", False, b"", id="trailing-blank"),
        pytest.param(b"<a@b> SIZE=3 BODY=7BIT", False, b"SIZE=3 BODY=7BIT", id="parameters"),
        pytest.param(b"<a@b>  X", False, b" X", id="second-blank-left-to-the-caller"),
    ],
)
def test_parameters_come_behind_one_blank(
    argument: bytes, parameters: bytes, *, null: bool
) -> None:
    address, rest = parse_path(argument)
    assert (address is None, rest) == (null, parameters)


@pytest.mark.parametrize(
    ("text", "is_ascii", "needs_smtputf8", "is_literal"),
    [
        pytest.param("u@x.test", True, False, False, id="ascii"),
        pytest.param("ü@x.test", False, True, False, id="local-part"),
        pytest.param("u@xü.test", False, False, False, id="domain-could-go-as-a-labels"),
        pytest.param("u@[192.0.2.1]", True, False, True, id="literal"),
    ],
)
def test_what_an_address_tells(
    text: str, *, is_ascii: bool, needs_smtputf8: bool, is_literal: bool
) -> None:
    address = parse_address(text)
    assert address.is_ascii is is_ascii
    assert address.needs_smtputf8 is needs_smtputf8
    assert address.is_literal is is_literal
    assert str(address) == text


@pytest.mark.parametrize(
    "text", ["", "u", "<u@x.test>", "u@x.test> SIZE=1", "u@x.test ", "\ud800@x.test", "a@b\n"]
)
def test_an_address_in_settings_follows_the_same_grammar(text: str) -> None:
    with pytest.raises(PathError):
        parse_address(text)


# --- properties -------------------------------------------------------------------------------

ATEXT = "abcXYZ019!#$%&'*+-/=?^_`{|}~üß漢"
_atoms = st.text(ATEXT, min_size=1, max_size=8)
_dotted = st.lists(_atoms, min_size=1, max_size=3).map(".".join)
_quoted_char = st.sampled_from([*"ab @<>.,:;()[]ü漢", r"\"", r"\\", r"\a"])
_quoted = st.lists(_quoted_char, max_size=10).map(lambda chars: '"' + "".join(chars) + '"')
_labels = st.from_regex(r"[a-zA-Z0-9_]([a-zA-Z0-9_-]{0,6}[a-zA-Z0-9_])?", fullmatch=True)
_domains = st.lists(_labels, min_size=1, max_size=4).map(".".join)
_literals = st.ip_addresses().map(lambda ip: f"[IPv6:{ip}]" if ip.version == 6 else f"[{ip}]")
addresses = st.builds(Address, _dotted | _quoted, _domains | _literals)


@given(addresses)
def test_what_is_written_reads_back_the_same(address: Address) -> None:
    assert parse_address(str(address)) == address


@given(
    st.binary(max_size=60)
    | st.lists(
        st.sampled_from(
            [
                b"<",
                b">",
                b"@",
                b".",
                b'"',
                b"\\",
                b":",
                b",",
                b"[",
                b"]",
                b"a",
                b" ",
                b"\xc3\xbc",
                b"\r",
            ]
        ),
        max_size=20,
    ).map(b"".join)
)
@example(b"<\xc2\x85@x>")
def test_any_octets_are_a_path_or_a_path_error(argument: bytes) -> None:
    """What is read can be found in the input, and is safe to put into a header line."""
    try:
        address, rest = parse_path(argument)
    except PathError:
        return
    if address is not None:
        text = str(address)
        assert f"{text}>".encode() in argument
        assert len(text.encode()) + 2 <= PATH_LIMIT
        assert not set(text) & {*map(chr, range(0x20)), *map(chr, range(0x7F, 0xA0))}
    assert argument.endswith(rest)


@pytest.mark.parametrize(
    "argument",
    [
        pytest.param(b"<" + b"a" * 100_000, id="atom"),
        pytest.param(b"<" + b"a." * 50_000, id="dots"),
        pytest.param(b'<"' + b"a" * 100_000, id="open-quote"),
        pytest.param(b'<"' + b"\\a" * 50_000, id="quoted-pairs"),
        pytest.param(b'<"' + b"\\" * 100_000, id="backslashes"),
        pytest.param(b"<u@" + b"a" * 100_000, id="label"),
        pytest.param(b"<u@" + b"a." * 50_000, id="labels"),
        pytest.param(b"<u@" + (b"a" * 63 + b".") * 1_560, id="long-labels"),
        pytest.param(b"<u@" + b"a-" * 50_000, id="hyphens"),
        pytest.param(b"<u@a" + b"-" * 100_000, id="nothing-but-hyphens"),
        pytest.param(b"<" + b"@a," * 33_000, id="route"),
        pytest.param(b"<" + b"@a.b," * 20_000 + b"@c:", id="route-and-nothing"),
        pytest.param(b"<" + b"@" * 100_000, id="at-signs"),
        pytest.param(b"<u@[IPv6:" + b":" * 100_000, id="literal"),
        pytest.param(b"<" * 100_000, id="brackets"),
        pytest.param("ü".encode() * 50_000, id="utf8"),
    ],
)
def test_a_hostile_path_costs_linear_time(argument: bytes) -> None:
    """100 KB in less than 50 ms (A-12)."""

    def parse() -> None:
        with pytest.raises(PathError):
            parse_path(argument)

    assert took_by(parse, 0.05) < 0.05


@pytest.mark.parametrize("text", ["bad", "@x.test", "a@", "a b@x.test", "<a@x.test>"])
def test_a_wrong_address_of_people_is_told_in_their_terms(text: str) -> None:
    with pytest.raises(PathError, match=r"expected local@domain"):
        parse_address(text)
