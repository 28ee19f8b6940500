"""The arguments of EHLO, MAIL and RCPT: what is read, and which reply refuses the rest."""

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relayd.mail.address import Address
from relayd.mail.parameters import MAIL_WITHOUT, RCPT_WITHOUT, MailParameters, mail_parameters
from relayd.mail.reply import Reply, SyntaxRefused
from relayd.receiver.commands import parse_hello, parse_mail, parse_rcpt

APP = Address("app", "x.test")


@pytest.mark.parametrize(
    ("argument", "name"),
    [
        (b"app.test", "app.test"),
        (b" app.test  ", "app.test"),
        ("büro-pc".encode(), "büro-pc"),
        (b"b\xfcro-pc", "büro-pc"),
        (b"My Computer", "My Computer"),
        (b"[fe80::1%eth0]", "[fe80::1%eth0]"),
        (b"a" * 255, "a" * 255),
        (b"\x80", "?"),
        ("a\u202eb\u2028\u200bc\u0085".encode(), "a?b??c?"),
        (b"", None),
        (b"  ", None),
        (b"a" * 256, None),
        ("ü".encode() * 128, None),
        (b"a\tb", None),
        (b"a\x7f", None),
        (b"a\0", None),
    ],
)
def test_any_printable_name_is_a_name(argument: bytes, name: str | None) -> None:
    assert parse_hello(argument) == name


@given(st.binary(max_size=300))
def test_a_name_is_printable_and_read_the_same_again(argument: bytes) -> None:
    name = parse_hello(argument)
    if name is not None:
        assert name
        assert name.isprintable()
        assert parse_hello(name.encode()) in (name, None)  # None: too long as UTF-8


@pytest.mark.parametrize(
    ("argument", "path", "parameters"),
    [
        pytest.param(b"FROM:<app@x.test>", APP, {}, id="plain"),
        pytest.param(b"from:<app@x.test>", APP, {}, id="keyword-in-any-case"),
        pytest.param(b"FROM: <app@x.test>", APP, {}, id="blank-behind-the-colon"),
        pytest.param(b"FROM:<app@x.test>  ", APP, {}, id="trailing-blanks"),
        pytest.param(b"FROM:<>", None, {}, id="null-path"),
        pytest.param(b"FROM:<> BODY=7BIT", None, {"BODY": "7BIT"}, id="null-path-with-parameter"),
        pytest.param(b"FROM:<app@x.test> SIZE=0", APP, {"SIZE": "0"}, id="size-0"),
        pytest.param(b"FROM:<app@x.test> SIZE=" + b"9" * 20, APP, {"SIZE": "9" * 20}, id="size-20"),
        pytest.param(
            b"FROM:<app@x.test> size=7 body=8bitmime smtputf8",
            APP,
            {"SIZE": "7", "BODY": "8bitmime", "SMTPUTF8": ""},
            id="names-in-any-case-values-kept",
        ),
        pytest.param(
            b"FROM:<app@x.test>   SIZE=7   BODY=8BITMIME",
            APP,
            {"SIZE": "7", "BODY": "8BITMIME"},
            id="several-blanks",
        ),
    ],
)
def test_mail_is_read(argument: bytes, path: Address | None, parameters: dict[str, str]) -> None:
    assert parse_mail(argument, extended=True) == (path, mail_parameters(parameters))


@pytest.mark.parametrize("value", [b"<>", b"app@x.test", b"e+3Dmc2@x.test", b"x" * 510])
def test_auth_is_read_and_left_out_where_it_is_offered(value: bytes) -> None:
    """RFC 4954 section 5."""
    argument = b"FROM:<app@x.test> SIZE=7 AUTH=" + value
    assert parse_mail(argument, extended=True, takes_auth=True) == (APP, MailParameters(size=7))


@pytest.mark.parametrize("value", [b"", b"=", b"=a+b"])
def test_a_bad_auth_is_refused(value: bytes) -> None:
    with pytest.raises(SyntaxRefused) as caught:
        parse_mail(b"FROM:<app@x.test> AUTH" + value, extended=True, takes_auth=True)
    assert (caught.value.reply.code, caught.value.reply.enhanced) == (501, "5.5.4")


@pytest.mark.parametrize(
    ("argument", "code", "enhanced"),
    [
        pytest.param(b"", 501, "5.1.7", id="nothing"),
        pytest.param(b"<app@x.test>", 501, "5.1.7", id="no-keyword"),
        pytest.param(b"TO:<app@x.test>", 501, "5.1.7", id="wrong-keyword"),
        pytest.param(b"FROM <app@x.test>", 501, "5.1.7", id="no-colon"),
        pytest.param(b"FROM :<app@x.test>", 501, "5.1.7", id="blank-before-the-colon"),
        pytest.param(b"FROM:app@x.test", 501, "5.1.7", id="no-brackets"),
        pytest.param(b"FROM:\t<app@x.test>", 501, "5.1.7", id="tab-behind-the-colon"),
        pytest.param(b"FROM:<app@x.test>SIZE=3", 501, "5.1.7", id="no-blank-before-a-parameter"),
        pytest.param(b"FROM:<app@x.test> SIZE", 501, "5.5.4", id="size-without-value"),
        pytest.param(b"FROM:<app@x.test> SIZE=", 501, "5.5.4", id="size-with-empty-value"),
        pytest.param(b"FROM:<app@x.test> SIZE=-1", 501, "5.5.4", id="negative-size"),
        pytest.param(b"FROM:<app@x.test> SIZE=9e9", 501, "5.5.4", id="size-no-number"),
        pytest.param(b"FROM:<app@x.test> SIZE=" + b"9" * 21, 501, "5.5.4", id="size-of-21-digits"),
        pytest.param(b"FROM:<app@x.test> SIZE=1 SIZE=2", 501, "5.5.4", id="twice"),
        pytest.param(b"FROM:<app@x.test> SIZE=1 size=2", 501, "5.5.4", id="twice-in-another-case"),
        pytest.param(b"FROM:<app@x.test> BODY=BINARYMIME", 501, "5.5.4", id="binarymime"),
        pytest.param(b"FROM:<app@x.test> BODY", 501, "5.5.4", id="body-without-value"),
        pytest.param(b"FROM:<app@x.test> SMTPUTF8=1", 501, "5.5.4", id="smtputf8-with-value"),
        pytest.param(b"FROM:<app@x.test> =1", 501, "5.5.4", id="no-name"),
        pytest.param(b"FROM:<app@x.test> -X=1", 501, "5.5.4", id="name-begins-with-hyphen"),
        pytest.param(b"FROM:<app@x.test> X=a=b", 501, "5.5.4", id="two-equal-signs"),
        pytest.param(b"FROM:<app@x.test> X_Y=1", 501, "5.5.4", id="underscore"),
        pytest.param("FROM:<app@x.test> X=ü".encode(), 555, "5.5.4", id="utf8-value"),
        pytest.param("FROM:<app@x.test> SIZE=٣".encode(), 501, "5.5.4", id="foreign-digit"),
        pytest.param(b"FROM:<app@x.test> XTRA=1", 555, "5.5.4", id="unknown"),
        pytest.param(b"FROM:<app@x.test> X-TRA", 555, "5.5.4", id="unknown-with-hyphen"),
        pytest.param(b"FROM:<app@x.test> AUTH=<>", 555, "5.5.4", id="auth-is-not-offered"),
    ],
)
def test_a_bad_mail_is_refused(argument: bytes, code: int, enhanced: str) -> None:
    """501 for what is malformed, 555 for what is not known (RFC 5321 section 4.1.1.11, S-56)."""
    with pytest.raises(SyntaxRefused) as caught:
        parse_mail(argument, extended=True)
    assert (caught.value.reply.code, caught.value.reply.enhanced) == (code, enhanced)


@pytest.mark.parametrize(
    ("argument", "path"),
    [
        pytest.param(b"TO:<app@x.test>", APP, id="plain"),
        pytest.param(b"to: <app@x.test> ", APP, id="case-and-blanks"),
        pytest.param(b"TO:<@a.test,@b.test:app@x.test>", APP, id="source-route"),
        pytest.param(b'TO:<"a b"@x.test>', Address('"a b"', "x.test"), id="quoted"),
        pytest.param(b"TO:<postmaster@x.test>", Address("postmaster", "x.test"), id="postmaster"),
    ],
)
def test_rcpt_is_read(argument: bytes, path: Address) -> None:
    assert parse_rcpt(argument, extended=True) == (path, RCPT_WITHOUT)


@pytest.mark.parametrize(
    ("argument", "code", "enhanced"),
    [
        pytest.param(b"", 501, "5.1.3", id="nothing"),
        pytest.param(b"TO:<>", 501, "5.1.3", id="null-path"),
        pytest.param(b"TO:", 501, "5.1.3", id="no-path"),
        pytest.param(b"TO:<a(c)@x.test>", 501, "5.1.3", id="comment"),
        pytest.param(b"TO:<a@b@c>", 501, "5.1.3", id="two-at-signs"),
        pytest.param(b"TO:<app@x.test> X-NOTIFY=NEVER", 555, "5.5.4", id="unknown-parameter"),
        pytest.param(b"TO:<app@x.test> RET=FULL", 555, "5.5.4", id="parameter-of-mail"),
        pytest.param(b"TO:<app@x.test> NOTIFY", 501, "5.5.4", id="notify-nothing"),
        pytest.param(b"TO:<app@x.test> NOTIFY=NEVER,DELAY", 501, "5.5.4", id="never-and-more"),
        pytest.param(b"TO:<app@x.test> NOTIFY=DELAY,DELAY", 501, "5.5.4", id="a-word-twice"),
        pytest.param(b"TO:<app@x.test> NOTIFY=ALWAYS", 501, "5.5.4", id="notify-unknown"),
        pytest.param(b"TO:<app@x.test> NOTIFY=DELAY,", 501, "5.5.4", id="notify-half"),
        pytest.param(b"TO:<app@x.test> NOTIFY=DELAY NOTIFY=DELAY", 501, "5.5.4", id="twice"),
        pytest.param(b"TO:<app@x.test> ORCPT=app@x.test", 501, "5.5.4", id="orcpt-without-type"),
        pytest.param(b"TO:<app@x.test> ORCPT=rfc822;", 501, "5.5.4", id="orcpt-empty"),
        pytest.param(b"TO:<app@x.test> ORCPT=rfc822;a+b", 501, "5.5.4", id="orcpt-no-xtext"),
        pytest.param(b"TO:<app@x.test> ORCPT=rfc822;a+2b", 501, "5.5.4", id="orcpt-lower-hex"),
        pytest.param(
            b"TO:<app@x.test> ORCPT=rfc822;" + b"a" * 494, 501, "5.5.4", id="orcpt-too-long"
        ),
        pytest.param(
            "TO:<app@x.test> ORCPT=utf-8;ü@x.test".encode(), 501, "5.5.4", id="needs-smtputf8"
        ),
        pytest.param(b"TO:<app@x.test> ORCPT=utf-8;\xff", 501, "5.5.4", id="orcpt-no-utf-8"),
        pytest.param(b"TO:<app@x.test> ==", 501, "5.5.4", id="malformed-parameter"),
    ],
)
def test_a_bad_rcpt_is_refused(argument: bytes, code: int, enhanced: str) -> None:
    with pytest.raises(SyntaxRefused) as caught:
        parse_rcpt(argument, extended=True)
    assert (caught.value.reply.code, caught.value.reply.enhanced) == (code, enhanced)


@pytest.mark.parametrize(
    ("words", "parameters"),
    [
        pytest.param("NOTIFY=NEVER", {"NOTIFY": "NEVER"}, id="never"),
        pytest.param(
            "notify=success,Failure,DELAY", {"NOTIFY": "success,Failure,DELAY"}, id="all-of-them"
        ),
        pytest.param("ORCPT=rfc822;Bob+2B1@X.test", {"ORCPT": "rfc822;Bob+2B1@X.test"}, id="xtext"),
        pytest.param("ORCPT=x-Fax;1", {"ORCPT": "x-Fax;1"}, id="another-type"),
        pytest.param(
            r"ORCPT=utf-8;\x{FC}@x.test NOTIFY=DELAY",
            {"ORCPT": r"utf-8;\x{FC}@x.test", "NOTIFY": "DELAY"},
            id="escaped-utf-8",
        ),
        pytest.param("ORCPT=utf-8;ü@x.test", {"ORCPT": "utf-8;ü@x.test"}, id="plain-utf-8"),
    ],
)
def test_dsn_parameters_of_rcpt_are_kept_to_the_letter(
    words: str, parameters: dict[str, str]
) -> None:
    """RFC 3461 section 4.1, 4.2; RFC 6533 section 3 (S-56)."""
    argument = f"TO:<app@x.test> {words}".encode()
    path, read = parse_rcpt(argument, extended=True, smtputf8=True)
    assert (path, read.words()) == (APP, parameters)


@pytest.mark.parametrize(
    ("words", "parameters"),
    [
        pytest.param("RET=hdrs", {"RET": "hdrs"}, id="ret"),
        pytest.param("ret=FULL ENVID=QQ+2BaZ", {"RET": "FULL", "ENVID": "QQ+2BaZ"}, id="both"),
        pytest.param(f"ENVID={'e' * 100}", {"ENVID": "e" * 100}, id="envid-longest"),
    ],
)
def test_dsn_parameters_of_mail_are_kept_to_the_letter(
    words: str, parameters: dict[str, str]
) -> None:
    """RFC 3461 section 4.3, 4.4 (S-56)."""
    path, read = parse_mail(f"FROM:<app@x.test> {words}".encode(), extended=True)
    assert (path, read.words()) == (APP, parameters)


@pytest.mark.parametrize("words", ["RET", "RET=BODY", "ENVID", "ENVID=a+b", "ENVID=" + "e" * 101])
def test_bad_dsn_parameters_of_mail_are_refused(words: str) -> None:
    with pytest.raises(SyntaxRefused) as caught:
        parse_mail(f"FROM:<app@x.test> {words}".encode(), extended=True)
    assert (caught.value.reply.code, caught.value.reply.enhanced) == (501, "5.5.4")


def test_after_helo_there_are_no_parameters() -> None:
    """They are part of the service extensions (RFC 5321 section 4.1.1.11)."""
    assert parse_mail(b"FROM:<app@x.test>", extended=False) == (APP, MAIL_WITHOUT)
    for parse, argument in ((parse_mail, b"FROM:<a@b> SIZE=1"), (parse_rcpt, b"TO:<a@b> X=1")):
        with pytest.raises(SyntaxRefused) as caught:
            parse(argument, extended=False)
        assert caught.value.reply.code == 555


@pytest.mark.parametrize("octet", [*range(0x20), *range(0x7F, 0xA0)])
def test_no_control_character_passes_for_a_blank(octet: int) -> None:
    """Only a blank parts the words of a command (A-24)."""
    odd = bytes([octet])
    for argument in (
        b"FROM:" + odd + b"<app@x.test>",
        b"FROM:<app@x.test>" + odd,
        b"FROM:<app@x.test>" + odd + b"SIZE=1",
        b"FROM:<app@x.test> " + odd + b"SIZE=1",
        b"FROM:<app@x.test> SIZE=1" + odd,
        b"FROM:<app@x.test> SIZE=1" + odd + b"BODY=7BIT",
    ):
        with pytest.raises(SyntaxRefused):
            parse_mail(argument, extended=True)


@given(argument=st.binary(max_size=60), extended=st.booleans())
def test_any_octets_are_read_or_refused(argument: bytes, *, extended: bool) -> None:
    """And the refusal repeats nothing of them (S-48)."""
    for parse, keyword in ((parse_mail, b"FROM:<a@b>"), (parse_rcpt, b"TO:<a@b>")):
        for tried in (argument, keyword + argument, keyword[:-5] + argument):
            reply = refusal_of(parse, tried, extended=extended)
            assert reply is None or reply.is_permanent
            assert f"{reply}".isascii()
            assert f"{reply}".isprintable()


def refusal_of(parse: Callable[..., object], argument: bytes, *, extended: bool) -> Reply | None:
    try:
        parse(argument, extended=extended)
    except SyntaxRefused as refused:
        return refused.reply
    return None


def test_requiretls_needs_tls() -> None:
    """RFC 8689 §3: it is offered under TLS only, and means nothing without."""
    assert parse_mail(b"FROM:<app@x.test> REQUIRETLS", extended=True, has_tls=True) == (
        APP,
        MailParameters(requiretls=True),
    )
    with pytest.raises(SyntaxRefused, match=r"555 5\.5\.4"):
        parse_mail(b"FROM:<app@x.test> REQUIRETLS", extended=True)
    with pytest.raises(SyntaxRefused, match=r"501 5\.5\.4"):
        parse_mail(b"FROM:<app@x.test> REQUIRETLS=yes", extended=True, has_tls=True)
