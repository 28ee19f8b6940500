"""DANE by vectors that nobody here wrote, OpenSSL's own, and by the word of a resolver that validates: unbound."""

import asyncio
import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from datetime import timedelta
from ipaddress import ip_network
from pathlib import Path

import pytest
import pytest_asyncio
import trustme

from relayd.deliverer.trust import Judged, Trust
from relayd.mail.attempt import RouteKind
from relayd.mail.tls_result import Proof, TlsProof, TlsResultType
from relayd.net.dns.resolver import DnsResolver
from relayd.net.smtp.client import Connection, SessionFailed, Target, connect
from relayd.net.trust_anchor import check_anchor
from relayd.policy.delivery.mx import Candidates, HostPlan, MxRules, choose, plan_hosts
from relayd.policy.tls.dane import match
from relayd.policy.tls.ladder import Level, Requirement
from relayd.policy.tls.require import HostRefused
from relayd.settings import HostPort, TlsMode
from tests.support.certificates import shown_with
from tests.support.clock import FakeClock
from tests.support.danetest import NotToBeHad, Vector, fetch, read_vectors
from tests.support.direct import SETTINGS
from tests.support.next_hop import PATIENT, shared_contexts
from tests.support.scripted_server import ScriptedServer
from tests.support.unbound import PROGRAM, validating

pytestmark = pytest.mark.interop

ROOT = Path(__file__).parents[2]
NAME = "example.com"  # that all chains are judged for
OF_MAIL = (*range(1, 23), *range(43, 55))  # 23 to 42 are about usages 0 and 1
NAMES_COUNT = {54}  # OpenSSL may look at names under usage 3, SMTP must not (RFC 7672 §3.1.1)


@pytest.fixture(scope="module")
def vectors(tmp_path_factory: pytest.TempPathFactory) -> Mapping[int, Vector]:
    try:
        return read_vectors(fetch(tmp_path_factory.mktemp("openssl")))
    except NotToBeHad as why:
        pytest.skip(f"no source of OpenSSL to read vectors from: {why}")


@pytest.mark.parametrize("number", OF_MAIL)
def test_a_chain_fits_its_records_as_openssl_says(
    number: int, vectors: Mapping[int, Vector]
) -> None:
    vector = vectors[number]
    usable = tuple(record for record in vector.records if record.is_usable)
    assert usable
    asked = Requirement(level=Level.DANE, records=usable, base=NAME, names=(NAME,))
    found = match(vector.chain, asked, check_anchor)
    assert isinstance(found, Proof) == (vector.is_good or number in NAMES_COUNT)


def test_the_others_have_no_record_for_mail(vectors: Mapping[int, Vector]) -> None:
    others = [vector for number, vector in vectors.items() if number not in OF_MAIL]
    assert len(others) == 20
    assert not any(record.is_usable for vector in others for record in vector.records)


HOSTS = ("mx.signed.test", "wrong.signed.test")
SHOWN, OWN = shown_with(trustme.CA(), *HOSTS)
GOOD, WRONG = f"3 0 1 {hashlib.sha256(OWN).hexdigest()}", f"3 1 1 {'ab' * 32}"
SIGNED = f"""
@ MX 10 mx
mx A 127.0.0.1
_25._tcp.mx TLSA {GOOD}
wrong MX 10 wrong
wrong A 127.0.0.1
_25._tcp.wrong TLSA {WRONG}
both MX 10 both
both A 127.0.0.1
_25._tcp.both TLSA {WRONG}
_25._tcp.both TLSA {GOOD}
none MX 10 none
none A 127.0.0.1
pkix MX 10 pkix
pkix A 127.0.0.1
_25._tcp.pkix TLSA 1 1 1 {"ab" * 32}
alias MX 10 mailname
mailname CNAME mx
away MX 10 elsewhere
elsewhere CNAME mx.plain.test.
_25._tcp.elsewhere TLSA {GOOD}
outside MX 10 mx.plain.test.
bare A 127.0.0.1
_25._tcp.bare TLSA {GOOD}
lost MX 10 mx.bogus.test.
"""
PLAIN = f"""
@ MX 10 mx.signed.test.
own MX 10 mx
mx A 127.0.0.1
_25._tcp.mx TLSA {GOOD}
"""
BOGUS = f"""
mx A 127.0.0.1
_25._tcp.mx TLSA {GOOD}
"""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def endpoint() -> AsyncIterator[HostPort]:
    if not PROGRAM.exists():
        pytest.skip("no unbound here")
    async with validating(
        {"signed.test": SIGNED}, {"plain.test": PLAIN}, bogus={"bogus.test": BOGUS}
    ) as found:
        yield found


async def judged(endpoint: HostPort, domain: str) -> tuple[str, Judged]:
    """What the one host of a domain has to show, as a delivery finds it."""
    resolver = DnsResolver(nameservers=(endpoint,), timeout=timedelta(seconds=5), clock=FakeClock())
    rules = MxRules(
        own_names=frozenset(),
        own_addresses=frozenset(),
        allow_networks=(ip_network("127.0.0.0/8"),),
    )
    plan = plan_hosts(domain, await resolver.mx(domain), rules, chance=lambda: 0.0)
    assert isinstance(plan, HostPlan)
    found = {host.name: await resolver.addresses(host.name) for host in plan.hosts}
    chosen = choose(plan, found, rules)
    assert isinstance(chosen, Candidates)
    trust = Trust(replace(SETTINGS, port=25, tls=TlsMode.OPPORTUNISTIC), resolver).of(domain)
    return chosen.candidates[0].host, await trust.judge(chosen.candidates[0], chosen)


# The row of table A, and what a session with the host comes to; the situations are those of Exim's tests
# (5840-DANE-OpenSSL), of havedane.net's three domains (good, wrong, none) and of danefail.org's list.
SITUATIONS = {
    "good": ("signed.test", 6, TlsProof.DANE_EE),
    "wrong": ("wrong.signed.test", 6, None),
    "one-of-two-fits": ("both.signed.test", 6, TlsProof.DANE_EE),
    "none": ("none.signed.test", 14, TlsProof.ENCRYPTED),
    "no-usage-for-mail": ("pkix.signed.test", 9, TlsProof.ENCRYPTED),
    "alias": ("alias.signed.test", 6, TlsProof.DANE_EE),
    "secure-alias-of-an-insecure-host": ("away.signed.test", 6, TlsProof.DANE_EE),
    "insecure-host": ("outside.signed.test", 14, TlsProof.ENCRYPTED),
    "insecure-mx-of-a-secure-host": ("plain.test", 8, TlsProof.DANE_EE),
    "insecure-all": ("own.plain.test", 14, TlsProof.ENCRYPTED),
    "no-mx": ("bare.signed.test", 6, TlsProof.DANE_EE),
    "forged-record": ("lost.signed.test", 5, None),
}


@pytest.mark.parametrize(("domain", "row", "proof"), SITUATIONS.values(), ids=SITUATIONS)
@pytest.mark.asyncio(loop_scope="module")
async def test_a_situation(
    domain: str, row: int, proof: TlsProof | None, endpoint: HostPort
) -> None:
    host, found = await judged(endpoint, domain)
    assert found.requirement.row == row
    if isinstance(found.requirement, HostRefused):
        assert proof is None
        assert found.requirement.result is TlsResultType.DNSSEC_INVALID
        return
    async with ScriptedServer(tls=SHOWN) as server:
        target = Target(
            route=RouteKind.DIRECT,
            host=host,
            ip="127.0.0.1",
            port=server.port,
            requirement=found.requirement,
            login=None,
        )

        async def reach() -> Connection:
            return await connect(
                target,
                helo="relay.test",
                timers=PATIENT,
                tls=shared_contexts(),
                clock=FakeClock(),
            )

        if proof is None:
            with pytest.raises(SessionFailed, match="dane-no-match"):
                await reach()
        else:
            connection = await reach()
            assert connection.proof.kind is proof
            await connection.quit()


# What Postfix says of the same hosts, with its own resolver library and its own DANE.
WORDS = {
    (6, TlsProof.DANE_EE): "Verified",
    (8, TlsProof.DANE_EE): "Trusted",  # its word for secure records behind an insecure MX answer
    (6, None): "Untrusted",
    (5, None): "TLSA lookup error",
    (9, TlsProof.ENCRYPTED): "Untrusted",
    (14, TlsProof.ENCRYPTED): "Untrusted",
}
_IN_A_NETWORK_OF_ITS_OWN = """
ip link set lo up && mount --bind "$1" /etc/resolv.conf &&
exec "$2" -c "import asyncio; from tests.interop.test_dane import ask; asyncio.run(ask())"
"""


async def ask() -> None:
    """Print a JSON object: for each situation what posttls-finger says. Its ports are fixed: 53 and 25."""
    told = {}
    zones = {"signed.test": SIGNED}, {"plain.test": PLAIN}
    async with (
        validating(*zones, bogus={"bogus.test": BOGUS}, port=53),
        ScriptedServer(tls=SHOWN, host="127.0.0.1", port=25),
    ):
        for name, (domain, _, _) in SITUATIONS.items():
            process = await asyncio.create_subprocess_exec(
                *("posttls-finger", "-l", "dane", "-c", domain),
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.STDOUT,
            )
            out, _ = await process.communicate()
            told[name] = out.decode(errors="replace")
    print(json.dumps(told))


def test_posttls_finger_agrees(tmp_path: Path) -> None:
    """Postfix as a second opinion, in a network namespace of its own."""
    if shutil.which("posttls-finger") is None or not PROGRAM.exists() or os.geteuid():
        pytest.skip("needs posttls-finger, unbound, and root for a network of its own")
    (tmp_path / "resolv.conf").write_text("nameserver 127.0.0.1\noptions trust-ad\n")
    ran = subprocess.run(
        [
            *("unshare", "-mn", "sh", "-c", _IN_A_NETWORK_OF_ITS_OWN, "sh"),
            *(str(tmp_path / "resolv.conf"), sys.executable),
        ],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    if "unshare failed" in ran.stderr or "Operation not permitted" in ran.stderr:
        pytest.skip(f"no network of its own: {ran.stderr.strip()}")
    assert ran.returncode == 0, ran.stderr
    told = json.loads(ran.stdout.splitlines()[-1])
    expected = {name: WORDS[row, proof] for name, (_, row, proof) in SITUATIONS.items()}
    found = {
        name: next(
            (
                word
                for word in sorted(set(WORDS.values()))
                if f": {word} TLS" in text or f": {word} for" in text
            ),
            text,
        )
        for name, text in told.items()
    }
    assert found == expected
