"""Domain names as the DNS knows them, and what is none."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relayd.mail.dns import DomainError, a_labels


@pytest.mark.parametrize(
    ("domain", "name"),
    [
        pytest.param("a.test", "a.test", id="plain"),
        pytest.param("A.Test", "a.test", id="any-case"),
        pytest.param("a.test.", "a.test", id="final-dot"),
        pytest.param("test", "test", id="one-label"),
        pytest.param("bücher.test", "xn--bcher-kva.test", id="u-label"),
        pytest.param("BÜCHER.TEST", "xn--bcher-kva.test", id="u-label-in-capitals"),
        pytest.param("faß.test", "xn--fa-hia.test", id="idna-2008-keeps-sharp-s"),
        pytest.param("例え。テスト", "xn--r8jz45g.xn--zckzah", id="ideographic-full-stop"),
        pytest.param("XN--BCHER-KVA.test", "xn--bcher-kva.test", id="a-label"),
        pytest.param("_dmarc.a_b.test", "_dmarc.a_b.test", id="underscore"),
        pytest.param("3com.test", "3com.test", id="digit-first"),
        pytest.param("1.2.3.4.test", "1.2.3.4.test", id="digits-below"),
        pytest.param("a" * 63 + ".test", "a" * 63 + ".test", id="longest-label"),
        pytest.param(".".join(["a" * 60] * 4) + ".testtest", None, id="longest-name"),
    ],
)
def test_a_name_is_given_in_a_labels(domain: str, name: str | None) -> None:
    assert a_labels(domain) == (domain if name is None else name)


@pytest.mark.parametrize(
    ("domain", "why"),
    [
        pytest.param("", "not a domain name", id="empty"),
        pytest.param(".", "not a domain name", id="root"),
        pytest.param("a..test", "not a domain name", id="empty-label"),
        pytest.param(".a.test", "not a domain name", id="leading-dot"),
        pytest.param("a.test..", "not a domain name", id="two-final-dots"),
        pytest.param("@", "not a domain name", id="at"),
        pytest.param("u@a.test", "not a domain name", id="address"),
        pytest.param("a b.test", "not a domain name", id="blank"),
        pytest.param(" a.test", "not a domain name", id="leading-blank"),
        pytest.param("a.test\r\n", "not a domain name", id="line-end"),
        pytest.param("a.test\n", "not a domain name", id="lf-only"),
        pytest.param("a\x00.test", "not a domain name", id="nul"),
        pytest.param("a\\.test", "not a domain name", id="escape"),
        pytest.param("*.test", "not a domain name", id="wildcard"),
        pytest.param("-a.test", "not a domain name", id="leading-hyphen"),
        pytest.param("a-.test", "not a domain name", id="trailing-hyphen"),
        pytest.param("a" * 64 + ".test", "not a domain name", id="long-label"),
        pytest.param("a." * 127 + "a", "more than 253", id="long-name"),
        pytest.param("ü" * 10_000, "more than 253", id="very-long-u-label"),
        pytest.param("ü" * 70 + ".test", "internationalised", id="long-u-label"),
        pytest.param("[192.0.2.1]", "address literal", id="literal"),
        pytest.param("[IPv6:2001:db8::1]", "address literal", id="literal-6"),
        pytest.param("192.0.2.1", "number", id="ipv4"),
        pytest.param("192.0.2.1.", "number", id="ipv4-final-dot"),
        pytest.param("3221225985", "number", id="ipv4-as-one-number"),
        pytest.param("１９２.０.２.１", "number", id="ipv4-full-width"),  # noqa: RUF001
        pytest.param("2001:db8::1", "not a domain name", id="ipv6"),
        pytest.param("a\u202e.test", "internationalised", id="direction-override"),
        pytest.param("\ud800.test", "internationalised", id="surrogate"),
        pytest.param("☕.test", "internationalised", id="not-in-idna-2008"),
        pytest.param("ü／.test", "not", id="slash-after-mapping"),  # noqa: RUF001
    ],
)
def test_what_no_mail_domain_can_be_is_refused(domain: str, why: str) -> None:
    """HN-04: none of these may reach the DNS; the words quote nothing of them."""
    with pytest.raises(DomainError, match=why) as refused:
        a_labels(domain)
    assert str(refused.value).isascii()
    assert str(refused.value).isprintable()


@given(st.text(max_size=300))
def test_any_text_gives_a_name_or_the_one_error(text: str) -> None:
    try:
        name = a_labels(text)
    except DomainError:
        return
    assert name.isascii()
    assert len(name) <= 253
    assert a_labels(name) == name
    assert all(0 < len(label) <= 63 for label in name.split("."))
