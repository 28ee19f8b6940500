"""`relayd demo`: the whole relay in a few seconds, without settings and without leaving loopback.

Starts the real daemon on a temporary queue in front of a scripted smarthost, sends a dozen sample
mails of different fates, waits until each has its status, and prints the table that
`relayd status` prints.
"""

import smtplib
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import click

from relayd.cli import rows
from relayd.cli.demo_smarthost import HANG_UP, DemoSmarthost, Script
from relayd.cli.output import show_json, show_table
from relayd.errors import StartError, StoreUnavailable
from relayd.ports import Query, QueueView, Status
from relayd.store import open_view

_SETTLE = 20.0  # seconds after which the table is shown as it is

_SETTINGS = """\
fqdn = "relay.demo.test"
workers = 2
[[listen]]
address = "127.0.0.1:{port}"
[limits]
message_size = "100KB"
[smarthost]
hosts = ["127.0.0.1:{smarthost}"]
tls = "off"
[retry]
soft_bounce = ["1s"]
unreachable = ["1s", "1h"]
[store]
url = "sqlite:{folder}/queue.db"
[control]
socket = "{folder}/control.sock"
[status_log]
path = "{folder}/status.log"
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Sample:
    subject: str
    recipients: tuple[str, ...]
    size: int = 300
    tag: str = ""


_SAMPLES = (
    _Sample(subject="an order confirmation", recipients=("anna@shop.test",), tag="order-1001"),
    _Sample(subject="the same to three", recipients=("bert@a.test", "carla@b.test", "dora@c.test")),
    _Sample(subject="to an address that does not exist", recipients=("nobody@shop.test",)),
    _Sample(subject="one good address, one bad", recipients=("emil@a.test", "typo@a.test")),
    _Sample(subject="to a full inbox", recipients=("full@b.test",)),
    _Sample(subject="to an inbox that has room again", recipients=("busy@b.test",)),
    _Sample(subject="BUY NOW!!!", recipients=("strict@c.test",)),
    _Sample(subject="from a blocked address", recipients=("blocklist@c.test",)),
    _Sample(subject="to a greylisting server", recipients=("grey@c.test",)),
    _Sample(subject="the line drops after the dot", recipients=("unsure@d.test",)),
    _Sample(subject="to a server that has a bad day", recipients=("tired@d.test",)),
    _Sample(subject="a large one", recipients=("frieda@a.test",), size=60_000),
    _Sample(subject="too large for the relay", recipients=("greta@a.test",), size=150_000),
)

_SCRIPT = {
    "nobody@shop.test": ["550 5.1.1 No such user here"],
    "typo@a.test": ["550 5.1.1 User unknown"],
    "full@b.test": ["452 4.2.2 Mailbox full"],
    "busy@b.test": ["452 4.2.2 Mailbox over quota", "250 2.1.5 OK"],
    "blocklist@c.test": ["554 5.7.1 Client host blocked using a DNS blocklist"],
    "grey@c.test": ["451 4.7.1 Greylisted, please try again in 1 second", "250 2.1.5 OK"],
    "tired@d.test": ["451 4.3.0 Temporary system problem"],
}
_SCRIPT_AT_THE_DOT = {
    "strict@c.test": ["550 5.7.1 Message rejected as spam"],
    "unsure@d.test": [HANG_UP, "250 2.0.0 OK, taken"],
}


@click.command()
@click.option("--json", "as_json", is_flag=True, help="One JSON object per recipient.")
def demo(*, as_json: bool) -> None:
    """Start a relay on a temporary queue, send sample mail, and show what became of it."""
    say = _silent if as_json else click.echo
    script = Script(
        rcpt={address: list(answers) for address, answers in _SCRIPT.items()},
        dot={address: list(answers) for address, answers in _SCRIPT_AT_THE_DOT.items()},
    )
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="relayd-demo-") as folder:
        with DemoSmarthost(script) as smarthost, _daemon(Path(folder), smarthost.port) as port:
            say(f"relayd listens on 127.0.0.1:{port}, its smarthost is a script on loopback")
            for sample in _SAMPLES:
                say(f"  sending {sample.subject}: {_send(sample, port)}")
            view = open_view(f"sqlite:{folder}/queue.db")
            _wait(view, say)
        _show(view, as_json=as_json)
        view.close()
    say(f"\n{time.monotonic() - began:.1f} s. The same table for your own mail: relayd status")
    say("One message with every attempt: relayd status show ID. The addresses: relayd addresses")


def _silent(line: str) -> None:
    """Say nothing: the output is for a program."""


def _send(sample: _Sample, port: int) -> str:
    """Submit one mail as an application would; return the relay's answer."""
    lines = [
        f"Subject: {sample.subject}",
        "From: app@shop.test",
        *([f"X-Relayd-Tag: {sample.tag}"] if sample.tag else []),
        "",
        *["A sample mail of relayd demo."] * (sample.size // 31),
        "",
    ]
    with smtplib.SMTP("127.0.0.1", port, local_hostname="app.shop.test") as client:
        client.ehlo()
        client.mail("app@shop.test")
        for recipient in sample.recipients:
            client.rcpt(recipient)
        code, text = client.data("\r\n".join(lines))
    return f"{code} {text.decode(errors='replace')}"


def _wait(view: QueueView, say: object) -> None:
    """Wait until nothing more will happen within the hour."""
    deadline = time.monotonic() + _SETTLE
    show_progress = sys.stderr.isatty() and say is click.echo
    while time.monotonic() < deadline:
        found = view.find(Query(unfinished=True), limit=100)
        open_ones = [row for row in found if row.leased or row.attempts < 2]
        if show_progress:
            click.echo(f"\r  waiting for {len(open_ones)} recipients  ", nl=False, err=True)
        if not open_ones:
            break
        time.sleep(0.1)
    if show_progress:
        click.echo("\r" + " " * 40 + "\r", nl=False, err=True)


def _show(view: QueueView, *, as_json: bool) -> None:
    found = sorted(
        rows.find_rows(view, Query(), limit=0), key=lambda row: (row.message_id, row.recipient)
    )
    if as_json:
        for row in found:
            show_json(rows.fields(row))
        return
    click.echo()
    show_table(rows.TITLES, [rows.cells(row) for row in found])
    counts = {status: sum(row.status is status for row in found) for status in Status}
    click.echo("\n" + ", ".join(f"{count} {status}" for status, count in counts.items() if count))


@contextmanager
def _daemon(folder: Path, smarthost: int) -> Iterator[int]:
    """Run `relayd serve` on a free port for the length of the block."""
    port = _free_port()
    file = folder / "relayd.toml"
    file.write_text(_SETTINGS.format(port=port, smarthost=smarthost, folder=folder))
    command: Sequence[str] = (sys.executable, "-m", "relayd", "serve", "-c", str(file))
    with (folder / "daemon.log").open("wb") as log:
        daemon = subprocess.Popen(command, stdout=log, stderr=log)  # noqa: S603 -- ourselves
    try:
        _until_ready(daemon, port, folder)
        yield port
    finally:
        daemon.terminate()
        daemon.wait()


def _until_ready(daemon: "subprocess.Popen[bytes]", port: int, folder: Path) -> None:
    deadline = time.monotonic() + _SETTLE
    while time.monotonic() < deadline and daemon.poll() is None:
        try:
            open_view(f"sqlite:{folder}/queue.db").close()
            with socket.create_connection(("127.0.0.1", port), timeout=_SETTLE) as probe:
                probe.recv(100)
                return
        except (OSError, StoreUnavailable):
            time.sleep(0.05)
    raise StartError(f"the daemon did not start: {(folder / 'daemon.log').read_text()[-500:]}")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
