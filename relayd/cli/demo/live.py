"""`relayd demo --console`: the console beside a relay of the demo, and mail that goes on until ^C.

Owns the process of the console and its one account, of which nothing is left afterwards.
"""

import itertools
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from relayd.accounts.passwords import hash_password
from relayd.cli.demo.relay import Relay, wait_until_ready
from relayd.cli.demo.samples import Sample
from relayd.control import client
from relayd.control.people import NewAccount, add_account_to_json
from relayd.errors import StartError
from relayd.policy.console.roles import Role

CONSOLE = """\
[console]
address = "127.0.0.1:{port}"
"""
_NAME = "demo"
_START_TIMEOUT = 20.0  # seconds
_EVERY = 1.0  # seconds from one mail to the next


@dataclass(frozen=True, slots=True)
class Entrance:
    """Where the console is, and who may log in."""

    url: str
    name: str
    password: str


@contextmanager
def console_beside(relay: Relay, port: int, *, name: str = _NAME) -> Iterator[Entrance]:
    """Run the console of a relay, with an account of that name, once both are ready: they start at the same time.

    Raises StartError, with what the console said.
    """
    command = (sys.executable, "-m", "relayd", "console", "-c", str(relay.folder / "relayd.toml"))
    said = relay.folder / "console.log"
    with said.open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)  # noqa: S603 -- ourselves
    try:
        entrance = Entrance(f"http://127.0.0.1:{port}/", name, secrets.token_urlsafe(12))
        account = NewAccount(
            name=name,
            role=Role.ADMIN,
            reads_content=True,
            password_hash=hash_password(entrance.password),
        )
        wait_until_ready(relay)
        client.ask(str(relay.folder / "control.sock"), add_account_to_json(account))
        if not _listens(process, port):
            raise StartError(said.read_text(errors="replace").strip()[-500:])
        yield entrance
    finally:
        process.terminate()
        process.wait()


def _listens(process: "subprocess.Popen[bytes]", port: int) -> bool:
    """Wait until the console takes connections; False: it ended, or takes too long."""
    deadline = time.monotonic() + _START_TIMEOUT
    while time.monotonic() < deadline and process.poll() is None:
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return True
        time.sleep(0.05)
    return False


def keep_sending(relay: Relay, send: Callable[[Sample], None]) -> None:
    """Send the samples of a relay again and again, until SIGINT or SIGTERM."""
    with suppress(KeyboardInterrupt):
        for sample in itertools.cycle(relay.mails):
            time.sleep(_EVERY)
            send(sample)


@contextmanager
def ended_by_sigterm() -> Iterator[None]:
    """Have SIGTERM end the block as ^C does, so that no process stays behind."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
