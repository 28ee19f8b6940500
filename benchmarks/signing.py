"""DKIM: keys for relayd, and Postfix with opendkim as a peer.

relayd signs each message with an RSA and an Ed25519 key, as `relayd dkim keygen` makes them. opendkim
signs with the RSA key alone, as its package sets it up, for a milter that Postfix waits for.
"""

import shutil
import subprocess
import time
from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa

from benchmarks.mail import free_port
from benchmarks.peers import Postfix, Relay, Relayd, children

DOMAIN = "bench.test"  # of From
_RSA_BITS = 2048
_SELECTORS = ("r2026a", "e2026a")
_SETTINGS = """
[[dkim]]
domain = "{domain}"
selector = "{selector}"
key_file = "{file}"
"""
_OPENDKIM = """\
Mode s
Syslog yes
SyslogSuccess yes
Canonicalization relaxed/simple
OversignHeaders From
UserID opendkim
UMask 007
Domain {domain}
Selector {selector}
KeyFile {file}
Socket inet:{port}@127.0.0.1
PidFile {folder}/opendkim.pid
# For a key below /tmp; judged when it is read, and not with each message.
RequireSafeKeys no
"""


def settings_with_keys(folder: Path) -> str:
    """Write both keys into the folder; return the tables that name them."""
    tables = ""
    for selector, key in zip(_SELECTORS, _new_keys(), strict=True):
        file = folder / f"{selector}.pem"
        _write(file, key)
        tables += _SETTINGS.format(domain=DOMAIN, selector=selector, file=file)
    return tables


def need_signatures(relay: Relay) -> None:
    """End the benchmark if relayd sent mail that it has not signed."""
    if isinstance(relay, Relayd):
        log = (relay.folder / "status.log").read_text()
        if '"dkim":"none"' in log or f'"dkim":"d={DOMAIN} s={",".join(_SELECTORS)}"' not in log:
            raise SystemExit("relayd has not signed: its status.log says what it took")


class PostfixOpendkim(Postfix):
    name = "postfix+opendkim"

    @classmethod
    def is_installed(cls) -> bool:
        return super().is_installed() and shutil.which("opendkim") is not None

    def start(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        for parent in self.folder.parents:
            if parent.stat().st_mode & 0o005 != 0o005 and parent != Path("/"):
                parent.chmod(parent.stat().st_mode | 0o055)
        home = self.folder / "opendkim"
        home.mkdir()
        _write(home / "key.pem", _new_keys()[0])
        milter = free_port()
        settings = _OPENDKIM.format(
            domain=DOMAIN,
            selector=_SELECTORS[0],
            file=home / "key.pem",
            port=milter,
            folder=home,
        )
        (home / "opendkim.conf").write_text(settings)
        for each in (home, home / "key.pem"):
            shutil.chown(each, "opendkim", "opendkim")
        command = ["opendkim", "-f", "-x", str(home / "opendkim.conf")]
        with (home / "log").open("wb") as log:
            self._opendkim = subprocess.Popen(command, stdout=log, stderr=log)
        _wait_for(home / "opendkim.pid")
        self._milter = f"inet:127.0.0.1:{milter}"
        super().start()

    def settings(self) -> dict[str, object]:
        return super().settings() | {"smtpd_milters": self._milter}

    def stop(self) -> None:
        super().stop()
        self._opendkim.terminate()
        self._opendkim.wait()

    def processes(self) -> list[int]:
        own = self._opendkim.pid
        return [*super().processes(), own, *children(own)]


def _new_keys() -> tuple[bytes, bytes]:
    """Return an RSA and an Ed25519 key as PEM."""
    keys = (
        rsa.generate_private_key(public_exponent=65537, key_size=_RSA_BITS),
        ed25519.Ed25519PrivateKey.generate(),
    )
    pem, form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    clear = serialization.NoEncryption()
    first, second = (key.private_bytes(pem, form, clear) for key in keys)
    return first, second


def _write(file: Path, key: bytes) -> None:
    file.touch(0o600)
    file.write_bytes(key)


def _wait_for(file: Path) -> None:
    deadline = time.monotonic() + 15
    while not (file.exists() and file.read_text()):
        if time.monotonic() > deadline:
            raise SystemExit("opendkim does not start: its log says why")
        time.sleep(0.02)
