"""What a mail host has to show: every row of table A, in the code and on its page."""

import re
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from relayd.mail.tls_result import TlsPolicy, TlsResult, TlsResultType
from relayd.mail.tlsa import Tlsa
from relayd.mail.words import Category, Fault
from relayd.policy.tls.ladder import Level, Requirement, TlsMode, level_of
from relayd.policy.tls.require import (
    DomainTls,
    HostRefused,
    NoTlsa,
    OperatorTls,
    TlsaFound,
    TlsaState,
    TlsaUnknown,
    asks_sts,
    asks_tlsa,
    require,
)
from relayd.policy.tls.sts import StsMode, StsPolicy

PAGE = (Path(__file__).parents[4] / "docs/tls.md").read_text()
ROWS = {
    int(row[1]): [cell.strip() for cell in row[2].split("|")]
    for row in re.finditer(r"(?m)^\| (\d+) \| (.*) \|$", PAGE)
}
HOST = "mx.a.test"
GOOD, OTHER = Tlsa(3, 1, 1, b"x" * 32), Tlsa(2, 0, 1, b"y" * 32)
OF_NO_USE = Tlsa(1, 1, 1, b"x" * 32)

NONE: TlsaState = NoTlsa("there are none")
FAILED: TlsaState = TlsaUnknown("192.0.2.53 answers SERVFAIL")
USABLE: TlsaState = TlsaFound(base=HOST, records=(GOOD, OF_NO_USE, OTHER))
UNUSABLE: TlsaState = TlsaFound(base=HOST, records=(OF_NO_USE,))


def sts(mode: StsMode, *hosts: str) -> StsPolicy:
    return StsPolicy(mode=mode, hosts=hosts or (HOST,), max_age=timedelta(days=1), id="1")


LISTED, ELSEWHERE = sts(StsMode.ENFORCE), sts(StsMode.ENFORCE, "mx.b.test")
TESTING, TESTING_ELSEWHERE = sts(StsMode.TESTING), sts(StsMode.TESTING, "mx.b.test")
PLAIN = DomainTls(domain="a.test", floor=TlsMode.OPPORTUNISTIC)
SECURE = replace(PLAIN, mx_is_secure=True)


def by(entry: OperatorTls | None, floor: TlsMode = TlsMode.OPPORTUNISTIC) -> DomainTls:
    return replace(SECURE, operator=entry, floor=floor, sts=LISTED)


REFUSED = "refused"
CLEAR, OPPORTUNISTIC, ENCRYPTED, PKIX, DANE = Level
# row of the page, the row that counts, domain, records of the host, what comes of it
CASES: list[tuple[str, int, DomainTls, TlsaState, Level | str]] = [
    ("1-off", 1, by(OperatorTls.OFF), USABLE, CLEAR),
    ("1-opportunistic", 1, by(OperatorTls.OPPORTUNISTIC, TlsMode.VERIFY), FAILED, OPPORTUNISTIC),
    ("1-required", 1, by(OperatorTls.REQUIRED), USABLE, ENCRYPTED),
    ("1-verify", 1, by(OperatorTls.VERIFY), USABLE, PKIX),
    ("1-direct.tls-off", 1, by(None, TlsMode.OFF), USABLE, CLEAR),
    ("2", 2, by(OperatorTls.DANE), USABLE, DANE),
    ("2-though-direct.tls-off", 2, by(OperatorTls.DANE, TlsMode.OFF), USABLE, DANE),
    ("2-though-lifted", 2, replace(by(OperatorTls.DANE), is_lifted=True), USABLE, DANE),
    ("3-none", 3, by(OperatorTls.DANE), NONE, REFUSED),
    ("3-failed", 3, by(OperatorTls.DANE), FAILED, REFUSED),
    ("3-unusable", 3, by(OperatorTls.DANE), UNUSABLE, REFUSED),
    (
        "3-insecure-mx",
        3,
        replace(by(OperatorTls.DANE), mx_is_secure=False),
        USABLE,
        REFUSED,
    ),
    ("4", 4, replace(SECURE, is_lifted=True, sts=ELSEWHERE), USABLE, OPPORTUNISTIC),
    ("4-failed", 4, replace(SECURE, is_lifted=True), FAILED, OPPORTUNISTIC),
    (
        "4-not-below-direct.tls",
        4,
        replace(SECURE, is_lifted=True, floor=TlsMode.REQUIRED),
        USABLE,
        ENCRYPTED,
    ),
    ("5", 5, PLAIN, FAILED, REFUSED),
    ("5-enforced", 5, replace(SECURE, sts=LISTED), FAILED, REFUSED),
    ("6", 6, SECURE, USABLE, DANE),
    ("6-not-listed", 6, replace(SECURE, sts=ELSEWHERE), USABLE, DANE),
    ("7", 7, replace(PLAIN, sts=ELSEWHERE), USABLE, REFUSED),
    ("8-no-policy", 8, PLAIN, USABLE, DANE),
    ("8-listed", 8, replace(PLAIN, sts=LISTED), USABLE, DANE),
    ("8-testing", 8, replace(PLAIN, sts=TESTING_ELSEWHERE), USABLE, DANE),
    ("9", 9, SECURE, UNUSABLE, ENCRYPTED),
    ("9-verify", 9, replace(SECURE, floor=TlsMode.VERIFY), UNUSABLE, PKIX),
    ("9-testing", 9, replace(PLAIN, sts=TESTING_ELSEWHERE), UNUSABLE, ENCRYPTED),
    ("9-enforced", 9, replace(SECURE, sts=LISTED), UNUSABLE, PKIX),
    ("9-enforced-not-listed", 9, replace(SECURE, sts=ELSEWHERE), UNUSABLE, REFUSED),
    ("10-enforced", 11, replace(SECURE, sts=LISTED), NONE, PKIX),
    ("10-not-listed", 12, replace(SECURE, sts=ELSEWHERE), NONE, REFUSED),
    ("10-testing", 13, replace(SECURE, sts=TESTING), NONE, OPPORTUNISTIC),
    ("10-no-policy", 14, SECURE, NONE, OPPORTUNISTIC),
    ("11", 11, replace(PLAIN, sts=LISTED), NONE, PKIX),
    ("12", 12, replace(PLAIN, sts=ELSEWHERE), NONE, REFUSED),
    ("13-listed", 13, replace(PLAIN, sts=TESTING), NONE, OPPORTUNISTIC),
    ("13-not-listed", 13, replace(PLAIN, sts=TESTING_ELSEWHERE), NONE, OPPORTUNISTIC),
    (
        "13-not-below-direct.tls",
        13,
        replace(PLAIN, sts=TESTING, floor=TlsMode.VERIFY),
        NONE,
        PKIX,
    ),
    ("14", 14, PLAIN, NONE, OPPORTUNISTIC),
    ("14-mode-none", 14, replace(PLAIN, sts=sts(StsMode.NONE)), NONE, OPPORTUNISTIC),
    ("14-required", 14, replace(PLAIN, floor=TlsMode.REQUIRED), NONE, ENCRYPTED),
    ("14-implicit", 14, replace(PLAIN, floor=TlsMode.IMPLICIT), NONE, PKIX),
    ("15-enforced", 11, replace(PLAIN, sts=LISTED), NONE, PKIX),  # what is kept counts as fetched
    ("15-testing", 13, replace(PLAIN, sts=TESTING), NONE, OPPORTUNISTIC),
]


@pytest.mark.parametrize(
    ("row", "domain", "tlsa", "expected"),
    [case[1:] for case in CASES],
    ids=[case[0] for case in CASES],
)
def test_table_a(row: int, domain: DomainTls, tlsa: TlsaState, expected: Level | str) -> None:
    found = require(HOST, domain, tlsa)
    assert found.row == row
    if row == 9 and found.policy is TlsPolicy.MTA_STS:  # "as in 11 and 12 if enforced"
        row = 12 if isinstance(found, HostRefused) else 11
    assert found.policy == ROWS[row][4].strip("`")
    if isinstance(found, HostRefused):
        assert expected == REFUSED
        assert ROWS[row][3] == f"refused: `{found.result}`"
        assert found.told == TlsResult(
            policy=found.policy, result=found.result, reason=found.reason
        )
        assert HOST in found.reason
        assert found.breakdown.reason == found.reason
        assert (found.category is Category.DNS_FAILURE) == (row == 5)
    else:
        assert found.level is expected
        assert not ROWS[row][3].startswith("refused")
        assert ROWS[row][3].startswith("DANE") == (found.level is Level.DANE)
        assert bool(found.records) == (found.level is Level.DANE)


def test_every_row_of_the_page_has_a_case() -> None:
    assert {int(case[0].partition("-")[0]) for case in CASES} == set(ROWS) == set(range(1, 16))


@pytest.mark.parametrize("domain", [case[2] for case in CASES], ids=[case[0] for case in CASES])
def test_no_host_has_to_show_less_than_the_settings_say(domain: DomainTls) -> None:
    """Nor in clear text, unless the operator says so for the domain."""
    for tlsa in (NONE, FAILED, USABLE, UNUSABLE):
        found = require(HOST, domain, tlsa)
        if isinstance(found, Requirement) and domain.operator is None:
            assert found.level >= level_of(domain.floor)
            assert found.begins_with_tls == (domain.floor is TlsMode.IMPLICIT)


def test_what_dane_goes_by() -> None:
    """The usable records, and the names that a certificate under a trust anchor may prove."""
    found = require(HOST, SECURE, found_below("mx.b.test"))
    assert isinstance(found, Requirement)
    assert found.records == (GOOD, OTHER)
    assert found.base == "mx.b.test"
    assert found.names == ("mx.b.test", HOST, "a.test")
    expanded = require(HOST, replace(SECURE, alias_of="real.test"), USABLE)
    assert isinstance(expanded, Requirement)
    assert expanded.names == (HOST, "a.test", "real.test")


def test_behind_an_mx_answer_that_is_not_secure_only_the_host_is_proven() -> None:
    """RFC 7672 §3.2.2: whoever forged the answer may have a certificate for any domain of his own, and for this one's."""
    insecure = replace(SECURE, mx_is_secure=False, alias_of="real.test")
    found = require(HOST, insecure, found_below("mx.b.test"))
    assert isinstance(found, Requirement)
    assert (found.row, found.names) == (8, ("mx.b.test", HOST))


def found_below(base: str) -> TlsaFound:
    return TlsaFound(base=base, records=(GOOD, OF_NO_USE, OTHER))


def test_a_list_that_is_tried_out_is_told() -> None:
    found = require(HOST, replace(PLAIN, sts=TESTING_ELSEWHERE), NONE)
    assert isinstance(found, Requirement)
    assert found.note == "mx-not-listed: the MTA-STS policy of a.test does not list mx.a.test"


def test_whose_fault_a_failed_lookup_is() -> None:
    """That of this machine, when it was out of something."""
    ours = TlsaUnknown("no socket", Fault.LOCAL)
    for domain in (SECURE, by(OperatorTls.DANE)):
        found = require(HOST, domain, ours)
        assert isinstance(found, HostRefused)
        assert found.fault is Fault.LOCAL


@pytest.mark.parametrize(
    ("domain", "tlsa", "policy"),
    [
        pytest.param(PLAIN, True, True, id="nothing-said"),
        pytest.param(by(OperatorTls.DANE, TlsMode.OFF), True, False, id="dane"),
        pytest.param(by(OperatorTls.VERIFY), False, False, id="verify"),
        pytest.param(by(None, TlsMode.OFF), False, False, id="direct.tls-off"),
        pytest.param(replace(PLAIN, is_lifted=True), False, False, id="lifted"),
    ],
)
def test_what_is_asked(domain: DomainTls, *, tlsa: bool, policy: bool) -> None:
    assert (asks_tlsa(domain), asks_sts(domain)) == (tlsa, policy)


def test_the_words_are_those_of_reports() -> None:
    """RFC 8460 §4.3."""
    for row in ROWS.values():
        for word in re.findall("refused: `(.*)`", row[3]):
            assert TlsResultType(word)
