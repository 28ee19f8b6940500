"""Names, records and dates of DKIM keys."""

from datetime import UTC, datetime, timedelta

import pytest

from relayd.policy.dkim_rotation import (
    RETIRED,
    KeyKind,
    NoSelector,
    Published,
    file_name,
    next_selector,
    record_of,
    selector_in,
    stays_until,
)

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


def test_selectors_go_through_the_alphabet() -> None:
    """By kind and year; one that is taken is passed over, whatever comes after it."""
    assert next_selector(KeyKind.RSA, 2026, []) == "r2026a"
    assert next_selector(KeyKind.ED25519, 2026, ["r2026a"]) == "e2026a"
    assert next_selector(KeyKind.RSA, 2026, ["r2026a", "r2026c", "r2025b"]) == "r2026b"


def test_a_year_has_26_selectors() -> None:
    taken: list[str] = []
    for _ in range(26):
        taken.append(next_selector(KeyKind.RSA, 2026, taken))
    assert taken[-1] == "r2026z"
    with pytest.raises(NoSelector, match="all 26 selectors of rsa and 2026 are taken"):
        next_selector(KeyKind.RSA, 2026, taken)


def test_a_short_record_is_one_string() -> None:
    key = Published("x.test", "e2026a", record_of(KeyKind.ED25519, "abc="))
    assert key.zone_lines == ('e2026a._domainkey.x.test. 3600 IN TXT "v=DKIM1; k=ed25519; p=abc="')


def test_a_long_record_is_cut_into_strings() -> None:
    """A string has 255 octets at most, RFC 1035 §3.3.14."""
    record = record_of(KeyKind.RSA, "A" * 392)
    first, second = Published("x.test", "r2026a", record).zone_lines.splitlines()
    assert first == f'r2026a._domainkey.x.test. 3600 IN TXT ( "{record[:255]}"'
    assert second == f'    "{record[255:]}" )'


FILES = {
    "a key": ("dkim-x.test-r2026a.pem", "pem", "r2026a"),
    "a selector with a hyphen": ("dkim-x.test-a-b.pem", "pem", "a-b"),
    "a note": ("dkim-x.test-r2026a.retired", RETIRED, "r2026a"),
    "not a note": ("dkim-x.test-r2026a.pem", RETIRED, None),
    "of another domain": ("dkim-y.x.test-r2026a.pem", "pem", None),
    "without a selector": ("dkim-x.test-.pem", "pem", None),
    "something else": ("relayd.toml", "pem", None),
}


@pytest.mark.parametrize(("name", "end", "selector"), FILES.values(), ids=FILES)
def test_the_name_of_a_file(name: str, end: str, selector: str | None) -> None:
    assert selector_in(name, "x.test", end) == selector
    if selector is not None:
        assert file_name("x.test", selector, end) == name


def test_a_record_stays_for_as_long_as_we_retry_and_two_days() -> None:
    assert stays_until(NOW, timedelta(days=5)) == NOW + timedelta(days=7)
