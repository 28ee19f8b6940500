"""Accounts, and the lines of the users file."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relayd.mail.account import (
    Account,
    AccountError,
    parse_accounts,
    parse_name,
    parse_sender,
    with_account,
    without_account,
)
from relayd.mail.address import parse_address

HASH = "$argon2id$v=19$m=19456,t=2,p=1$c2FsdHNhbHRzYWx0c2FsdA$" + "A" * 43
APP = Account(name="app", hash=HASH, senders=("a@x.test", "@Y.test"))
OTHER = Account(name="other@x.test", hash=HASH)


def test_a_file_is_read_as_it_was_written() -> None:
    text = with_account(with_account("# ours\n\n", APP), OTHER)
    assert text == f"# ours\n\napp {HASH} a@x.test @Y.test\nother@x.test {HASH}\n"
    assert parse_accounts(text) == {"app": APP, "other@x.test": OTHER}
    assert parse_accounts("") == {}


def test_one_line_is_changed_or_taken_out_and_the_rest_stays() -> None:
    text = f"# app {HASH}\napp {HASH} a@x.test\napple {HASH}"
    assert with_account(text, Account(name="app", hash=HASH)) == (
        f"# app {HASH}\napp {HASH}\napple {HASH}\n"
    )
    assert without_account(text, "app") == f"# app {HASH}\napple {HASH}\n"
    assert without_account(text, "#") == f"app {HASH} a@x.test\napple {HASH}\n"


@pytest.mark.parametrize(
    ("line", "words"),
    [
        pytest.param("app", "NAME HASH", id="no-hash"),
        pytest.param("app hunter2", "argon2id", id="a-password"),
        pytest.param(f"app {HASH.replace('2id', '2i')}", "argon2id", id="another-kind"),
        pytest.param(f"app {HASH}".replace("t=2", "t=2\u0664"), "argon2id", id="other-digits"),
        pytest.param(f"app {HASH.replace('m=19456', 'm=999999')}", "too much", id="memory"),
        pytest.param(f"app {HASH.replace('t=2', 't=65')}", "too much", id="rounds"),
        pytest.param(f"app {HASH.replace('p=1', 'p=17')}", "too much", id="threads"),
        pytest.param(
            f"app {HASH.replace('m=19456', 'm=8')}".replace("p=1", "p=2"), "be checked", id="lanes"
        ),
        pytest.param(f"app {HASH}AA", "be checked", id="length"),
        pytest.param(f"app {HASH[:-1]}B", "be checked", id="bits-behind-the-end"),
        pytest.param(f"app {HASH} nobody", "user@example.org", id="no-sender"),
        pytest.param(f"äpp {HASH}", "ASCII", id="no-name"),
        pytest.param(f"first {HASH}", "already", id="twice"),
    ],
)
def test_a_bad_line_is_named_and_not_shown(line: str, words: str) -> None:
    with pytest.raises(AccountError, match=words) as caught:
        parse_accounts(f"first {HASH}\n{line}\n")
    assert str(caught.value).startswith("line 2: ")
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("name", ["", "a b", "#app", "a\tb", "a\n", "\x7f", "ä", "a" * 256])
def test_what_is_no_name(name: str) -> None:
    with pytest.raises(AccountError):
        parse_name(name)


@pytest.mark.parametrize("name", ["app", "app@x.test", "a" * 255])
def test_what_is_a_name(name: str) -> None:
    assert parse_name(name) == name


def test_all_of_a_domain_may_be_written_with_an_asterisk() -> None:
    assert parse_sender("*@x.test") == parse_sender("@x.test") == "@x.test"


@pytest.mark.parametrize(
    "text", ["*@", "*.x.test", "", "@", "x.test", "a@", "@x test", '"a b"@x.test', "a@x.test,"]
)
def test_what_is_no_sender(text: str) -> None:
    with pytest.raises(AccountError):
        parse_sender(text)


@pytest.mark.parametrize(
    ("path", "may"),
    [
        ("a@x.test", True),
        ("A@X.TEST", True),
        ("b@x.test", False),
        ("anybody@y.test", True),
        ("anybody@sub.y.test", False),
        ("a@x.test.z.test", False),
        ('"a"@x.test', False),
        (None, True),
    ],
)
def test_an_account_sends_as_its_senders(path: str | None, *, may: bool) -> None:
    address = None if path is None else parse_address(path)
    assert APP.may_send_as(address) is may
    assert OTHER.may_send_as(address)


def test_a_hash_is_not_shown() -> None:
    assert HASH not in repr(APP)


@given(st.text())
def test_any_text_is_a_file_or_refused(text: str) -> None:
    with suppress(AccountError):
        parse_accounts(text)
