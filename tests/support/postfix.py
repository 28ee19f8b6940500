"""A real Postfix in a folder of its own, apart from the system's: for tests and benchmarks.

It is set up as its package sets it up, but for addresses, paths and chroot; nothing here changes a
durability setting. Starting it takes root.
"""

import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

_MAIN = """\
compatibility_level = 3.6
queue_directory = {folder}/queue
data_directory = {folder}/data
mail_owner = postfix
setgid_group = postdrop
mydestination =
inet_interfaces = 127.0.0.1
multi_instance_enable = no
"""
_TLS = "smtp_tls_security_level"  # later releases have "may"
_STOCK = Path("/usr/share/postfix/master.cf.dist")


def why_not() -> str:
    """Why it cannot be started here; empty if it can."""
    if shutil.which("postfix") is None or not _STOCK.exists():
        return "postfix is not installed"
    return "" if os.geteuid() == 0 else "postfix can be started by root only"


class Postfix:
    """One instance. Its users must be able to enter the folders above `folder`."""

    def __init__(
        self, folder: Path, *, port: int, settings: Mapping[str, object], keeps_log: bool = True
    ) -> None:
        """`settings` are of main.cf, beyond those that keep instances apart.

        A log costs what it costs everybody, so benchmarks keep it. Tests do better without: one process
        writes it, and when that one is stuck the whole of Postfix waits for it, `postfix stop` too.
        """
        self.port = port
        self.config = folder / "etc"
        self.log = folder / "mail.log"
        self._pid_file = folder / "queue/pid/master.pid"
        self.config.mkdir(parents=True)
        (folder / "queue").mkdir()
        (folder / "data").mkdir()
        folder.chmod(0o755)
        shutil.chown(folder / "data", "postfix")
        own: dict[str, object] = {_TLS: ""}
        if keeps_log:
            own |= {"maillog_file": self.log, "maillog_file_prefixes": folder}
        more = "".join(f"{key} = {value}\n" for key, value in (own | dict(settings)).items())
        (self.config / "main.cf").write_text(_MAIN.format(folder=folder) + more)
        lines = [line for line in _STOCK.read_text().splitlines() if not line.startswith("#")]
        (self.config / "master.cf").write_text("\n".join(map(self._served, lines)) + "\n")

    def _served(self, line: str) -> str:
        """Our port for the system's, and no chroot: the queue holds no copy of /etc."""
        fields = line.split()
        if line.startswith(" ") or len(fields) < 8:
            return line
        if fields[:2] == ["smtp", "inet"]:
            fields[0] = f"127.0.0.1:{self.port}"
        fields[4] = "n"
        return " ".join(fields)

    @property
    def pid(self) -> int:
        """The process id of its master."""
        return int(self._pid_file.read_text())

    def start(self) -> None:
        self._run("start")

    def stop(self) -> None:
        self._run("stop")

    def queue(self) -> str:
        """What it still has to send, a line of JSON for each mail: with the reason of its delay."""
        listed = subprocess.run(
            ["postqueue", "-c", str(self.config), "-j"], capture_output=True, text=True, check=True
        )
        return listed.stdout

    def _run(self, verb: str) -> None:
        done = subprocess.run(
            ["postfix", "-c", str(self.config), verb], capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise RuntimeError(f"postfix {verb}: {done.stdout}{done.stderr}")
