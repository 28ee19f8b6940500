"""TLS reports: the record, the document of RFC 8460, and the mail."""

import email
import gzip
import json
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from email import policy as email_policy
from functools import partial

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from relayd.mail.address import parse_address
from relayd.mail.tls_count import CountedPolicy, CountedSession, PolicyKind, read_counted
from relayd.policy.tls.tlsrpt import (
    Receivers,
    ReportFacts,
    compose,
    document,
    due_at,
    packed,
    read_receivers,
)
from tests.support.processor import took_by

DAY = date(2016, 4, 1)
BOX = parse_address("reports@example.com")
FACTS = ReportFacts(
    day=DAY,
    domain="company-y.example",
    submitter="company-x.example",
    contact="sts-reporting@company-x.example",
    token="5065427c",
    now=datetime(2016, 4, 2, 1, tzinfo=UTC),
)
POLICY = CountedPolicy(
    kind=PolicyKind.STS,
    domain="company-y.example",
    lines=(
        "version: STSv1",
        "mode: testing",
        "mx: *.mail.company-y.example",
        "max_age: 86400",
    ),
    hosts=("*.mail.company-y.example",),
)
GOOD = CountedSession(day=DAY, policy=POLICY)


def a_failure(
    result: str, source_ip: str, *, host: str, ip: str = "", reason: str = ""
) -> CountedSession:
    return replace(GOOD, result=result, source_ip=source_ip, host=host, ip=ip, reason=reason)


EXPIRED = a_failure(
    "certificate-expired", "2001:db8:abcd:0012::1", host="mx1.mail.company-y.example"
)
NO_TLS = a_failure(
    "starttls-not-supported",
    "2001:db8:abcd:0013::1",
    host="mx2.mail.company-y.example",
    ip="203.0.113.56",
)
INVALID = a_failure(
    "validation-failure",
    "198.51.100.62",
    ip="203.0.113.58",
    host="mx-backup.mail.company-y.example",
    reason="X509_V_ERR_PROXY_PATH_LENGTH_EXCEEDED",
)
COUNTS = {GOOD: 5326, EXPIRED: 100, NO_TLS: 200, INVALID: 3}


def test_receivers() -> None:
    assert read_receivers(["v=TLSRPTv1;rua=mailto:reports@example.com"]) == Receivers(boxes=(BOX,))
    assert read_receivers(["v=TLSRPTv1; rua=https://reporting.example.com/v1/tlsrpt"]) == Receivers(
        urls=("https://reporting.example.com/v1/tlsrpt",)
    )
    both = "v=TLSRPTv1 ; x=y ; rua=MAILTO:reports%40example.com?subject=x , HTTPS://a.test/ ;"
    assert read_receivers(["v=spf1 -all", both]) == Receivers(
        boxes=(BOX,), urls=("HTTPS://a.test/",)
    )
    many = "v=TLSRPTv1; rua=" + ",".join(f"mailto:r{number}@a.test" for number in range(100))
    assert len(read_receivers([many]).boxes) == 4


@pytest.mark.parametrize(
    "texts",
    [
        (),
        ("v=TLSRPTv1",),
        ("v=TLSRPTv1;",),
        ("v=TLSRPTv2; rua=mailto:a@b.test",),
        ("v=TLSRPTv1; rua=mailto:a@b.test", "v=TLSRPTv1; rua=mailto:a@b.test"),
        ("rua=mailto:a@b.test; v=TLSRPTv1",),
        ("v=TLSRPTv1; rua=a@b.test",),
        ("v=TLSRPTv1; rua=mailto:",),
        ("v=TLSRPTv1; rua=mailto:nobody",),
        ("v=TLSRPTv1; rua=mailto:%ff@b.test",),
        ("v=TLSRPTv1; rua=mailto:%C3%A4@b.test",),
        ("v=TLSRPTv1; rua=mailto:a@b.test%0d%0aBcc: x@y.test",),
        ("v=TLSRPTv1; rua=http://a.test/",),
        ("v=TLSRPTv1; rua=https://a.test:25/",),
        ("v=TLSRPTv1; rua=https://user@a.test/",),
        ("v=TLSRPTv1; rua=ftp://a.test/",),
    ],
)
def test_nobody_wants_reports(texts: tuple[str, ...]) -> None:
    assert read_receivers(texts) == Receivers()


def test_the_document_of_appendix_b() -> None:
    """The example of RFC 8460 App. B, but for what relayd does not tell."""
    told = json.loads(document(FACTS, COUNTS))
    assert told == {
        "organization-name": "company-x.example",
        "date-range": {
            "start-datetime": "2016-04-01T00:00:00Z",
            "end-datetime": "2016-04-01T23:59:59Z",
        },
        "contact-info": "sts-reporting@company-x.example",
        "report-id": "2016-04-01.company-y.example.5065427c",
        "policies": [
            {
                "policy": {
                    "policy-type": "sts",
                    "policy-string": [
                        "version: STSv1",
                        "mode: testing",
                        "mx: *.mail.company-y.example",
                        "max_age: 86400",
                    ],
                    "policy-domain": "company-y.example",
                    "mx-host": ["*.mail.company-y.example"],
                },
                "summary": {
                    "total-successful-session-count": 5326,
                    "total-failure-session-count": 303,
                },
                "failure-details": [
                    {
                        "result-type": "starttls-not-supported",
                        "sending-mta-ip": "2001:db8:abcd:0013::1",
                        "receiving-mx-hostname": "mx2.mail.company-y.example",
                        "receiving-ip": "203.0.113.56",
                        "failed-session-count": 200,
                    },
                    {
                        "result-type": "certificate-expired",
                        "sending-mta-ip": "2001:db8:abcd:0012::1",
                        "receiving-mx-hostname": "mx1.mail.company-y.example",
                        "failed-session-count": 100,
                    },
                    {
                        "result-type": "validation-failure",
                        "sending-mta-ip": "198.51.100.62",
                        "receiving-ip": "203.0.113.58",
                        "receiving-mx-hostname": "mx-backup.mail.company-y.example",
                        "failed-session-count": 3,
                        "failure-reason-code": "X509_V_ERR_PROXY_PATH_LENGTH_EXCEEDED",
                    },
                ],
            }
        ],
    }


def test_policies_are_told_apart() -> None:
    none = CountedPolicy(kind=PolicyKind.NONE, domain="company-y.example")
    tlsa = CountedPolicy(kind=PolicyKind.TLSA, domain="company-y.example", lines=("3 1 1 0d6f",))
    counts = {replace(GOOD, policy=none): 2, replace(EXPIRED, policy=tlsa): 1}
    first, second = json.loads(document(FACTS, counts))["policies"]
    assert first == {
        "policy": {"policy-type": "no-policy-found", "policy-domain": "company-y.example"},
        "summary": {"total-successful-session-count": 2, "total-failure-session-count": 0},
    }
    assert second["policy"]["policy-string"] == ["3 1 1 0d6f"]
    assert "mx-host" not in second["policy"]


def test_a_hostile_day_has_an_end() -> None:
    counts = {replace(EXPIRED, host=f"mx{number}.test"): number + 1 for number in range(300)}
    [policy] = json.loads(document(FACTS, counts))["policies"]
    assert policy["summary"]["total-failure-session-count"] == sum(counts.values())
    told = [each["failed-session-count"] for each in policy["failure-details"]]
    assert told == list(range(300, 200, -1))
    long = replace(EXPIRED, reason="\x1b[2J\r\n\u20ac" + "x" * 5000)
    [policy] = json.loads(document(FACTS, {long: 1}))["policies"]
    reason = policy["failure-details"][0]["failure-reason-code"]
    assert len(reason) == 200
    assert reason.isascii()
    assert reason.isprintable()


def test_the_mail() -> None:
    report = packed(document(FACTS, COUNTS))
    octets = compose(FACTS, BOX, report)
    assert b"\n" not in octets.replace(b"\r\n", b"")
    assert max(map(len, octets.split(b"\r\n"))) <= 998
    mail = email.message_from_bytes(octets, policy=email_policy.default)
    assert mail["From"] == "sts-reporting@company-x.example"
    assert mail["To"] == "reports@example.com"
    assert mail["TLS-Report-Domain"] == "company-y.example"
    assert mail["TLS-Report-Submitter"] == "company-x.example"
    assert mail["TLS-Required"] == "No"
    assert mail["Subject"] == (
        "Report Domain: company-y.example Submitter: company-x.example"
        " Report-ID: <2016-04-01.company-y.example.5065427c>"
    )
    assert mail.get_content_type() == "multipart/report"
    assert mail.get_param("report-type") == "tlsrpt"
    words, attached = mail.iter_parts()
    assert words.get_content_type() == "text/plain"
    assert attached.get_content_type() == "application/tlsrpt+gzip"
    assert attached.get_filename() == (
        "company-x.example!company-y.example!1459468800!1459555199.json.gz"
    )
    assert json.loads(gzip.decompress(attached.get_content())) == json.loads(
        document(FACTS, COUNTS)
    )


def test_the_same_report_has_the_same_octets() -> None:
    assert packed(document(FACTS, COUNTS)) == packed(document(FACTS, COUNTS))


def test_reports_are_spread_over_the_night() -> None:
    times = [due_at(DAY, f"d{number}.test") for number in range(500)]
    begins = datetime(2016, 4, 2, 0, 10, tzinfo=UTC)
    assert all(begins <= at <= begins + timedelta(hours=3, minutes=50) for at in times)
    assert max(times) - min(times) > timedelta(hours=3)
    assert due_at(DAY, "a.test") == due_at(DAY, "a.test")


def test_a_policy_is_read_back() -> None:
    assert read_counted(POLICY.text) == POLICY


@settings(max_examples=300, deadline=None)
@given(st.text() | st.text(alphabet="v=TLSRPTv1;rua mailto:https/@.%,?a0\u00e4"))
def test_any_record(text: str) -> None:
    read_receivers([text, f"v=TLSRPTv1; rua={text}"])
    read_receivers([f"v=TLSRPTv1; rua={text}"])


def test_long_records_take_no_time() -> None:
    for unit in (" ", ";", ",", "=", "rua=", "%", "mailto:a@b.test,", "https://a.test/,", "\u00e4"):
        record = "v=TLSRPTv1; rua=" + unit * (65536 // len(unit))
        assert took_by(partial(read_receivers, [record]), 0.2) < 0.2
