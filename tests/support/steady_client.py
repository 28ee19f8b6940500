"""A client that sends mail all the time, each over a new connection: none is refused, and none is lost.

A session that is open when relayd stops ends with 421, and the client comes again (RFC 5321 3.8).
"""

import smtplib
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

from tests.support.daemon import CEILING

_BETWEEN = 0.05  # seconds


class SteadyClient:
    """Sends from the moment on at which somebody listens; `accepted` has the recipients."""

    def __init__(self, port: int, network: AbstractContextManager[None]) -> None:
        self.accepted = list[str]()
        self._port, self._network = port, network
        self._has_begun = False
        self._enough = threading.Event()
        self._failed: OSError | None = None
        self._thread = threading.Thread(target=self._run)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Raise what a connection failed with."""
        self._enough.set()
        self._thread.join()
        if self._failed is not None:
            raise self._failed

    def _run(self) -> None:
        with self._network:
            while self._failed is None and not self._enough.wait(_BETWEEN):
                try:
                    self._send(f"u{len(self.accepted)}@example.com")
                except smtplib.SMTPException:
                    self._has_begun = True
                except OSError as error:
                    self._failed = error if self._has_begun else None

    def _send(self, address: str) -> None:
        with smtplib.SMTP("127.0.0.1", self._port, timeout=2 * CEILING) as client:
            self._has_begun = True
            client.sendmail("app@example.org", address, "Subject: x\n\nx\n")
        self.accepted.append(address)


@contextmanager
def a_steady_client(
    port: int, network: AbstractContextManager[None] | None = None
) -> Iterator[SteadyClient]:
    client = SteadyClient(port, network or nullcontext())
    client.start()
    try:
        yield client
    finally:
        client.stop()
