"""What a running relay signed, verified by four programs that share no code with it: what receivers run.

Each of them also has to refuse the mail with a second Subject or From in front: who reads mail shows the first.
"""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.background import Background
from tests.support.daemon import a_daemon, a_smarthost
from tests.support.dkim import ed25519_pem, records, rsa_pem, write_key
from tests.support.dkim_verifiers import (
    KNOW_ED25519,
    VERIFIERS,
    Keys,
    Verdicts,
    quoted,
    why_not,
)
from tests.support.dns_server import DnsServer
from tests.support.real_checkers import an_rspamd_for_dkim

pytestmark = pytest.mark.interop

DOMAIN = "example.org"
RSA, ED = "r2026a", "e2026a"
HEADER = (
    b"From: App <app@news.example.org>\r\nTo: you@x.test\r\nSubject: Your invoice\r\n"
    b"Date: Sun, 01 Mar 2026 12:00:00 +0000\r\nMessage-ID: <1@example.org>\r\n"
)
UNSUBSCRIBE = (
    b"List-Unsubscribe: <https://example.org/leave?u=1>,\r\n\t<mailto:leave@example.org>\r\n"
    b"List-Unsubscribe-Post: List-Unsubscribe=One-Click\r\n"
)
ODD = (
    b"from:App \t <app@example.org>\r\nSUBJECT:  a  folded\r\n \t subject\r\nX-Odd: \t \r\n"
    b"Sender: a@example.org\r\nSender: b@example.org\r\nTo: you@x.test\r\n\t,me@x.test\r\n"
    b"Date: Sun, 01 Mar 2026 12:00:00 +0000\r\nMessage-ID:\r\n <1@example.org>\r\n"
)
CONTENTS: Mapping[str, bytes] = {
    "plain": HEADER + b"\r\nHello.\r\n",
    "empty body": HEADER + b"\r\n",
    "odd header": ODD + b"\r\nHello.\r\n",
    "blanks at the end": HEADER + b"\r\nblank \r\ntab\t\r\n \r\n\t\r\n\r\n\r\n",
    "nothing but empty lines": HEADER + b"\r\n\r\n\r\n\r\n",
    "dots": HEADER + b"\r\n.\r\n..\r\n.one\r\n...three\r\n.\r\n",
    "8-bit": HEADER + b"\r\nGr\xfc\xdfe, \xe4\xf6\xfc \x80\xff\r\n",
    "UTF-8 header": HEADER.replace(b"Your", "Größe".encode()) + b"\r\nHello.\r\n",
    "lines of 998": HEADER + b"\r\n" + 3 * (b"x" * 998 + b"\r\n"),
    "to subscribers": UNSUBSCRIBE + HEADER + b"\r\nHello.\r\n",
    "a mailing list": HEADER + b"List-Id: <a.example.org>\r\n" * 2 + b"\r\nHello.\r\n",
    "in a file": HEADER + b"\r\n" + b"".join(b"%071d\r\n" % number for number in range(14_000)),
}


FORGED = {"Subject": b"Subject: Other\r\n", "From": b"From: ceo@example.org\r\n"}


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """The mail that a relay sent, by what it was given, and where its keys are published."""

    sent: Mapping[str, bytes]
    keys: Keys

    def verdicts(self, verifier: str, content: bytes) -> Verdicts:
        """Return what a verifier says of the signatures that it can judge."""
        found = VERIFIERS[verifier](self.keys, content)
        assert set(found) == {RSA, ED}, "it saw both"
        return found if verifier in KNOW_ED25519 else {RSA: found[RSA]}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("relay")
    pems = {RSA: rsa_pem(), ED: ed25519_pem()}
    sent = _sent(folder, pems)
    published = {name.removesuffix("."): text for name, text in records(DOMAIN, **pems).items()}
    with Background() as background, ExitStack() as stack:
        zones = {name: {"TXT": [quoted(text)]} for name, text in published.items()}
        dns = background.enter(DnsServer(zones))
        rspamd = None
        if not why_not("rspamd"):
            home = tmp_path_factory.mktemp("rspamd")
            rspamd = stack.enter_context(an_rspamd_for_dkim(home, dns.endpoint))
        keys = Keys(records=published, nameserver=dns.endpoint, rspamd=rspamd, folder=folder)
        yield World(sent=sent, keys=keys)


def _sent(folder: Path, pems: Mapping[str, bytes]) -> Mapping[str, bytes]:
    """Return what a relay with these keys made of each content."""
    tables = ""
    for selector, pem in pems.items():
        file = write_key(folder / f"{selector}.pem", pem)
        tables += f'[[dkim]]\ndomain = "{DOMAIN}"\nselector = "{selector}"\nkey_file = "{file}"\n'
    with (
        a_smarthost() as smarthost,
        a_daemon(folder, smarthost.port, workers=1, more=tables) as daemon,
    ):
        sent = {}
        for number, (name, content) in enumerate(CONTENTS.items(), 1):
            daemon.send("you@x.test", content=content)
            sent[name] = smarthost.received(number)[-1].content
    return sent


@pytest.fixture(params=VERIFIERS)
def verifier(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    if reason := why_not(name):
        pytest.skip(reason)
    return name


@pytest.mark.parametrize("name", CONTENTS)
def test_both_signatures_verify(world: World, verifier: str, name: str) -> None:
    content = world.sent[name]
    assert content.startswith(b"Received: ")
    assert content.endswith(CONTENTS[name].partition(b"\r\n\r\n")[2]), "the body is as it came"
    assert set(world.verdicts(verifier, content).values()) == {"pass"}


@pytest.mark.parametrize("field", FORGED)
def test_another_one_in_front_is_refused(world: World, verifier: str, field: str) -> None:
    """Though the signed one is still there, and the lowest: it is signed once more than it is there."""
    forged = FORGED[field] + world.sent["plain"]
    for verdict in world.verdicts(verifier, forged).values():
        assert verdict.startswith("fail") or "did not verify" in verdict, verdict


def test_a_changed_body_is_refused(world: World, verifier: str) -> None:
    """So the verifiers do look."""
    changed = world.sent["plain"].replace(b"Hello.", b"Hullo.")
    assert "pass" not in world.verdicts(verifier, changed).values()


@pytest.mark.parametrize("name", ["List-Unsubscribe", "List-Unsubscribe-Post"])
def test_one_click_is_signed(world: World, verifier: str, name: str) -> None:
    """Each of its two fields (RFC 8058 §4): with another value the mail is refused, and with another in front."""
    content = world.sent["to subscribers"]
    field = f"{name}: <https://evil.test/>\r\n".encode()
    replaced = content.replace(f"\r\n{name}:".encode(), b"\r\n" + field + b"X:", 1)
    assert replaced != content
    for forged in (replaced, field + content):
        assert "pass" not in world.verdicts(verifier, forged).values()
