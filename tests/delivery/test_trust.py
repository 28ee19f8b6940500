"""What mail hosts have to show, from the DNS to the session: DANE and MTA-STS in direct mode.

The name server is believed, as one on loopback is. Tables A and B have their own tests in tests/unit/policy/tls.

Sources: RFC 7672, RFC 8461.
"""

import hashlib
import ssl
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import pytest
import trustme

from relayd.deliverer.trust import Policies
from relayd.errors import StoreUnavailable
from relayd.mail.words import EventKind
from relayd.policy.tls.require import OperatorTls
from relayd.policy.tls.sts import StsMode, StsPolicy
from relayd.ports.view import Status
from relayd.settings import TlsMode
from tests.support.certificates import shown_with
from tests.support.direct import A1, A2, FINE, Direct, a_direct_post
from tests.support.dns_server import NODATA, SERVFAIL, Alone, Authentic
from tests.support.ports import free_port

AUTHORITY = trustme.CA()  # that nobody knows
SHOWN, OWN = shown_with(AUTHORITY, "mx1.x.test", "mx2.x.test")
FITS = f"3 0 1 {hashlib.sha256(OWN).hexdigest()}"
WRONG = f"3 1 1 {'ab' * 32}"
OF_NO_USE = f"1 1 1 {'ab' * 32}"
BOTH = {A1: SHOWN, A2: SHOWN}
PORT = free_port()


def secure(**records: Any) -> Mapping[str, Any]:
    """Records of a name that DNSSEC proves, and that there is no IPv6 address."""
    known = {"AAAA": NODATA, **records}
    return {rdtype: Authentic(each) for rdtype, each in known.items()}


def zones(tlsa: Any = None, *, domain: str = "x.test", mx_is_secure: bool = True) -> dict[str, Any]:
    """A domain with two hosts, of which the best one may have TLSA records."""
    hosts = ["10 mx1.x.test.", "20 mx2.x.test."]
    found = {
        domain: {"MX": Authentic(hosts) if mx_is_secure else hosts},
        "mx1.x.test": secure(A=[A1]),
        "mx2.x.test": secure(A=[A2]),
        f"_{PORT}._tcp.mx2.x.test": {"TLSA": Authentic(NODATA)},
    }
    records = Authentic(NODATA) if tlsa is None else tlsa
    return {**found, f"_{PORT}._tcp.mx1.x.test": {"TLSA": records}}


def a_post(zones: dict[str, Any], **more: Any) -> Any:
    usual = {"tls": TlsMode.OPPORTUNISTIC, "port": PORT, "shown": BOTH}
    return a_direct_post(zones, {A1: FINE, A2: FINE}, **{**usual, **more})


async def sent(
    direct: Direct, address: str = "a@x.test", *, lifts_tls: bool = False
) -> list[dict[str, Any]]:
    """Send a mail and return what the history says of its attempts."""
    message = await direct.send(address, lifts_tls=lifts_tls)
    await direct.post.settled(message)
    return [
        {"event": str(kind), **detail}
        for kind, detail in direct.post.events(message)
        if kind != EventKind.RECEIVED
    ]


def seen(told: Mapping[str, Any]) -> tuple[Any, ...]:
    """Event, host, and what it says of TLS."""
    fields = ("event", "remote_host", "tls_policy", "tls_proof", "tls_result")
    return tuple(told.get(field) for field in fields)


async def test_a_record_that_fits_is_all_it_takes() -> None:
    async with a_post(zones(Authentic([FITS]))) as direct:
        (told,) = await sent(direct)
        assert seen(told) == ("sent", "mx1.x.test", "dane", "dane-ee", None)
        assert told["tls"].endswith(" verified")
        assert direct.server(A1).messages[0].tls


async def test_without_one_that_fits_the_next_host_gets_the_mail() -> None:
    async with a_post(zones(Authentic([WRONG]))) as direct:
        first, then = await sent(direct)
        assert seen(first) == ("attempted", "mx1.x.test", "dane", "encrypted", "validation-failure")
        assert "dane-no-match: no certificate of the host fits TLSA 3 1 1 abab" in first["reason"]
        assert seen(then)[:4] == ("sent", "mx2.x.test", "none", "encrypted")
        assert not direct.server(A1).messages


@pytest.mark.parametrize(
    ("tlsa", "mx_is_secure", "expected"),
    [
        pytest.param([FITS], True, ("none", "encrypted"), id="insecure-records"),
        pytest.param(Authentic([WRONG, FITS]), False, ("dane-host", "dane-ee"), id="insecure-mx"),
        pytest.param(Authentic([OF_NO_USE]), True, ("dane-unusable", "encrypted"), id="unusable"),
        pytest.param(None, True, ("none", "encrypted"), id="proven-absent"),
    ],
)
async def test_what_counts(tlsa: Any, expected: tuple[str, str], *, mx_is_secure: bool) -> None:
    async with a_post(zones(tlsa, mx_is_secure=mx_is_secure)) as direct:
        (told,) = await sent(direct)
        assert seen(told)[:4] == ("sent", "mx1.x.test", *expected)


async def test_who_lifts_the_policies_is_held_up_by_none() -> None:
    """Row 4: its way is another one, so what they hold up is not in front of it."""
    found = zones(Authentic([WRONG]))
    found["x.test"] = {"MX": Authentic(["10 mx1.x.test."])}
    async with a_post(found) as direct:
        (held_up,) = await sent(direct)
        assert seen(held_up)[:3] == ("deferred", "mx1.x.test", "dane")
        (told,) = await sent(direct, "b@x.test", lifts_tls=True)
        assert seen(told)[:4] == ("sent", "mx1.x.test", "tls-required-no", "encrypted")


async def test_a_lookup_that_fails_never_leads_to_clear_text() -> None:
    """Row 5: nobody connects to that host; alone, the mail waits."""
    found = zones(SERVFAIL)
    found["x.test"] = {"MX": Authentic(["10 mx1.x.test."])}
    async with a_post(found, dns_timeout=0.5) as direct:
        (told,) = await sent(direct)
        assert seen(told) == ("deferred", "mx1.x.test", "dane", "none", "dnssec-invalid")
        assert (told["category"], told["fault"]) == ("dns_failure", "dns")
        assert not direct.server(A1).connections


async def test_nor_does_a_spoilt_lookup_of_one_family_of_addresses() -> None:
    found = zones(Authentic([WRONG]))
    found["mx1.x.test"]["AAAA"] = SERVFAIL
    async with a_post(found, dns_timeout=0.5) as direct:
        first, *_ = await sent(direct)
        assert seen(first)[:3] == ("attempted", "mx1.x.test", "dane")


@pytest.mark.parametrize(
    ("more", "is_secure"),
    [
        pytest.param({"is_trusted": False}, True, id="no-trusted-name-server"),
        pytest.param({"dane": False}, True, id="direct.dane-off"),
        pytest.param({"tls": TlsMode.OFF}, True, id="direct.tls-off"),
        pytest.param({"tls_policy": (("x.test", OperatorTls.REQUIRED),)}, True, id="operator"),
        pytest.param({}, False, id="insecure-address"),
    ],
)
async def test_no_question_whose_answer_would_not_count(
    more: dict[str, Any], *, is_secure: bool
) -> None:
    """Name servers of unsigned zones answer it with errors, which would stop the mail."""
    found = zones(SERVFAIL)
    if not is_secure:
        found["mx1.x.test"] = {"A": [A1]}
    async with a_post(found, **more) as direct:
        (told,) = await sent(direct)
        assert told["event"] == "sent"
        assert not direct.dns.count(f"_{PORT}._tcp.mx1.x.test", "TLSA")


ALIAS = {
    "CNAME": Authentic(["real.y.test."]),
    **dict.fromkeys(("A", "AAAA"), Authentic(Alone("real.y.test."))),
}


@pytest.mark.parametrize(
    ("real", "tlsa_at", "expected"),
    [
        pytest.param(secure(A=[A1]), "real.y.test", ("dane", "dane-ee"), id="expanded"),
        pytest.param(secure(A=[A1]), "mx1.x.test", ("dane", "dane-ee"), id="initial"),
        pytest.param(
            {"A": [A1], "AAAA": NODATA}, "mx1.x.test", ("dane", "dane-ee"), id="initial-alone"
        ),
        pytest.param(
            {"A": [A1], "AAAA": NODATA}, "real.y.test", ("none", "encrypted"), id="insecure-end"
        ),
    ],
)
async def test_an_alias(real: Mapping[str, Any], tlsa_at: str, expected: tuple[str, str]) -> None:
    """RFC 7672 §2.2.2: the name at its end first, if all of it is secure; else its own, if that is."""
    found = zones()
    found |= {
        "mx1.x.test": ALIAS,
        "real.y.test": real,
        f"_{PORT}._tcp.{tlsa_at}": {"TLSA": Authentic([FITS])},
    }
    async with a_post(found) as direct:
        (told,) = await sent(direct)
        assert seen(told)[:4] == ("sent", "mx1.x.test", *expected)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        pytest.param("mx1.x.test", ("sent", "dane", "dane-ta"), id="host"),
        pytest.param("x.test", ("sent", "dane", "dane-ta"), id="domain"),
        pytest.param("real.test", ("sent", "dane", "dane-ta"), id="expanded-domain"),
        pytest.param("y.test", ("deferred", "dane", "encrypted"), id="another"),
    ],
)
async def test_names_under_a_trust_anchor(name: str, expected: tuple[str, ...]) -> None:
    """RFC 7672 §3.2.2: of the host, of the domain, and of what the domain is an alias of."""
    shown, _ = shown_with(AUTHORITY, name)
    anchor = ssl.PEM_cert_to_DER_cert(AUTHORITY.cert_pem.bytes().decode())
    found = zones(Authentic([f"2 0 0 {anchor.hex()}"])) | {
        "x.test": {"MX": Authentic(Alone("real.test."))},
        "real.test": {"MX": Authentic(["10 mx1.x.test."])},
    }
    async with a_post(found, shown={A1: shown}) as direct:
        *_, told = await sent(direct)
        assert (told["event"], told["tls_policy"], told["tls_proof"]) == expected


async def test_the_operators_word_for_dane_without_records() -> None:
    """Row 3: the mail waits."""
    async with a_post(zones(), tls_policy=(("*.test", OperatorTls.DANE),)) as direct:
        *_, told = await sent(direct)
        assert seen(told)[2:] == ("dane", "none", "dane-required")
        assert told["event"] == "deferred"
        assert not direct.server(A1).connections + direct.server(A2).connections


@pytest.mark.parametrize(
    ("tlsa", "connections"),
    [pytest.param(WRONG, 2, id="it-does-not-meet"), pytest.param(FITS, 1, id="it-meets")],
)
async def test_an_idle_connection_goes_to_domains_whose_demands_it_meets(
    tlsa: str, connections: int
) -> None:
    """T-01: y.test asks for nothing, x.test for DANE, and both have the same hosts."""
    found = zones(Authentic([tlsa])) | zones(Authentic([tlsa]), domain="y.test")
    entry = OperatorTls.DANE if tlsa is FITS else OperatorTls.OPPORTUNISTIC
    async with a_post(found, tls_policy=(("y.test", entry),)) as direct:
        (before,) = await sent(direct, "a@y.test")
        assert before["event"] == "sent"
        first, *_ = await sent(direct)
        assert seen(first)[2] == "dane"
        assert first["event"] == ("sent" if tlsa is FITS else "attempted")
        assert direct.server(A1).connections == connections
        assert len(direct.server(A1).messages) == (2 if tlsa is FITS else 1)


def a_policy(*hosts: str, mode: StsMode = StsMode.ENFORCE) -> StsPolicy:
    return StsPolicy(mode=mode, hosts=hosts, max_age=timedelta(days=1), id="1")


class Kept(Policies):
    """A policy that is kept, and the one that the domain has by now."""

    def __init__(self, kept: StsPolicy | None, now: StsPolicy | None) -> None:
        self.kept, self.now, self.fetched = kept, now, 0

    def begin(self, domain: str) -> None:
        assert domain == "x.test"

    async def policy(self, domain: str) -> StsPolicy | None:
        assert domain == "x.test"
        return self.kept

    async def policy_now(self, domain: str) -> StsPolicy | None:
        assert domain == "x.test"
        self.fetched += 1
        return self.now


OLD = a_policy("mx.old.test")


@pytest.mark.parametrize(
    ("kept", "now", "told", "fetched"),
    [
        pytest.param(OLD, OLD, ("deferred", "mta-sts", "none", "validation-failure"), 1, id="12"),
        pytest.param(
            OLD, None, ("sent", "none", "encrypted", "certificate-not-trusted"), 1, id="12-gone"
        ),
        pytest.param(
            a_policy("*.x.test"),
            a_policy("*.x.test"),
            ("deferred", "mta-sts", "encrypted", "certificate-not-trusted"),
            1,
            id="11-bad-certificate",
        ),
        pytest.param(
            a_policy("*.x.test"),
            None,
            ("sent", "none", "encrypted", "certificate-not-trusted"),
            1,
            id="11-bad-certificate-gone",
        ),
        pytest.param(
            a_policy("mx.old.test", mode=StsMode.TESTING),
            None,
            ("sent", "mta-sts-testing", "encrypted", "certificate-not-trusted"),
            0,
            id="13",
        ),
    ],
)
async def test_a_policy_of_the_domain(
    kept: StsPolicy, now: StsPolicy | None, told: tuple[str, ...], fetched: int
) -> None:
    """T-02: before a policy stops mail, the domain is asked whether that is its policy of now."""
    policies = Kept(kept, now)
    async with a_post(zones(), policies=policies) as direct:
        *_, last = await sent(direct)
        assert (last["event"], *seen(last)[2:]) == told
        assert policies.fetched == fetched


async def test_what_fails_for_one_domains_policy_stops_no_other() -> None:
    """The address is not taken for dead, nor the hosts for down."""
    found = zones(Authentic([WRONG])) | zones(Authentic([WRONG]), domain="y.test")
    found["x.test"] = {"MX": Authentic(["10 mx1.x.test."])}
    async with a_post(found, tls_policy=(("y.test", OperatorTls.OPPORTUNISTIC),)) as direct:
        assert [told["event"] for told in await sent(direct)] == ["deferred"]
        assert (A1, PORT) not in direct.parts.sites.dead_hosts
        (told,) = await sent(direct, "a@y.test")
        assert seen(told)[:2] == ("sent", "mx1.x.test")


async def counted(direct: Direct) -> dict[tuple[str, ...], int]:
    """Return what a TLS report would say of today: policy, its domain, what failed, at which host."""
    assert direct.parts.tally is not None
    await direct.parts.tally.flush()
    found = direct.post.view.trust.tls_counts(direct.post.clock.now().date())
    return {
        (str(one.policy.kind), one.policy.domain, one.result, one.host): count
        for one, count in found.items()
    }


NOT_TRUSTED = "certificate-not-trusted"


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        pytest.param(
            {"zones": zones(Authentic([FITS]))}, {("tlsa", "mx1.x.test", "", ""): 1}, id="opened"
        ),
        pytest.param(
            {"zones": zones(Authentic([WRONG]))},
            {
                ("tlsa", "mx1.x.test", "validation-failure", "mx1.x.test"): 1,
                ("no-policy-found", "x.test", NOT_TRUSTED, "mx2.x.test"): 1,
            },
            id="failed",
        ),
        pytest.param(
            {"zones": zones(SERVFAIL), "dns_timeout": 0.5},
            {
                ("tlsa", "mx1.x.test", "dnssec-invalid", "mx1.x.test"): 1,
                ("no-policy-found", "x.test", NOT_TRUSTED, "mx2.x.test"): 1,
            },
            id="passed-over",
        ),
        pytest.param(
            {
                "zones": zones()
                | {
                    "mx1.x.test": ALIAS,
                    "real.y.test": secure(A=[A1]),
                    f"_{PORT}._tcp.real.y.test": {"TLSA": SERVFAIL},
                },
                "dns_timeout": 0.5,
            },
            {
                ("tlsa", "real.y.test", "dnssec-invalid", "mx1.x.test"): 1,
                ("no-policy-found", "x.test", NOT_TRUSTED, "mx2.x.test"): 1,
            },
            id="passed-over-below-another-name",
        ),
        pytest.param(
            {"zones": zones(), "policies": Kept(a_policy("*.x.test"), None)},
            {
                ("sts", "x.test", NOT_TRUSTED, "mx1.x.test"): 1,
                ("no-policy-found", "x.test", NOT_TRUSTED, "mx1.x.test"): 1,
            },
            id="asked-again",
        ),
        pytest.param(
            {"zones": zones(), "tls_policy": (("x.test", OperatorTls.REQUIRED),)}, {}, id="operator"
        ),
        pytest.param({"zones": zones(), "tls": TlsMode.OFF}, {}, id="off"),
    ],
)
async def test_what_is_counted_for_tls_reports(
    more: dict[str, Any], expected: dict[tuple[str, ...], int]
) -> None:
    async with a_post(**more) as direct:
        *_, told = await sent(direct)
        assert told["event"] == "sent"
        assert await counted(direct) == expected


async def test_a_session_is_counted_once_however_many_mails_it_carries() -> None:
    async with a_post(zones(Authentic([FITS]))) as direct:
        for number in range(3):
            (told,) = await sent(direct, f"{number}@x.test")
            assert told["event"] == "sent"
        assert direct.server(A1).connections == 1
        assert list((await counted(direct)).values()) == [1]


@pytest.mark.parametrize("entry", [(), (("x.test", OperatorTls.DANE),)])
@pytest.mark.parametrize("lifts_tls", [True, False])
async def test_what_lifts_the_policies_is_not_counted(entry: Any, *, lifts_tls: bool) -> None:
    """As reports do: there is no report about reports."""
    async with a_post(zones(), tls_policy=entry) as direct:
        await sent(direct, lifts_tls=lifts_tls)
        assert (await counted(direct) == {}) is lifts_tls


class NoStore(Kept):
    async def policy(self, domain: str) -> StsPolicy | None:  # noqa: ARG002
        raise StoreUnavailable("the disk is gone")


async def test_without_the_store_nobody_knows_the_policy() -> None:
    """An uncounted wait; an empty memory must not be a way around a policy."""
    async with a_post(zones(), policies=NoStore(None, None)) as direct:
        await direct.send("a@x.test")
        await direct.post.quiet()
        assert not direct.server(A1).connections
        assert {row.status for row in direct.post.rows()} <= {Status.QUEUED, Status.DEFERRED}


def two_names(*tlsa: Any) -> dict[str, Any]:
    """Two hosts of one domain at one address, each with TLSA records of its own."""
    found: dict[str, Any] = {"x.test": {"MX": Authentic(["10 mx1.x.test.", "20 mx2.x.test."])}}
    for name, records in zip(("mx1.x.test", "mx2.x.test"), tlsa, strict=True):
        found |= {name: secure(A=[A1]), f"_{PORT}._tcp.{name}": {"TLSA": records}}
    return found


async def test_an_address_whose_first_name_fails_a_policy_is_asked_by_its_second() -> None:
    async with a_post(two_names(Authentic([WRONG]), Authentic([FITS]))) as direct:
        first, then = await sent(direct)
        assert seen(first)[:3] == ("attempted", "mx1.x.test", "dane")
        assert seen(then)[:4] == ("sent", "mx2.x.test", "dane", "dane-ee")


async def test_a_name_that_nobody_may_connect_to_does_not_hide_the_other() -> None:
    async with a_post(two_names(SERVFAIL, Authentic([FITS])), dns_timeout=0.5) as direct:
        first, then = await sent(direct)
        assert seen(first)[:2] == ("attempted", "mx1.x.test")
        assert seen(then)[:4] == ("sent", "mx2.x.test", "dane", "dane-ee")


async def test_no_name_of_an_address_is_asked_twice() -> None:
    async with a_post(two_names(Authentic([WRONG]), Authentic([WRONG]))) as direct:
        told = await sent(direct)
        assert [each["remote_host"] for each in told] == ["mx1.x.test", "mx2.x.test"]
        assert told[-1]["event"] == "deferred"
        assert direct.server(A1).connections == 2
