"""What large receivers want of a header."""

from collections.abc import Mapping
from types import MappingProxyType

import pytest

from relayd.policy.doctor.finding import Level
from relayd.policy.intake.bulk import flaws_of

GOOD = {
    "From": "App <news@example.org>",
    "Date": "Sun, 01 Mar 2026 12:00:00 +0000",
    "Message-ID": "<1@example.org>",
    "List-Unsubscribe": "<mailto:leave@example.org>,\r\n <https://example.org/leave?u=1>",
    "List-Unsubscribe-Post": "List-Unsubscribe=One-Click",
}
SIGNED = "v=1; a=rsa-sha256; d={}; s=s1;\r\n\th=From:{}; bh=x; b=y"
BOTH = "list-unsubscribe : List-Unsubscribe-Post"


def content(more: str = "", changed: Mapping[str, str | None] = MappingProxyType({})) -> bytes:
    fields = {**GOOD, **changed}
    lines = [f"{name}: {value}\r\n" for name, value in fields.items() if value is not None]
    return f"{''.join(lines)}{more}\r\nFrom: in the body\r\n".encode()


def found(octets: bytes, *signing: str) -> list[tuple[str, str, str]]:
    return [(each.field, each.level.value, each.reason) for each in flaws_of(octets, signing)]


@pytest.mark.parametrize("signing", ["example.org", "org"])
def test_nothing_is_wrong(signing: str) -> None:
    """Ours covers both fields of List-Unsubscribe; a key of a parent domain will do."""
    assert found(content(), signing) == []


@pytest.mark.parametrize("domain", ["example.org", "ORG"])
def test_a_signature_that_is_there_already(domain: str) -> None:
    assert found(content(f"DKIM-Signature: {SIGNED.format(domain, BOTH)}\r\n")) == []


AUTHORS = {
    "none": (None, "there is no From field"),
    "two fields": ("a@example.org\r\nfrom: b@example.org", "there are 2 From fields"),
    "two addresses": ("a@example.org, b@example.org", "it has 2 addresses"),
    "no address": ("", "it has 0 addresses"),
    "not readable": ("a@@b", "cannot read an address in 'a@@b': "),
    "no domain": ("app", "its domain is not a domain name"),
    "an address literal": ("a@[192.0.2.1]", "its domain is an address literal"),
}


@pytest.mark.parametrize(("value", "reason"), AUTHORS.values(), ids=AUTHORS)
def test_the_author(value: str | None, reason: str) -> None:
    """Receivers refuse what has not exactly one."""
    first, *others = found(content(changed={"From": value}), "example.org")
    assert first[:2] == ("From", "fail")
    assert first[2].startswith(reason)
    assert all("h=" in each[2] for each in others)  # no author, so nothing covers the others


UNSIGNED = {
    "nobody": "",
    "another domain": f"DKIM-Signature: {SIGNED.format('other.test', BOTH)}\r\n",
    "a name that ends alike": f"DKIM-Signature: {SIGNED.format('ample.org', BOTH)}\r\n",
    "broken": "DKIM-Signature: v=1; v=1\r\n",
    "without d=": "DKIM-Signature: v=1\r\n",
}


@pytest.mark.parametrize("signature", UNSIGNED.values(), ids=UNSIGNED)
def test_nobody_signs(signature: str) -> None:
    first, *others = flaws_of(content(signature), ["other.org", "mple.org"])
    assert (first.field, first.level) == ("From", Level.WARN)
    assert "nobody signs for example.org" in first.reason
    assert first.remedy == "Make a key with `relayd dkim keygen example.org`."
    assert [each.field for each in others] == ["List-Unsubscribe", "List-Unsubscribe-Post"]


FIELDS = {
    "no Date": ({"Date": None}, ("Date", "warn", "it is missing")),
    "two Dates": (
        {"Date": "a\r\ndate : b"},
        ("Date", "fail", "there are 2 of them, one is allowed"),
    ),
    "no Message-ID": ({"Message-ID": None}, ("Message-ID", "warn", "it is missing")),
    "no List-Unsubscribe": (
        {"List-Unsubscribe": None},
        ("List-Unsubscribe", "warn", "it is missing: mail to subscribers needs it"),
    ),
    "two": (
        {"List-Unsubscribe": "<https://a>\r\nList-Unsubscribe: <https://b>"},
        ("List-Unsubscribe", "warn", "there are 2 of them, one is allowed"),
    ),
    "no https": (
        {"List-Unsubscribe": "<http://a>, <mailto:b>"},
        ("List-Unsubscribe", "warn", "it has no https URI"),
    ),
    "no -Post": (
        {"List-Unsubscribe-Post": None},
        (
            "List-Unsubscribe-Post",
            "warn",
            "it is missing, so that one click does not unsubscribe",
        ),
    ),
    "another -Post": (
        {"List-Unsubscribe-Post": "yes"},
        (
            "List-Unsubscribe-Post",
            "warn",
            "it says something else than List-Unsubscribe=One-Click, once",
        ),
    ),
}


@pytest.mark.parametrize(("changed", "flaw"), FIELDS.values(), ids=FIELDS)
def test_a_field(changed: Mapping[str, str | None], flaw: tuple[str, str, str]) -> None:
    assert found(content(changed=changed), "example.org") == [flaw]


def test_the_signature_covers_one_of_both() -> None:
    """RFC 8058 §4 wants both."""
    signature = SIGNED.format("example.org", "List-Unsubscribe")
    assert found(content(f"DKIM-Signature: {signature}\r\n")) == [
        (
            "List-Unsubscribe-Post",
            "warn",
            "no signature of the author's domain covers it (h=)",
        )
    ]
