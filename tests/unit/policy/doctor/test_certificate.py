"""The certificate of listeners: what is read from it, and what it is worth."""

import ssl
from datetime import UTC, datetime, timedelta

import pytest
import trustme

from relayd.policy.doctor.certificate import PairFacts, judge_certificate, judge_no_certificate
from relayd.policy.doctor.der import CertificateFacts, DerError, names_of, read_certificate
from relayd.policy.doctor.finding import Level
from tests.support.der import certificate, names, sequence, tlv, utc

NOW = datetime(2026, 11, 26, 12, tzinfo=UTC)
DAY = timedelta(days=1)
FQDN = "Relay.mill.net"


def facts(*listed: str, since: timedelta = -DAY, left: timedelta = 60 * DAY) -> PairFacts:
    found = CertificateFacts(names=listed, not_before=NOW + since, not_after=NOW + left)
    return PairFacts(path="/etc/relayd/relay.pem", certificate=found)


SITUATIONS = {
    "fine": (facts("relay.mill.net"), Level.OK, "valid until 2027-01-25"),
    "a wildcard": (facts("mill.net", "*.mill.net"), Level.OK, "names Relay.mill.net"),
    "a wildcard elsewhere": (facts("*.net"), Level.WARN, "it is for *.net, not for"),
    "another name": (facts("mx.mill.net"), Level.WARN, "it is for mx.mill.net, not for"),
    "no name": (facts(), Level.WARN, "it is for nobody"),
    "soon over": (facts("relay.mill.net", left=13 * DAY), Level.WARN, "expires in 13 days"),
    "over": (facts("relay.mill.net", left=-DAY), Level.FAIL, "expired on 2026-11-25"),
    "not yet": (facts("relay.mill.net", since=DAY), Level.FAIL, "not valid before 2026-11-27"),
    "of no use": (PairFacts(path="x", problem="cannot be read"), Level.FAIL, "cannot be read"),
}


@pytest.mark.parametrize(("pair", "level", "words"), SITUATIONS.values(), ids=SITUATIONS)
def test_what_it_is_worth(pair: PairFacts, level: Level, words: str) -> None:
    found = judge_certificate(pair, FQDN, NOW)
    assert (found.level, found.subject) == (level, pair.path)
    assert words in found.reason
    assert bool(found.remedy) == (level is not Level.OK)


def test_none_is_fine() -> None:
    assert judge_no_certificate().level is Level.SKIPPED


def test_a_real_certificate() -> None:
    issued = trustme.CA().issue_cert("Relay.mill.net", "*.mill.net", "192.0.2.1")
    der = ssl.PEM_cert_to_DER_cert(issued.cert_chain_pems[0].bytes().decode())
    found = read_certificate(der)
    assert found.names == names_of(der) == ("relay.mill.net", "*.mill.net")
    assert found.not_before < datetime.now(UTC) < found.not_after  # noqa: TID251 -- trustme's clock


START, END = utc(NOW), tlv(0x18, b"20510102030405Z")


def test_dates_of_both_kinds() -> None:
    found = read_certificate(certificate(START, END, extensions=(names("A.test"),), version=False))
    assert (found.not_before, found.not_after) == (NOW, datetime(2051, 1, 2, 3, 4, 5, tzinfo=UTC))
    assert found.names == ("a.test",)


def test_other_extensions_and_none() -> None:
    other = sequence(tlv(0x06, b"\x55\x1d\x13"), tlv(0x01, b"\xff"), tlv(0x04, sequence()))
    assert read_certificate(certificate(START, END, extensions=(other,))).names == ()
    assert read_certificate(certificate(START, END)).names == ()


@pytest.mark.parametrize(
    "der",
    [
        b"",
        b"\x30",
        b"\x30\x80",
        b"\x30\x05\x00",
        b"\x30\x82\xff",
        sequence(),
        sequence(sequence()),
        sequence(tlv(0x02, b"\1")),
        certificate(START),
        certificate(START, tlv(0x17, b"yesterday")),
        certificate(START, tlv(0x17, b"\xff")),
        certificate(START, END, extensions=(sequence(),)),
    ],
)
def test_what_is_none(der: bytes) -> None:
    with pytest.raises(DerError):
        read_certificate(der)


def test_every_cut_is_noticed() -> None:
    whole = certificate(START, END, extensions=(names("a.test"),))
    for end in range(len(whole)):
        with pytest.raises(DerError):
            read_certificate(whole[:end])
