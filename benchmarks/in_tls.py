"""TLS on both sides of a relay: STARTTLS for the client, and at the next hop.

The certificates are of one authority that nobody knows, with keys on P-256. Outward all do
opportunistic TLS, relayd by default, Postfix as Debian's package sets it up.
"""

import subprocess
import sys
from pathlib import Path

import trustme

from benchmarks.load import Address, Sink
from benchmarks.peers import Postfix, Relay, Relayd

_HERE = Path(__file__).parent
_RELAYD = """
[tls]
certificate = "{pair}"
key = "{pair}"
"""


class Pairs:
    """The certificates of a round, in a folder of their own that other users can read."""

    def __init__(self, folder: Path) -> None:
        folder.chmod(0o755)
        (hop := folder / "hop").mkdir()
        authority = trustme.CA()
        self._relay = folder / "relay.pem"
        for file, name in ((hop / "0.pem", "sink.bench.test"), (self._relay, "relay.bench.test")):
            issued = authority.issue_cert(name)
            file.write_bytes(issued.private_key_and_cert_chain_pem.bytes())
            file.chmod(0o600)
        self._hop = hop

    def sink(self, port: int, host: str) -> Sink:
        command = [sys.executable, str(_HERE / "tls_sink.py"), str(self._hop), f"{host}:{port}"]
        return Sink(port, host=host, command=command)

    def set_up(self, relay: Relay) -> None:
        """Have a relay that has not started offer TLS, and take what the next hop offers."""
        if isinstance(relay, Relayd):
            relay.listener += 'tls = "starttls"'
            relay.more += _RELAYD.format(pair=self._relay)
        elif isinstance(relay, Postfix):
            relay.more = {
                "smtpd_tls_security_level": "may",
                "smtpd_tls_chain_files": self._relay,
                "smtp_tls_security_level": "may",
                "smtp_tls_session_cache_database": "btree:${data_directory}/smtp_scache",
            }
        else:
            raise SystemExit(f"{relay.name} has no set-up with TLS here")


def submit(to: Address, *, messages: int, size: int, sessions: int, kept: bool) -> None:
    """Send messages in TLS, by kept connections or a new one for each."""
    numbers = map(str, (sessions, messages, size))
    command = [sys.executable, str(_HERE / "tls_source.py"), f"{to[0]}:{to[1]}", *numbers]
    subprocess.run([*command, "kept" if kept else "new"], check=True)
