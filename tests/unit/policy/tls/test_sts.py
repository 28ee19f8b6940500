"""MTA-STS: the record, the policy, which hosts it lists, and when it is fetched again."""

from datetime import UTC, datetime, timedelta
from functools import partial

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from relayd.mail.http import HttpAnswer
from relayd.policy.tls.sts import (
    MAX_AGE,
    OCTETS,
    NoPolicy,
    StsEntry,
    StsFault,
    StsMode,
    StsPolicy,
    judge,
    needs_refresh,
    read_policy,
    read_record,
)
from tests.support.processor import took_by

NOW = datetime(2026, 11, 29, 12, tzinfo=UTC)
DAY = timedelta(days=1)
GOOD = "version: STSv1\nmode: enforce\nmx: mail.loc\nmax_age: 86400"


def test_a_record() -> None:
    for text in (
        "v=STSv1; id=20160831085700Z;",
        "v=STSv1; \t id=20160831085700Z  \t;",
        "v=STSv1 ;id=20160831085700Z",
        "v=STSv1;more=a/b:c; id=20160831085700Z ; ext.a-b_c=2;id=x",
    ):
        assert read_record([text]) == "20160831085700Z", text
    assert read_record(["v=spf1 -all", "v=STSv1; id=a", "v=STSv12; id=b", ""]) == "a"


@pytest.mark.parametrize(
    "texts",
    [
        (),
        ("",),
        ("v=STSv1",),
        ("v=STSv1;",),
        ("v=STSv1; ",),
        ("v=STSv1;;",),
        ("v=STSv0; id=a",),
        ("v=STSv10; id=a",),
        ("V=STSV1; id=a",),
        (" v=STSv1; id=a",),
        ("v=STSv1; ext=1",),
        ("v=STSv1; ID=a",),
        ("v=STSv1; id=",),
        ("v=STSv1; id=" + 33 * "a",),
        ("v=STSv1; id=test-123",),
        ("v=STSv1; id=a b",),
        ("v=STSv1; id=\u00e4",),
        ("v=STSv1; id=a; more=",),
        ("v=STSv1; id=a; a12345678901234567890123456789012=1",),
        ("v=STSv1; id=a; 1%=a",),
        ("v=STSv1; id=a; test==",),
        ("v=STSv1; id=a;;",),
        ("v=STSv1; id=a", "v=STSv1; id=b"),
        ("v=STSv1; id=a", "v=STSv1;"),
    ],
)
def test_no_record(texts: tuple[str, ...]) -> None:
    found = read_record(texts)
    assert isinstance(found, NoPolicy)
    assert found.fault is None
    assert "MTA-STS record" in found.why


def test_a_policy() -> None:
    text = (
        "version:STSv1\r\nmode:\tenforce \r\nmx:  \t *.Example.com\nmx: mx.a.test.\t\n\nmx: mx.a.test\n"
        "max_age: 1\nmore:ext e  ns \u00a0 ion\u00e4\nmode: none\nmax_age: bad\r\n\r\n"
    )
    assert read_policy(text.encode(), "7") == StsPolicy(
        mode=StsMode.ENFORCE,
        hosts=("*.example.com", "mx.a.test"),
        max_age=timedelta(seconds=1),
        id="7",
    )
    none = read_policy(f"max_age: {MAX_AGE}\nmode: none\nversion: STSv1".encode(), "1")
    assert isinstance(none, StsPolicy)
    assert (none.mode, none.hosts, none.max_age) == (StsMode.NONE, (), timedelta(seconds=MAX_AGE))


def test_lines_are_read_back() -> None:
    policy = read_policy(GOOD.encode(), "1")
    assert isinstance(policy, StsPolicy)
    assert policy.lines == ("version: STSv1", "mode: enforce", "mx: mail.loc", "max_age: 86400")
    assert read_policy("\r\n".join(policy.lines).encode(), "1") == policy


@pytest.mark.parametrize(
    "text",
    [
        "",
        "garbage",
        "<html><body>version: STSv1</body></html>",
        "version:STSv0\nmode:none\nmax_age:0",
        "version:STSv10\nmode:none\nmax_age:0",
        "version: stsv1\nmode:none\nmax_age:0",
        "Version:STSv1\nmode:none\nmax_age:0",
        "mode:none\nmax_age:0",
        "version:STSv1\nmax_age:0\nmx:example.com",
        "version:STSv1\nmode:bad\nmax_age:1",
        "version:STSv1\nmode:Enforce\nmax_age:1\nmx:example.com",
        "version:STSv1\nmode:none",
        "version:STSv1\nmode:none\nmax_age:a",
        "version:STSv1\nmode:none\nmax_age:-1",
        "version:STSv1\nmode:none\nmax_age:1.5",
        "version:STSv1\nmode:none\nmax_age:\u0663",
        "version:STSv1\nmode:none\nmax_age:01234567890",
        f"version:STSv1\nmode:none\nmax_age:{MAX_AGE + 1}",
        "version:STSv1\nmode:none\nmax_age:" + 5000 * "9",
        "version:STSv1\nmax_age:0\nmode:enforce",
        "version:STSv1\nmax_age:0\nmode:testing",
        "version:STSv1\nmode:enforce\nmax_age:0\nmx:",
        "version:STSv1\nmode:enforce\nmax_age:0\nmx:*",
        "version:STSv1\nmode:enforce\nmax_age:0\nmx:*.",
        "version:STSv1\nmode:enforce\nmax_age:0\nmx:a.*.example",
        "version:STSv1\nmode:enforce\nmax_age:0\nmx:*.*.example",
        "version:STSv1\nmode:enforce\nmax_age:0\nmx:**.example",
        "version:STSv1\nmode:enforce\nmax_age:0\nmx:test.example-",
        "version:STSv1\nmode:enforce\nmax_age:0\nmx:a.example, b.example",
        "version:STSv1\nmode:enforce\nmax_age:0\nmx:192.0.2.1",
        "version:STSv1\nmode:none\nmax_age:0\nmx: m\u00f8x.example",
        "version:STSv1\nmode:none\nmax_age:0\next:",
        "version:STSv1\nmode:none\nmax_age:0\next:a\x00b",
        "version:STSv1\rmode:none\rmax_age:0",
        "version:STSv1\nmode:none\nmax_age:0\na12345678901234567890123456789012:123",
        "version:STSv1\nmode:none\nmax_age:0\n_bad:test",
        "\ufeffversion:STSv1\nmode:none\nmax_age:0",
        GOOD + "".join(f"\nmx: mx{number}.loc" for number in range(250)),
        GOOD + OCTETS * "\n",
    ],
)
def test_no_policy(text: str) -> None:
    found = read_policy(text.encode(), "1")
    assert isinstance(found, NoPolicy)
    assert found.fault is StsFault.INVALID
    assert found.why.startswith("the MTA-STS policy ")


def test_octets_that_are_no_text() -> None:
    assert read_policy(b"version:STSv1\nmode:none\nmax_age:0\next:\xff", "1") == NoPolicy(
        "the MTA-STS policy is not UTF-8", StsFault.INVALID
    )


@pytest.mark.parametrize(
    ("status", "kind", "has_end", "words"),
    [
        (404, "text/plain", True, "it answers 404"),
        (201, "text/plain", True, "it answers 201"),
        (302, "text/plain", True, "it answers 302, and no redirect is followed"),
        (200, "text/html", True, "its answer is not text/plain"),
        (200, "", True, "its answer is not text/plain"),
        (200, "text/plain", False, "anybody may have cut it"),
    ],
)
def test_what_a_web_server_answers(status: int, kind: str, words: str, *, has_end: bool) -> None:
    answer = HttpAnswer(status=status, content_type=kind, body=GOOD.encode(), has_end=has_end)
    found = judge(answer, "1")
    assert isinstance(found, NoPolicy)
    assert (found.fault, words in found.why) == (StsFault.FETCH, True)
    good = HttpAnswer(status=200, content_type="text/PLAIN ;charset=x", body=GOOD.encode())
    assert isinstance(judge(good, "1"), StsPolicy)


# The domains of the tests of postfix-mta-sts-resolver, as far as texts decide; `net` has its certificates,
# its status and its type: the record, the policy, and what comes of both.
RECORD = "v=STSv1;id=20180907T090909;"
DOMAINS = {
    "bad-record1.loc": ("id=20180907T090909; v=STSv1;", GOOD, None),
    "bad-record2.loc": ("azazaza;asdasdasdasd", GOOD, None),
    "bad-record3.loc": ("v=STSv12;id=20180907T090909;", GOOD, None),
    "no-record.loc": (None, GOOD, None),
    "good.loc": (RECORD, GOOD, "enforce"),
    "bad-policy1.loc": (RECORD, "garbage", None),
    "bad-policy2.loc": (RECORD, GOOD.replace("mx: mail.loc\n", ""), None),
    "bad-policy5.loc": (RECORD, GOOD.replace("86400", "xxx"), None),
    "bad-policy6.loc": (RECORD, GOOD.replace("86400", "31557601"), None),
    "bad-policy7.loc": (RECORD, GOOD.replace("mode: enforce\n", ""), None),
    "bad-policy8.loc": (RECORD, GOOD.replace("enforce", "doubt"), None),
    "valid-none.loc": (RECORD, "version: STSv1\nmode: none\nmax_age: 86400", "none"),
    "testing.loc": (
        RECORD,
        "version: STSv1\nmode: testing\nmax_age: 86400\nmx: mail.loc\n",
        "testing",
    ),
}


@pytest.mark.parametrize("domain", DOMAINS)
def test_domains_of_another_resolver(domain: str) -> None:
    record, text, mode = DOMAINS[domain]
    found = read_record([record] if record else [])
    if isinstance(found, str):
        assert found == "20180907T090909"
        policy = read_policy(text.encode(), found)
        assert (policy.mode if isinstance(policy, StsPolicy) else None) == mode
    else:
        assert mode is None


@pytest.mark.parametrize(
    ("listed", "host", "fits"),
    [
        ("mx.a.test", "mx.a.test", True),
        ("mx.a.test", "a.test", False),
        ("mx.a.test", "x.mx.a.test", False),
        ("*.a.test", "mx.a.test", True),
        ("*.a.test", "a.test", False),
        ("*.a.test", ".a.test", True),  # no host has such a name
        ("*.a.test", "x.mx.a.test", False),
        ("*.a.test", "mxa.test", False),
        ("*.test", "test", False),
    ],
)
def test_hosts(listed: str, host: str, *, fits: bool) -> None:
    assert policy_of(hosts=("mx.other.test", listed)).fits(host) is fits


def policy_of(
    *,
    mode: StsMode = StsMode.ENFORCE,
    hosts: tuple[str, ...] = ("mx.a.test",),
    max_age: timedelta = 7 * DAY,
    policy_id: str = "1",
) -> StsPolicy:
    return StsPolicy(mode=mode, hosts=hosts, max_age=max_age, id=policy_id)


def entry_of(policy: StsPolicy | None, not_before: datetime | None = None) -> StsEntry:
    return StsEntry(
        domain="a.test", policy=policy, fetched_at=NOW, used_at=NOW, not_before=not_before
    )


def test_what_counts() -> None:
    policy = policy_of()
    entry = entry_of(policy)
    assert entry.live(NOW + 7 * DAY - timedelta(seconds=1)) is policy
    assert entry.live(NOW + 7 * DAY) is None
    assert entry_of(policy_of(mode=StsMode.TESTING)).live(NOW) is not None
    assert entry_of(policy_of(mode=StsMode.NONE)).live(NOW) is None
    assert entry_of(policy_of(max_age=timedelta())).live(NOW) is None
    assert entry_of(None).live(NOW) is None


def test_when_it_is_fetched() -> None:
    entry = entry_of(policy_of())
    assert needs_refresh(None, "1", NOW)
    assert not needs_refresh(entry, "1", NOW + 6 * DAY)
    assert needs_refresh(entry, "2", NOW)
    assert needs_refresh(entry, "1", NOW + 7 * DAY)
    assert not needs_refresh(entry_of(policy_of(mode=StsMode.NONE)), "1", NOW)
    failed = entry_of(None, not_before=NOW + timedelta(minutes=5))
    assert not needs_refresh(failed, "1", NOW + timedelta(minutes=4))
    assert needs_refresh(failed, "1", NOW + timedelta(minutes=5))
    assert not needs_refresh(entry_of(policy_of(), not_before=NOW + DAY), "2", NOW)


PARTS = st.sampled_from(
    (
        *(
            "v=STSv1",
            ";",
            "id=",
            "a1",
            "=",
            "version",
            "STSv1",
            "mode",
            ":",
            "enforce",
            "none",
            "mx",
        ),
        *("*.", "a.test", "max_age", "86400", "\n", "\r\n", " ", "\t", "\u00e4", "\x00", "\ud800"),
    )
)


@settings(max_examples=300, deadline=None)
@given(st.lists(PARTS).map("".join) | st.text())
def test_any_text(text: str) -> None:
    read_record([text])
    found = read_policy(text.encode(errors="surrogatepass"), "1")
    if isinstance(found, StsPolicy):
        assert read_policy("\n".join(found.lines).encode(), "1") == found


def test_long_texts_take_no_time() -> None:
    """Made to be read again and again, as long as the resolver and the fetcher let them be."""
    for unit in (" ", "\t;", "=", ";", "a=b;", "id=a;", "v=STSv1;", "\u00e4"):
        for head in ("v=STSv1;", "v=STSv1"):
            record = head + unit * (OCTETS // len(unit))
            assert took_by(partial(read_record, [record]), 0.1) < 0.1
    for unit in ("\n", " ", "\r", ":", "a:b\n", "mx:a\n", "mx: a.test\n", "mx:*.", "\t:", "9"):
        whole = GOOD + "\n" + unit * (OCTETS // len(unit))
        assert took_by(partial(read_policy, whole.encode()[:OCTETS], "1"), 0.1) < 0.1
