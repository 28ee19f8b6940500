"""What a TLS report counts of a session."""

from datetime import date, timedelta

import pytest

from relayd.mail.attempt import Peer, RouteKind
from relayd.mail.tls_count import CountedPolicy, CountedSession, PolicyKind
from relayd.mail.tls_result import TlsPolicy, TlsProof, TlsResult, TlsResultType
from relayd.mail.tlsa import Tlsa
from relayd.policy.tls.counting import counted_failure, counted_session
from relayd.policy.tls.sts import NoPolicy, StsFault, StsMode, StsPolicy

DAY = date(2026, 11, 29)
STS = StsPolicy(mode=StsMode.ENFORCE, hosts=("mx.a.test",), max_age=timedelta(days=1), id="1")
RECORD = Tlsa(3, 1, 1, b"\xab" * 32)
OF_STS = CountedPolicy(kind=PolicyKind.STS, domain="a.test", lines=STS.lines, hosts=STS.hosts)
OF_TLSA = CountedPolicy(kind=PolicyKind.TLSA, domain="base.test", lines=(f"3 1 1 {'ab' * 32}",))
NONE = CountedPolicy(kind=PolicyKind.NONE, domain="a.test")


def seen(told: TlsResult | None) -> CountedSession | None:
    peer = Peer(
        route=RouteKind.DIRECT,
        host="mx.a.test",
        ip="192.0.2.1",
        port=25,
        local_ip="192.0.2.9",
        helo="relay.test",
        tls=None,
        tls_result=told,
    )
    return counted_session(peer, "a.test", DAY, sts=STS, base="base.test", records=[RECORD])


@pytest.mark.parametrize(
    ("policy", "counted"),
    [
        (TlsPolicy.MTA_STS, OF_STS),
        (TlsPolicy.MTA_STS_TESTING, OF_STS),
        (TlsPolicy.DANE, OF_TLSA),
        (TlsPolicy.DANE_HOST, OF_TLSA),
        (TlsPolicy.NONE, NONE),
    ],
)
def test_under_which_policy(policy: TlsPolicy, counted: CountedPolicy) -> None:
    good = seen(TlsResult(policy=policy, proof=TlsProof.PKIX))
    assert good == CountedSession(day=DAY, policy=counted)
    expired = TlsResultType.CERTIFICATE_EXPIRED
    failed = seen(TlsResult(policy=policy, result=expired, reason="it has expired"))
    assert failed == CountedSession(
        day=DAY,
        policy=counted,
        result="certificate-expired",
        host="mx.a.test",
        source_ip="192.0.2.9",
        ip="192.0.2.1",
        reason="it has expired",
    )


def test_records_of_no_use_are_a_failure() -> None:
    found = seen(TlsResult(policy=TlsPolicy.DANE_UNUSABLE, proof=TlsProof.ENCRYPTED))
    assert found is not None
    assert (found.policy, found.result) == (OF_TLSA, "tlsa-invalid")


@pytest.mark.parametrize(
    "told",
    [
        None,
        TlsResult(policy=TlsPolicy.OPERATOR, proof=TlsProof.PKIX),
        TlsResult(policy=TlsPolicy.TLS_REQUIRED_NO, proof=TlsProof.PKIX),
        TlsResult(policy=TlsPolicy.NONE),
        TlsResult(policy=TlsPolicy.MTA_STS),  # there was no connection
    ],
)
def test_what_is_not_counted(told: TlsResult | None) -> None:
    assert seen(told) is None


def test_policies_that_cannot_be_had() -> None:
    gone = NoPolicy("it answers 404", StsFault.FETCH)
    found = counted_failure("a.test", STS, gone, DAY)
    assert found == CountedSession(
        day=DAY, policy=OF_STS, result="sts-policy-fetch-error", reason="it answers 404"
    )
    first = counted_failure("a.test", None, gone, DAY)
    assert first is not None
    assert first.policy == CountedPolicy(kind=PolicyKind.STS, domain="a.test")
    assert counted_failure("a.test", None, NoPolicy("there is no record"), DAY) is None
