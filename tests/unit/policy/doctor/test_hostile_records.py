"""Records are written by strangers: whatever stands in them, a check ends with a finding."""

import asyncio
from contextlib import suppress
from functools import partial
from ipaddress import ip_address

from hypothesis import given, settings
from hypothesis import strategies as st

from relayd.mail.dns import Texts
from relayd.policy.doctor.der import DerError, read_certificate, rsa_bits
from relayd.policy.doctor.dkim import judge_dkim
from relayd.policy.doctor.dmarc import judge_policy, walk
from relayd.policy.doctor.spf import evaluate, judge_spf
from tests.support.der import base64
from tests.support.fake_dns import FakeDns
from tests.support.processor import took_by

IP = ip_address("192.0.2.1")
WORDS = st.sampled_from(
    (
        *("ip4:", "ip6:", "a", "a:", "mx", "include:", "exists:", "redirect=", "exp=", "all"),
        *("-", "~", "?", "+", "/", "//", "%", "%{i}", "d.test", "192.0.2.0/24", "::1", ".", ".."),
        *("=", ";", "p=", "sp=", "k=rsa", "v=DKIM1", "none", "reject", "psd=y"),
        *("\u00e4", "\ufffd", "\u0662", "999999999999"),
    )
)
TEXT = st.lists(WORDS | st.text(max_size=5)).map("".join) | st.lists(WORDS).map(" ".join)


@settings(max_examples=300, deadline=None)
@given(TEXT)
def test_any_text(text: str) -> None:
    records = {
        "d.test": {"TXT": [f"v=spf1 {text}"], "A": ["192.0.2.1"], "MX": ["d.test"]},
        "_dmarc.d.test": {"TXT": [f"v=DMARC1;{text}"]},
    }
    dns = FakeDns(records)
    verdict = asyncio.run(evaluate("d.test", IP, dns))
    assert judge_spf("d.test", IP, verdict, is_helo=False).reason
    assert judge_policy(asyncio.run(walk("d.test", dns))).reason
    assert judge_dkim("s", "d.test", Texts(texts=(text,))).reason


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=200) | st.binary(max_size=60).map(lambda tail: b"\x30\x3c" + tail))
def test_any_octets(octets: bytes) -> None:
    with suppress(DerError):
        rsa_bits(octets)
    with suppress(DerError):
        read_certificate(octets)
    assert judge_dkim("s", "d.test", Texts(texts=(f"p={base64(octets)}",))).reason


def test_long_records_take_no_time() -> None:
    """As long as the resolver lets them be, made to be read again and again."""
    for unit in (" ", "a ", "a:", "/", "-", "=", ";", "p=", "a=b;", "\u00e4", "ip4:1.2.3.4/"):
        text = unit * (4096 // len(unit))
        assert took_by(partial(judge_all, text), 0.2) < 0.2, unit


def judge_all(text: str) -> None:
    verdict = asyncio.run(evaluate("d.test", IP, FakeDns({"d.test": {"TXT": [f"v=spf1 {text}"]}})))
    judge_spf("d.test", IP, verdict, is_helo=False)
    judge_dkim("s", "d.test", Texts(texts=(text,)))
    asyncio.run(walk("d.test", FakeDns({"_dmarc.d.test": {"TXT": [f"v=DMARC1;{text}"]}})))
