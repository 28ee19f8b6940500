"""`relayd demo`: the whole relay in a few seconds, without settings and without leaving loopback.

Starts the real daemon twice, each on a temporary queue: in front of a scripted smarthost, and with
`use_remote_smtp = true` among scripted mail servers and a name server. Sends sample mails to both,
waits until each has its status, and prints the tables that `relayd status` prints. What is sent and
answered is in `samples`; `relay` runs one daemon. With `--console` the second daemon alone is
started, with a console beside it (`live`). With `--trust` it is another one, among domains that say
what TLS they ask for (`trust`).
"""

import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from datetime import timedelta
from pathlib import Path

import click

from relayd.answers.recipients import fields, find_rows
from relayd.cli.context import now
from relayd.cli.demo import samples
from relayd.cli.demo.relay import Relay, free_port, running, submit, wait_until_ready
from relayd.cli.demo.samples import Sample
from relayd.cli.demo.servers import DemoServer, Script, mail_servers
from relayd.cli.demo.waiting import wait_for_mail
from relayd.cli.listing import show_recipients
from relayd.cli.output import show_json
from relayd.cli.table import USUAL
from relayd.ports.view import Query, QueueView, RecipientRow, Status
from relayd.store import open_view

_SOON = timedelta(minutes=1)  # what is due later is not waited for

_SETTINGS = """\
fqdn = "relay.demo.test"
workers = 2
use_remote_smtp = {direct}
[limits]
message_size = "100KB"
[smarthost]
hosts = ["127.0.0.1:{smarthost}"]
tls = "off"
[retry]
soft_bounce = ["1s"]
unknown_outcome = ["1s"]
unreachable = {unreachable}
"""
_DIRECT = """\
[direct]
port = {mx}
tls = "off"
allow_networks = ["127.0.0.0/8"]
[dns]
nameservers = ["127.0.0.1:{dns}"]
[bounces]
verp_domain = "{return_domain}"
"""


@click.command()
@click.option("--json", "as_json", is_flag=True, help="One JSON object per recipient.")
@click.option("--console", "in_browser", is_flag=True, help="Show it in a browser, until ^C.")
@click.option("--trust", is_flag=True, help="Show what mail hosts have to show: DANE, MTA-STS.")
def demo(*, as_json: bool, in_browser: bool, trust: bool) -> None:
    """Start a relay on a temporary queue, send sample mail, and show what became of it.

    The mail goes through a smarthost first, then directly to the recipients' servers. All of these
    are scripted, on loopback: nothing leaves this machine. --console sends directly only, prints the address of the
    console with a name and a password, and goes on sending until ^C. --trust sends directly to a domain for
    each row of table A of docs/tls.md, and shows which of them got the mail.
    """
    if in_browser and (as_json or trust):
        other = "--json" if as_json else "--trust"
        raise click.UsageError(f"{other} and --console exclude each other.")
    if trust:
        from relayd.cli.demo.trust import show_trust  # noqa: PLC0415 -- brings cryptography

        show_trust(as_json=as_json)
        return
    if in_browser:
        _show_console()
        return
    say = _silent if as_json else click.echo
    began = time.monotonic()
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="relayd-demo-"))
        relays = [stack.enter_context(part(Path(folder))) for part in (_smarthost, _direct)]
        for relay in relays:
            wait_until_ready(relay)
            say(f"{relay.title}: relayd on 127.0.0.1:{relay.port}")
            for sample in relay.mails:
                say(f"  sending {sample.subject}: {_send(sample, relay)}")
        views = [stack.enter_context(closing(open_view(relay.store))) for relay in relays]
        wait_for_mail(views, _happens_soon, is_shown=not as_json)
        for relay in relays:
            for path, address in relay.script.taken_late:
                say(f"  mail for {address} comes back late: {_give_back(path, address, relay)}")
        wait_for_mail(views, _happens_soon, is_shown=not as_json)
        for relay, view in zip(relays, views, strict=True):
            _show(view, relay.title, as_json=as_json)
        for relay in relays:  # all at once; each is waited for on the way out
            relay.process.terminate()
    say(f"\n{time.monotonic() - began:.1f} s. The same table for your own mail: relayd status")
    say("One message with every attempt: relayd status show ID. The addresses: relayd addresses")


def _show_console() -> None:
    """Run a relay with a console until ^C or SIGTERM."""
    from relayd.cli.demo import live  # noqa: PLC0415 -- brings argon2

    with tempfile.TemporaryDirectory(prefix="relayd-demo-") as folder, live.ended_by_sigterm():
        port = free_port()
        with (
            _direct(Path(folder), live.CONSOLE.format(port=port)) as relay,
            live.console_beside(relay, port) as entrance,
        ):
            for sample in relay.mails:
                _send(sample, relay)
            click.echo(f"The console is at {entrance.url}")
            click.echo(f"Log in as {entrance.name} with the password {entrance.password}")
            click.echo("Sample mail goes on, one message a second. ^C ends it all.")
            live.keep_sending(relay, lambda sample: _send_and_give_back(sample, relay))


def _send_and_give_back(sample: Sample, relay: Relay) -> None:
    """Submit one mail; return what has come to a server that bounces later."""
    _send(sample, relay)
    while relay.script.taken_late:
        path, address = relay.script.taken_late.pop()
        _give_back(path, address, relay)


def _silent(line: str) -> None:
    """Say nothing: the output is for a program."""


@contextmanager
def _smarthost(folder: Path) -> Iterator[Relay]:
    """A relay with a smarthost."""
    script = Script(rcpt=samples.SMARTHOST_RCPT, dot=samples.SMARTHOST_DOT)
    title = "Through the smarthost (use_remote_smtp = false)"
    with DemoServer(script, "smarthost.demo.test") as smarthost:
        settings = _SETTINGS.format(
            direct="false", smarthost=smarthost.port, unreachable='["1s", "1h"]'
        )
        with running(
            title, samples.SMARTHOST_SAMPLES, script, folder / "smarthost", settings
        ) as relay:
            yield relay


@contextmanager
def _direct(folder: Path, more: str = "") -> Iterator[Relay]:
    """A relay that finds the recipients' own servers, with `more` settings; it has a smarthost for test mail."""
    from relayd.cli.demo.dns import DemoDns  # noqa: PLC0415 -- brings dnspython

    script = Script(rcpt=samples.DIRECT_RCPT, dot=samples.DIRECT_DOT, late=samples.DIRECT_LATE)
    title = "Direct to the recipients' servers (use_remote_smtp = true)"
    with (
        DemoServer(script, "smarthost.demo.test") as smarthost,
        DemoDns(samples.ZONES) as dns,
        mail_servers(script, samples.MAIL_HOSTS) as mx,
    ):
        settings = _SETTINGS.format(direct="true", smarthost=smarthost.port, unreachable='["1h"]')
        settings += _DIRECT.format(mx=mx, dns=dns.port, return_domain=samples.RETURN_DOMAIN)
        settings += more
        with running(title, samples.DIRECT_SAMPLES, script, folder / "direct", settings) as relay:
            yield relay


def _send(sample: Sample, relay: Relay) -> str:
    """Submit one mail as an application would; return the relay's answer."""
    lines = [
        f"Subject: {sample.subject}",
        f"From: {samples.SENDER}",
        *([f"X-Relayd-Tag: {sample.tag}"] if sample.tag else []),
        *(["X-Relayd-Test: yes"] if sample.is_test else []),
        "",
        *["A sample mail of relayd demo."] * (sample.size // 31),
        "",
    ]
    return submit(relay, samples.SENDER, sample.recipients, "\n".join(lines))


def _give_back(path: str, address: str, relay: Relay) -> str:
    """Return a mail to its VERP address, as another server does; return the relay's answer."""
    return submit(relay, "", [path], samples.asynchronous_bounce(address))


def _happens_soon(row: RecipientRow) -> bool:
    return row.leased or row.next_attempt_at is None or row.next_attempt_at < now() + _SOON


def _show(view: QueueView, title: str, *, as_json: bool) -> None:
    found = sorted(
        find_rows(view, Query(), limit=0), key=lambda row: (row.message_id, row.recipient)
    )
    if as_json:
        for row in found:
            show_json(fields(row))
        return
    mails = [row for row in found if row.reverse_path]
    click.echo(f"\n{title}\n")
    show_recipients(mails, USUAL, newest_first=False)
    counts = {status: sum(row.status is status for row in mails) for status in Status}
    summary = [f"{count} {status}" for status, count in counts.items() if count]
    reports = len(found) - len(mails)
    click.echo(f"\n{', '.join(summary)}; {reports} reports of bounces to {samples.SENDER}")
