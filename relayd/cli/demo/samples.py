"""What `relayd demo` sends in each of the two modes, and how the world outside answers it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from relayd.cli.demo.servers import HANG_UP

SENDER = "app@shop.test"

Answers = dict[str, list[str]]  # by recipient; the last one repeats
Zones = Mapping[str, Mapping[str, Sequence[str]]]  # records by name and type


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One mail."""

    subject: str
    recipients: tuple[str, ...]
    size: int = 300
    tag: str = ""
    is_test: bool = False


SMARTHOST_SAMPLES = (
    Sample(subject="an order confirmation", recipients=("anna@shop.test",), tag="order-1001"),
    Sample(subject="the same to three", recipients=("bert@a.test", "carla@b.test", "dora@c.test")),
    Sample(subject="to an address that does not exist", recipients=("nobody@shop.test",)),
    Sample(subject="one good address, one bad", recipients=("emil@a.test", "typo@a.test")),
    Sample(subject="to a full inbox", recipients=("full@b.test",)),
    Sample(subject="to an inbox that has room again", recipients=("busy@b.test",)),
    Sample(subject="BUY NOW!!!", recipients=("strict@c.test",)),
    Sample(subject="from a blocked address", recipients=("blocklist@c.test",)),
    Sample(subject="to a greylisting server", recipients=("grey@c.test",)),
    Sample(subject="the line drops after the dot", recipients=("unsure@d.test",)),
    Sample(subject="to a server that has a bad day", recipients=("tired@d.test",)),
    Sample(subject="a large one", recipients=("frieda@a.test",), size=60_000),
    Sample(subject="too large for the relay", recipients=("greta@a.test",), size=150_000),
)
SMARTHOST_RCPT: Answers = {
    "nobody@shop.test": ["550 5.1.1 No such user here"],
    "typo@a.test": ["550 5.1.1 User unknown"],
    "full@b.test": ["452 4.2.2 Mailbox full"],
    "busy@b.test": ["452 4.2.2 Mailbox over quota", "250 2.1.5 OK"],
    "blocklist@c.test": ["554 5.7.1 Client host blocked using a DNS blocklist"],
    "grey@c.test": ["451 4.7.1 Greylisted, please try again in 1 second", "250 2.1.5 OK"],
    "tired@d.test": ["451 4.3.0 Temporary system problem"],
}
SMARTHOST_DOT: Answers = {
    "strict@c.test": ["550 5.7.1 Message rejected as spam"],
    "unsure@d.test": [HANG_UP, "250 2.0.0 OK, taken"],
}

DIRECT_SAMPLES = (
    Sample(subject="an order confirmation", recipients=("hanna@mill.test",), tag="order-1002"),
    Sample(subject="to an address that does not exist", recipients=("nobody@mill.test",)),
    Sample(subject="to a domain that does not exist", recipients=("ida@nowhere.test",)),
    Sample(subject="to a domain that takes no mail", recipients=("jan@nomail.test",)),
    Sample(subject="to a full inbox", recipients=("full@mill.test",)),
    Sample(subject="BUY NOW!!!", recipients=("strict@fort.test",)),
    Sample(subject="to a greylisting server", recipients=("grey@fort.test",)),
    Sample(subject="past a dead server to its backup", recipients=("karl@pair.test",)),
    Sample(subject="to a dead server", recipients=("lena@dead.test",)),
    Sample(subject="to a proxy that bounces later", recipients=("nora@proxy.test",)),
    Sample(subject="a test mail: by the smarthost", recipients=("max@mill.test",), is_test=True),
)
DIRECT_RCPT: Answers = {
    "nobody@mill.test": ["550 5.1.1 No such user here"],
    "full@mill.test": ["452 4.2.2 Mailbox full"],
    "grey@fort.test": ["451 4.7.1 Greylisted, please try again in 1 second", "250 2.1.5 OK"],
}
DIRECT_DOT: Answers = {"strict@fort.test": ["550 5.7.1 Message rejected as spam"]}

DIRECT_LATE = frozenset({"nora@proxy.test"})
RETURN_DOMAIN = "return.shop.test"

MAIL_HOSTS = (
    ("mx.mill.test", "127.0.0.2"),
    ("mx.fort.test", "127.0.0.3"),
    ("backup.pair.test", "127.0.0.4"),
    ("mx.proxy.test", "127.0.0.6"),
)
DEAD_HOST = "127.0.0.5"  # nobody listens there
ZONES: Zones = {
    "shop.test": {"MX": ["10 mx.mill.test."]},  # the sender's: reports go there
    "mill.test": {"MX": ["10 mx.mill.test."]},
    "fort.test": {"MX": ["10 mx.fort.test."]},
    "pair.test": {"MX": ["10 mx.dead.test.", "20 backup.pair.test."]},
    "dead.test": {"MX": ["10 mx.dead.test."]},
    "proxy.test": {"MX": ["10 mx.proxy.test."]},
    "nomail.test": {"MX": ["0 ."]},  # null MX, RFC 7505
    "mx.dead.test": {"A": [DEAD_HOST]},
    **{name: {"A": [host]} for name, host in MAIL_HOSTS},
}


def asynchronous_bounce(address: str) -> str:
    """Return what a server mails that accepted mail for `address` and could not deliver it (RFC 3464)."""
    return f"""\
From: Mail Delivery System <mailer-daemon@mx.proxy.test>
Subject: Undelivered mail
MIME-Version: 1.0
Content-Type: multipart/report; report-type=delivery-status; boundary="cut"

--cut
Content-Type: text/plain

Your message could not be delivered.

--cut
Content-Type: message/delivery-status

Reporting-MTA: dns; mx.proxy.test

Final-Recipient: rfc822; {address}
Action: failed
Status: 5.1.1
Diagnostic-Code: smtp; 550 5.1.1 No such user behind the proxy

--cut--
"""
