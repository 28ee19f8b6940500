"""One daemon of `relayd demo`: how it is started, and how mail is handed to it."""

import os
import smtplib
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from relayd.cli.demo.samples import Sample
from relayd.cli.demo.servers import Script
from relayd.errors import StartError, StoreUnavailable
from relayd.store import open_view

_START_TIMEOUT = 20.0  # seconds

_PATHS = """\
[[listen]]
address = "127.0.0.1:{port}"
[store]
url = "sqlite:{folder}/queue.db"
[control]
socket = "{folder}/control.sock"
[status_log]
path = "{folder}/status.log"
"""


@dataclass(frozen=True, slots=True)
class Relay:
    """A daemon of the demo: what it is sent, and where it is."""

    title: str
    mails: Sequence[Sample]
    folder: Path
    port: int
    process: "subprocess.Popen[bytes]"
    script: Script  # of the servers around it

    @property
    def store(self) -> str:
        return f"sqlite:{self.folder}/queue.db"

    @property
    def last_words(self) -> str:
        """The end of its operational log."""
        return (self.folder / "daemon.log").read_text(errors="replace")[-2000:]


@contextmanager
def running(
    title: str,
    mails: Sequence[Sample],
    script: Script,
    folder: Path,
    settings: str,
    environment: Mapping[str, str] | None = None,
) -> Iterator[Relay]:
    """Run `relayd serve` on a free port for the length of the block; it may not be ready yet.

    `environment` is what it has more than this process.
    """
    folder.mkdir(exist_ok=True)
    port = free_port()
    file = folder / "relayd.toml"
    file.write_text(settings + _PATHS.format(port=port, folder=folder))
    command: Sequence[str] = (sys.executable, "-m", "relayd", "serve", "-c", str(file))
    with (folder / "daemon.log").open("wb") as log:
        process = subprocess.Popen(  # noqa: S603 -- ourselves
            command, stdout=log, stderr=log, env={**os.environ, **(environment or {})}
        )
    try:
        yield Relay(title, mails, folder, port, process, script)
    finally:
        process.terminate()
        process.wait()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_until_ready(relay: Relay) -> None:
    """Return once the daemon greets. Raises StartError, with the end of its log."""
    deadline = time.monotonic() + _START_TIMEOUT
    while time.monotonic() < deadline and relay.process.poll() is None:
        try:
            open_view(relay.store).close()
            with socket.create_connection(
                ("127.0.0.1", relay.port), timeout=_START_TIMEOUT
            ) as probe:
                probe.recv(100)
                return
        except (OSError, StoreUnavailable):
            time.sleep(0.05)
    raise StartError(f"the daemon did not start: {relay.last_words}")


def submit(relay: Relay, sender: str, recipients: Sequence[str], content: str) -> str:
    """Submit one mail and return the relay's answer. Raises StartError if the daemon fails."""
    try:
        with smtplib.SMTP("127.0.0.1", relay.port, local_hostname="app.shop.test") as client:
            client.ehlo()
            client.mail(sender)
            for recipient in recipients:
                client.rcpt(recipient)
            code, text = client.data(content)
        return f"{code} {text.decode(errors='replace')}"
    except (OSError, smtplib.SMTPException) as broken:
        raise StartError(f"the daemon broke off, {broken}: {relay.last_words}") from broken
