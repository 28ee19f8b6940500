"""Which TLSA record a chain fits, with certificates that are real and ones that are none."""

import hashlib
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relayd.mail.tls_result import Proof, TlsProof
from relayd.mail.tlsa import Tlsa
from relayd.policy.doctor.der import DerError, public_key_of
from relayd.policy.tls.anchor import Anchor
from relayd.policy.tls.dane import match, strongest
from relayd.policy.tls.ladder import Level, Requirement, TlsEvent, TlsFailure
from tests.support.der import certificate, names, rsa, sequence, utc

HOST = "mx.a.test"
NOW = datetime(2026, 11, 29, tzinfo=UTC)
DATES = (utc(NOW), utc(NOW))
OWN = certificate(*DATES, extensions=(names(HOST),))
ISSUER = certificate(*DATES, extensions=(names("issuer.test"),))
ROOT = certificate(*DATES, version=False)
CHAIN = (OWN, ISSUER, ROOT)
KEY = rsa(1024)  # of all three
DIGESTS: dict[int, Callable[[bytes], bytes]] = {
    0: bytes,
    1: lambda data: hashlib.sha256(data).digest(),
    2: lambda data: hashlib.sha512(data).digest(),
}


def record(usage: int, selector: int, matching: int, of: bytes) -> Tlsa:
    return Tlsa(usage, selector, matching, DIGESTS[matching](of))


def found(
    *records: Tlsa, chain: Sequence[bytes] = CHAIN, proves: str | TlsFailure = HOST
) -> tuple[Proof | TlsFailure, list[Anchor]]:
    """What comes of it, and the anchors that were tried."""
    tried: list[Anchor] = []

    def check(shown: Sequence[bytes], anchor: Anchor, allowed: Sequence[str]) -> str | TlsFailure:
        assert (shown, allowed) == (chain, (HOST, "a.test"))
        tried.append(anchor)
        return proves

    asked = Requirement(level=Level.DANE, records=records, base=HOST, names=(HOST, "a.test"))
    return match(chain, asked, check), tried


@pytest.mark.parametrize("matching", DIGESTS)
@pytest.mark.parametrize(("selector", "of"), [(0, OWN), (1, KEY)], ids=["certificate", "key"])
def test_the_hosts_own_certificate(selector: int, of: bytes, matching: int) -> None:
    """Usage 3: nothing else has to be right."""
    own = record(3, selector, matching, of)
    proof = Proof(kind=TlsProof.DANE_EE, record=own, base=HOST)
    assert found(record(3, 0, matching, b"other"), own) == (proof, [])


@pytest.mark.parametrize("matching", DIGESTS)
def test_a_trust_anchor_in_the_chain(matching: int) -> None:
    anchor = record(2, 0, matching, ROOT)
    proof = Proof(kind=TlsProof.DANE_TA, name=HOST, record=anchor, base=HOST)
    assert found(anchor) == (proof, [Anchor(ROOT)])


@pytest.mark.parametrize(
    ("one", "tried"),
    [
        pytest.param(record(2, 0, 0, b"elsewhere"), [Anchor(b"elsewhere")], id="certificate"),
        pytest.param(record(2, 1, 0, b"key"), [Anchor(b"key", is_key=True)], id="key"),
        pytest.param(record(2, 0, 1, b"elsewhere"), [], id="digest"),
        pytest.param(record(2, 0, 1, OWN), [], id="the-hosts-own-is-no-anchor"),
        pytest.param(record(2, 1, 1, KEY), [Anchor(ISSUER), Anchor(ROOT)], id="key-of-several"),
        pytest.param(record(3, 0, 1, ISSUER), [], id="usage-3-is-for-its-own-alone"),
    ],
)
def test_which_anchors_are_tried(one: Tlsa, tried: list[Anchor]) -> None:
    """With all of it in the record an anchor need not be in the chain (RFC 7671 §5.2)."""
    no = TlsFailure(event=TlsEvent.EXPIRED, reason="dane-ta: expired")
    result, anchors = found(one, proves=no)
    assert anchors == tried
    assert isinstance(result, TlsFailure)
    assert (result is no) == bool(tried)


def test_few_anchors_are_tried() -> None:
    """Each costs signatures; who publishes hundreds gets no hundreds."""
    no = TlsFailure(event=TlsEvent.WRONG_NAME, reason="no")
    records = [record(2, 0, 0, b"%d" % number) for number in range(300)]
    assert len(found(*records, proves=no)[1]) == 10


def test_the_strongest_digest_counts() -> None:
    """RFC 7671 §9: a weaker one of the same usage and selector says nothing then."""
    weak, strong = record(3, 1, 1, KEY), record(3, 1, 2, b"other")
    whole, elsewhere = record(3, 1, 0, b"x"), record(3, 0, 1, b"y")
    assert strongest([weak, strong, whole, elsewhere, weak]) == (strong, whole, elsewhere)
    assert isinstance(found(weak, strong)[0], TlsFailure)
    assert strongest([weak, whole]) == (weak, whole)


def test_no_match_names_the_records() -> None:
    records = [record(3, 1, 1, b"%d" % number) for number in range(5)]
    result, _ = found(*records)
    assert isinstance(result, TlsFailure)
    assert result.event is TlsEvent.NO_MATCH
    assert result.reason.startswith(
        "dane-no-match: no certificate of the host fits TLSA 3 1 1 5feceb66ffc8…, "
    )
    assert result.reason.endswith(" and 2 more")


def test_a_host_without_a_certificate() -> None:
    result, tried = found(record(3, 1, 1, KEY), record(2, 1, 0, KEY), chain=())
    assert result == TlsFailure(
        event=TlsEvent.NO_MATCH, reason="dane-no-match: the host has shown no certificate"
    )
    assert not tried


@given(st.lists(st.binary(max_size=80), max_size=4), st.integers(0, 2))
def test_octets_that_are_no_certificate_fit_nothing(chain: list[bytes], matching: int) -> None:
    asked = Requirement(level=Level.DANE, records=(record(3, 1, matching, KEY),), base=HOST)
    assert isinstance(match(chain, asked, lambda *_: HOST), TlsFailure)


def test_the_key_of_a_certificate() -> None:
    assert [public_key_of(each) for each in CHAIN] == [KEY] * 3


@pytest.mark.parametrize(
    "octets",
    [b"", b"\x30\x00", sequence(sequence()), sequence(sequence(sequence())), OWN[:60], KEY],
)
def test_no_key_in_what_is_no_certificate(octets: bytes) -> None:
    with pytest.raises(DerError):
        public_key_of(octets)


@given(st.binary(max_size=200) | st.binary(max_size=60).map(lambda tail: b"\x30\x3c" + tail))
def test_any_octets_are_read_or_refused(octets: bytes) -> None:
    with suppress(DerError):
        assert public_key_of(octets)
