"""A PostgreSQL that other machines use: over TCP, with a password, and with TLS where the address is not one of loopback."""

import os
import shutil
import signal
import subprocess
from pathlib import Path

import trustme

from tests.support.daemon import eventually
from tests.support.places import Place
from tests.support.ports import free_port
from tests.support.postgres import Server

PASSWORD = "a long one"
_ACCESS = """\
local all all trust
{kind} all all {network} scram-sha-256
"""
_SETTINGS = ("max_connections=100", "shared_buffers=64MB", "autovacuum=on", "log_min_messages=log")


class TcpServer:
    """A running server, and what a relay has to know of it."""

    def __init__(self, folder: Path, place: Place) -> None:
        """`folder` gets the password and the certificate of the authority."""
        self.place = place
        self._folder = folder
        self._has_tls = not place.address.startswith("127.")
        listens = f"listen_addresses={place.address}"
        self.server = Server(*_SETTINGS, listens, prefix=place.prefix, port=free_port())
        self.password_file = folder / "store-password"
        self.password_file.touch(0o600)
        self.password_file.write_text(PASSWORD)
        self._admit()

    @property
    def url(self) -> str:
        authority = f"?sslrootcert={self._folder}/authority.pem" if self._has_tls else ""
        return f"postgresql://relayd@{self.place.address}:{self.server.port}/postgres{authority}"

    @property
    def local_url(self) -> str:
        """The same over its unix socket, whatever becomes of the network."""
        return self.server.url()

    def _admit(self) -> None:
        """Have it take logins over TCP with the password, and no others."""
        data = self.server.folder / "data"
        if self._has_tls:
            self._certify(data)
            self.run("ALTER SYSTEM SET ssl = on")
        kind, network = ("hostssl", "10.77.0.0/24") if self._has_tls else ("host", "127.0.0.0/8")
        (data / "pg_hba.conf").write_text(_ACCESS.format(kind=kind, network=network))
        self.run(f"ALTER ROLE relayd PASSWORD '{PASSWORD}'")
        self.run("SELECT pg_reload_conf()")

    def _certify(self, data: Path) -> None:
        authority = trustme.CA()
        authority.cert_pem.write_to_path(str(self._folder / "authority.pem"))
        issued = authority.issue_cert(self.place.address)
        issued.cert_chain_pems[0].write_to_path(str(data / "server.crt"))
        key = data / "server.key"
        issued.private_key_pem.write_to_path(str(key))
        key.chmod(0o600)
        owner = data.stat()
        os.chown(key, owner.st_uid, owner.st_gid)

    def run(self, sql: str) -> str:
        return self.server.run(sql)

    def crash(self) -> None:
        """`kill -9` of the server; return once its other processes have noticed."""
        listed = ("ps", "-o", "pid=", "--ppid", str(self.server.pid))
        pids = subprocess.run(listed, capture_output=True, text=True, check=True).stdout.split()
        children = [Path(f"/proc/{pid}") for pid in pids]
        self.server.kill(signal.SIGKILL)
        eventually(lambda: not any(map(_is_there, children)), "all of the server is gone")

    def start(self) -> None:
        self.server.start()

    def close(self) -> None:
        self.server.close()
        shutil.rmtree(self.server.folder, ignore_errors=True)


def _is_there(process: Path) -> bool:
    try:
        return b"postgres" in (process / "comm").read_bytes()
    except OSError:
        return False
