"""relayd in front of real mail servers, as smarthost and as MX, in clear text and under TLS.

What they took is read from the mailbox behind them: octets and envelope are those of the client.
"""

import itertools
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from relayd.mail.ids import parse_id
from relayd.ports.view import Query, RecipientRow
from tests.support import exim, postfix
from tests.support.background import Background
from tests.support.certificates import Authority
from tests.support.daemon import Daemon, a_daemon, eventually
from tests.support.dns_server import DnsServer
from tests.support.mta import SIZE_LIMIT, Mta, a_postfix, an_exim
from tests.support.scripted_server import Message

pytestmark = pytest.mark.interop

MTAS = {"postfix": (a_postfix, postfix.why_not), "exim": (an_exim, exim.why_not)}
ZONES = {"box.test": {"MX": ["10 mx.box.test."]}, "mx.box.test": {"A": ["127.0.0.1"]}}
HEADER = b"From: <app@app.test>\r\nSubject: interop\r\nX-Odd: \t \r\n"
CONTENTS: Mapping[str, bytes] = {
    "plain": HEADER + b"\r\nHello.\r\n",
    "8-bit": HEADER + b"\r\nGr\xfc\xdfe, \xe4\xf6\xfc \x80\xff\r\n",
    "dots": HEADER + b"\r\n.\r\n..\r\n.one\r\n...three\r\n.\r\n",
    "lines of 998": HEADER + b"\r\n" + 3 * (b"x" * 998 + b"\r\n"),
    "a long line": HEADER + b"\r\n" + b"." + b"y" * 50_000 + b"\r\nshort\r\n",
    "trailing blanks": HEADER + b"\r\nblank \r\ntab\t\r\n \r\n\t\r\n\r\n\r\n",
    "controls": HEADER + b"\r\n\x01\x0b\x0c\x1b[0m\x7f\r\n",
    "1 MB": HEADER + b"\r\n" + b"".join(b"%071d\r\n" % number for number in range(14_000)),
    "empty body": HEADER + b"\r\n",
}
_numbers = itertools.count(1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Relay:
    """relayd and the server behind it."""

    daemon: Daemon
    mta: Mta
    status: str  # of mail that it took
    tls: bool

    def submit(
        self, content: bytes, *recipients: str, mail: Sequence[str] = (), rcpt: Sequence[str] = ()
    ) -> str:
        """Submit a message with these parameters; return its queue id."""
        with self.daemon.client() as client:
            client.ehlo()
            if "SMTPUTF8" in mail:
                client.command_encoding = "utf-8"
            assert client.mail("app@app.test", mail)[0] == 250
            for recipient in recipients:
                assert client.rcpt(recipient, rcpt)[0] == 250
            code, text = client.data(content)
        assert code == 250, text
        return text.decode().rpartition(" ")[2]

    def row(self, queue_id: str, status: str) -> RecipientRow:
        """Wait until the last recipient has a status."""
        query = Query(message_id=parse_id(queue_id))
        eventually(lambda: self.daemon.rows(query)[-1].status == status, f"{queue_id} is {status}")
        return self.daemon.rows(query)[-1]

    def outcome(self, queue_id: str, status: str) -> dict[str, Any]:
        """Wait until the last recipient has a status; return its last event as it is told."""
        self.row(queue_id, status)
        return self.told(queue_id)[-1]

    def told(self, queue_id: str) -> list[dict[str, Any]]:
        """The last event of each recipient."""
        rows = self.daemon.run("status", "show", queue_id, "--json").rows
        return [row["history"][-1] for row in rows]

    def received(self, recipient: str) -> Message:
        """Wait for the message in the mailbox."""

        def found() -> Sequence[Message]:
            return [
                one for one in self.mta.mailbox.messages if f"TO:<{recipient}>" in str(one.rcpts)
            ]

        [message] = eventually(found, f"mail for {recipient} in the mailbox")
        return message


def an_address(name: str = "user") -> str:
    return f"{name}{next(_numbers)}@box.test"


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module", params=MTAS)
def mta(
    request: pytest.FixtureRequest,
    authority: Authority,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Mta]:
    start, why_not = MTAS[request.param]
    if reason := why_not():
        pytest.skip(reason)
    pair = authority.write_pair(tmp_path_factory.mktemp("mta"), "127.0.0.1", "mx.box.test")
    with start(pair) as mta:
        yield mta


@pytest.fixture(
    scope="module",
    params=[(route, tls) for route in ("smarthost", "direct") for tls in ("off", "verify")],
    ids="-".join,
)
def relay(
    request: pytest.FixtureRequest,
    mta: Mta,
    authority: Authority,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Relay]:
    route, tls = request.param
    settings: dict[str, Any] = {"smarthost_tls": tls, "message_size": "5MB"}
    with Background() as background, pytest.MonkeyPatch.context() as patch:
        patch.setenv("SSL_CERT_FILE", authority.cafile)  # the authorities that the daemon trusts
        if route == "direct":
            dns = background.enter(DnsServer(ZONES))
            settings["remote"] = "true"
            settings["smarthost_more"] = (
                f'[direct]\nport = {mta.port}\ntls = "{tls}"\nallow_networks = ["127.0.0.0/8"]\n'
                f'[dns]\nnameservers = ["{dns.endpoint}"]\n'
            )
        with a_daemon(tmp_path_factory.mktemp("relayd"), mta.port, **settings) as daemon:
            status = "sent" if route == "direct" else "relayed"
            yield Relay(daemon=daemon, mta=mta, status=status, tls=tls == "verify")
            assert daemon.stop() == 0


@pytest.mark.parametrize("name", CONTENTS)
def test_it_takes_every_octet(relay: Relay, name: str) -> None:
    """Headers stand in front, and the history has what the server said."""
    content, address = CONTENTS[name], an_address()
    body = () if content.isascii() else ("BODY=8BITMIME",)
    event = relay.outcome(relay.submit(content, address, mail=body), relay.status)
    assert (event["event"], event["stage"], event["code"]) == (relay.status, "dot", 250)
    assert event["reply"].startswith(relay.mta.accepted)
    assert event["tls"].endswith("verified" if relay.tls else "none")
    came = relay.received(address).content
    assert came.endswith(content)
    in_front = came.removesuffix(content)
    assert re.fullmatch(rb"(Received: [^\r\n]+\r\n([ \t][^\r\n]+\r\n)*){2}", in_front), in_front
    assert b"by relay.test" in in_front


def test_it_takes_many_recipients_in_one_transaction(relay: Relay) -> None:
    addresses = [an_address("many") for _ in range(90)]
    queue_id = relay.submit(CONTENTS["plain"], *addresses)
    relay.outcome(queue_id, relay.status)
    replies = [event["reply"] for event in relay.told(queue_id)]
    assert len(replies) == 90
    assert len(set(replies)) == 1, "the MTA gave one id"
    assert {relay.received(address).content[-8:] for address in addresses} == {b"Hello.\r\n"}


def test_it_takes_a_utf8_address_and_header(relay: Relay) -> None:
    content = "Subject: Grüße\r\n\r\nHallo.\r\n".encode()
    address = an_address("grün")
    queue_id = relay.submit(content, address, mail=("SMTPUTF8", "BODY=8BITMIME"))
    relay.outcome(queue_id, relay.status)
    came = relay.received(address)
    assert came.content.endswith(content)
    assert "SMTPUTF8" in came.mail


RAW_HEADER = "From: <app@app.test>\r\nSubject: Bestätigung\r\n\r\nhello\r\n".encode()


@pytest.mark.parametrize("declared", [(), ("BODY=8BITMIME",)], ids=["silent", "8bitmime"])
@pytest.mark.parametrize("offers", [["8BITMIME"], []], ids=["8bitmime", "nothing"])
def test_raw_octets_in_a_header_pass_a_chain_without_smtputf8(
    authority: Authority, tmp_path: Path, offers: list[str], declared: tuple[str, ...]
) -> None:
    """S-36: Postfix asks its own next hop for what it was asked for, and bounces what is not offered."""
    if reason := postfix.why_not():
        pytest.skip(reason)
    pair = authority.write_pair(tmp_path, "127.0.0.1", "mx.box.test")
    with (
        a_postfix(pair, mailbox_offers=offers) as mta,
        a_daemon(tmp_path, mta.port) as daemon,
    ):
        relay = Relay(daemon=daemon, mta=mta, status="relayed", tls=False)
        address = an_address()
        relay.outcome(relay.submit(RAW_HEADER, address, mail=declared), "relayed")
        came = relay.received(address)
        assert came.content.endswith(RAW_HEADER)
        assert "SMTPUTF8" not in came.mail


def test_it_gets_the_dsn_parameters(relay: Relay) -> None:
    address = an_address("dsn")
    relay.submit(
        CONTENTS["plain"],
        address,
        mail=("RET=HDRS", "ENVID=Q+2B1"),
        rcpt=("NOTIFY=FAILURE,DELAY", f"ORCPT=rfc822;old+2B{address}"),
    )
    came = relay.received(address)
    assert "RET=HDRS" in came.mail
    assert "ENVID=Q+2B1" in came.mail
    [rcpt] = came.rcpts
    assert f"ORCPT=rfc822;old+2B{address}" in rcpt
    assert re.search("NOTIFY=(FAILURE,DELAY|DELAY,FAILURE)", rcpt)


def test_its_unknown_user_is_a_hard_bounce(relay: Relay) -> None:
    event = relay.outcome(relay.submit(CONTENTS["plain"], "nobody@box.test"), "bounced")
    assert (event["bounce_class"], event["category"], event["code"], event["stage"]) == (
        "hard",
        "bad_mailbox",
        550,
        "rcpt",
    )
    assert relay.mta.unknown in event["reply"]


def test_its_full_mailbox_bounces_but_the_address_is_kept(relay: Relay) -> None:
    event = relay.outcome(relay.submit(CONTENTS["plain"], "full@box.test"), "bounced")
    assert (event["category"], event["code"]) == ("mailbox_full", 552)
    assert event["bounce_class"] != "hard"
    assert not event.get("suppress")


def test_its_450_gets_one_more_attempt(relay: Relay) -> None:
    queue_id = relay.submit(CONTENTS["plain"], "busy@box.test")
    event = relay.outcome(queue_id, "bounced")
    assert (event["bounce_class"], event["code"], event["enhanced"]) == ("soft", 450, "4.2.1")
    assert event["attempt"] == 2


def test_its_refusal_by_policy_blocks(relay: Relay) -> None:
    event = relay.outcome(relay.submit(CONTENTS["plain"], "barred@box.test"), "bounced")
    assert (event["bounce_class"], event["code"]) == ("block", 554)


def test_what_is_above_its_size_blocks(relay: Relay) -> None:
    """It says its limit in EHLO, so it is not even asked."""
    content = HEADER + b"\r\n" + (SIZE_LIMIT // 50) * (b"z" * 48 + b"\r\n")
    event = relay.outcome(relay.submit(content, an_address("big")), "bounced")
    assert (event["bounce_class"], event["code"], event["enhanced"]) == ("block", 552, "5.3.4")


def test_one_refused_recipient_keeps_nobody_else_from_his_mail(relay: Relay) -> None:
    good = an_address("good")
    relay.outcome(relay.submit(CONTENTS["plain"], good, "nobody@box.test"), "bounced")
    assert relay.received(good).content.endswith(CONTENTS["plain"])


def test_it_hangs_up_after_many_errors_and_no_mail_suffers(relay: Relay) -> None:
    """Kept connections carry one refusal after the other, until Postfix says 421."""
    bad = [relay.submit(CONTENTS["plain"], "nobody@box.test") for _ in range(30)]
    good = relay.submit(CONTENTS["plain"], an_address("late"))
    assert {relay.row(each, "bounced").code for each in bad} == {550}
    assert relay.row(good, relay.status).attempts == 1
