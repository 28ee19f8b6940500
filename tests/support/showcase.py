"""A relay with a day behind it, for pictures of the console: a history that looks like life, and mail that goes on.

with a_showcase(folder) as console:
    follow(console)                       # as `a_console`; before each page, its clock says what ours does

In direct mode, among the mail servers and the name server of `relayd demo`, under names of our own.
"""

import asyncio
import itertools
import random  # noqa: TID251 -- a story that is the same each time
import smtplib
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from pathlib import Path

from relayd.cli.demo.dns import DemoDns
from relayd.cli.demo.samples import Zones
from relayd.cli.demo.servers import DemoServer, Script, mail_servers
from relayd.config.load import load
from relayd.console.server import wall_clock
from relayd.doctor.saved import save
from tests.support.console import Console, a_console
from tests.support.daemon import Daemon, eventually
from tests.support.screenshots import FINDINGS
from tests.support.story import FULL, GONE, GREY, SPAM, mails, write_history

_HOSTS = (
    ("mx1.customer.example", "127.0.0.2"),
    ("mx.mail.example", "127.0.0.3"),
    ("mx.club.example", "127.0.0.4"),
    ("in.partner.example", "127.0.0.6"),
)
_DEAD = "127.0.0.5"  # nobody listens there
_ZONES: Zones = {
    **{name.partition(".")[2]: {"MX": [f"10 {name}."]} for name, _ in _HOSTS},
    **{name: {"A": [host]} for name, host in _HOSTS},
    "app.example": {"MX": ["10 mx1.customer.example."]},
    "away.example": {"MX": ["10 mx.away.example."]},
    "mx.away.example": {"A": [_DEAD]},
}
_SETTINGS = """\
[direct]
port = {mx}
tls = "off"
allow_networks = ["127.0.0.0/8"]
[dns]
nameservers = ["127.0.0.1:{dns}"]
[console]
address = "127.0.0.1:0"
"""
_ANSWERS = {
    "full@mail.example": [FULL.format(rcpt="full@mail.example")],
    "gone@customer.example": [GONE.format(rcpt="gone@customer.example")],
    "ines@partner.example": [GREY],
}


@contextmanager
def a_showcase(folder: Path) -> Iterator[Console]:
    """The console beside a daemon that has sent some mail."""
    asyncio.run(write_history(folder / "queue.db"))
    script = Script(rcpt=_ANSWERS, dot={"nils@club.example": [SPAM]})
    with (
        DemoServer(script, "smarthost.app.example") as smarthost,
        DemoDns(_ZONES) as dns,
        mail_servers(script, _HOSTS) as mx,
    ):
        more = _SETTINGS.format(mx=mx, dns=dns.port)
        daemon = Daemon(folder, smarthost.port, remote="true", more=more)
        text = daemon.file.read_text().replace("relay.test", "relay.example.org")
        daemon.file.write_text(text.replace('["1s"]', '["15m"]'))
        save(load(str(daemon.file)), FINDINGS, wall_clock() - timedelta(hours=2))
        try:
            daemon.up()
            with a_console(folder, beside=daemon.file) as console, _mail_goes_on(daemon):
                yield console
        finally:
            daemon.close()


def follow(console: Console) -> None:
    """Have the console's clock say what ours says."""
    console.clock.advance(max(wall_clock() - console.clock.now(), timedelta()))


@contextmanager
def _mail_goes_on(daemon: Daemon) -> Iterator[None]:
    """About two a second, some of them to a server that is down."""
    end = threading.Event()
    sent: list[str] = []

    def send() -> None:
        story = itertools.cycle(mails(random.Random(2), 200))
        while not end.wait(0.4):
            mail = next(story)
            rcpt = mail.rcpt if len(sent) % 8 else f"order{len(sent)}@away.example"
            with suppress(OSError, smtplib.SMTPException):
                sent.append(daemon.send(rcpt, sender=mail.sender))

    thread = threading.Thread(target=send)
    thread.start()
    try:
        eventually(lambda: len(sent) > 9, "mail goes")
        yield
    finally:
        end.set()
        thread.join()
