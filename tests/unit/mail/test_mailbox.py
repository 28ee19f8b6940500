"""Which addresses lead to one box, and which do not."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relayd.mail.mailbox import as_written, box_of, domain_of, writings_of

KIM = "kim@xn--bcher-kva.example"


@pytest.mark.parametrize(
    ("address", "box"),
    [
        pytest.param("kim@bücher.example", KIM, id="u-label"),
        pytest.param("KIM@BÜCHER.example", KIM, id="upper case"),
        pytest.param("Kim@XN--BCHER-KVA.example.", KIM, id="a-label with the root's dot"),
        pytest.param("kim+news@bücher.example", KIM, id="tag"),
        pytest.param("kim+a+b@bücher.example", KIM, id="two tags"),
        pytest.param('"kim"@bücher.example', KIM, id="quoted"),
        pytest.param('"k\\i\\m+x"@bücher.example', KIM, id="quoted pairs and a tag"),
        pytest.param("kim", "kim", id="no domain"),
        pytest.param("+kim@x.test", "+kim@x.test", id="nothing in front of the tag"),
        pytest.param('"a@b"@x.test', "a@b@x.test", id="an at sign in quotes"),
        pytest.param("kim@[192.0.2.1]", "kim@[192.0.2.1]", id="literal"),
        pytest.param("kim@[IPv6:2001:DB8::1]", "kim@[ipv6:2001:db8::1]", id="literal, any case"),
        pytest.param("j\u0065\u0301@x.test", "j\u00e9@x.test", id="normal form"),
        pytest.param("a.b@x.test", "a.b@x.test", id="dots count"),
        pytest.param("", "", id="nothing"),
        pytest.param('"@x.test', '"@x.test', id="one quotation mark"),
    ],
)
def test_the_box(address: str, box: str) -> None:
    assert box_of(address) == box


def test_the_domain() -> None:
    assert domain_of("kim@Bücher.example") == "xn--bcher-kva.example"
    assert domain_of('"a@b"@X.test') == "x.test"


@given(st.text())
def test_any_text_has_one(address: str) -> None:
    assert ("@" in box_of(address)) == ("@" in address)


@pytest.mark.parametrize(
    ("address", "writings"),
    [
        ("Kim+x@B\u00fccher.example", {KIM, "kim@b\u00fccher.example"}),
        ("kim@xn--bcher-kva.example", {KIM, "kim@b\u00fccher.example"}),
        ("kim@x.test", {"kim@x.test"}),
        ("kim@[192.0.2.1]", {"kim@[192.0.2.1]"}),
        ("kim@xn--a.example", {"kim@xn--a.example"}),
        ("kim", {"kim"}),
    ],
)
def test_what_a_box_may_be_written_as(address: str, writings: set[str]) -> None:
    assert writings_of(address) == writings


@pytest.mark.parametrize(
    ("address", "written"),
    [
        ("KIM+x@B\u00dcCHER.example.", "kim@b\u00fccher.example"),
        ("kim@Bu\u0308cher.example", "kim@b\u00fccher.example"),
        ("kim@XN--BCHER-KVA.example", KIM),
        ('"kim"', "kim"),
    ],
)
def test_as_it_is_written(address: str, written: str) -> None:
    assert as_written(address) == written
