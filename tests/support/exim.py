"""A real Exim 4 in a folder of its own, apart from the system's: starting it takes root.

Debian's package cannot be installed beside Postfix, so an unpacked one will do (`.ci/run` does
that): the program is looked for on the path, then in /opt/exim4. It runs as the user that its
build names.
"""

import os
import pwd
import shutil
import signal
import subprocess
from pathlib import Path

_USER = "Debian-exim"
_UNPACKED = Path("/opt/exim4/usr/sbin/exim4")


def _program() -> str | None:
    return shutil.which("exim4") or (str(_UNPACKED) if _UNPACKED.exists() else None)


def why_not() -> str:
    """Why it cannot be started here; empty if it can."""
    if _program() is None:
        return "exim4 is neither installed nor unpacked in /opt/exim4"
    if all(user.pw_name != _USER for user in pwd.getpwall()):
        return f"there is no user {_USER}"
    return "" if os.geteuid() == 0 else "exim4 can be started by root only"


class Exim:
    """One instance. `settings` is the configuration without what keeps instances apart."""

    def __init__(self, folder: Path, *, port: int, settings: str) -> None:
        program = _program()
        assert program is not None, why_not()
        self.log = folder / "log-main"
        self._config = folder / "exim.conf"
        folder.mkdir(parents=True)
        (folder / "spool").mkdir()
        for owned in (folder, folder / "spool"):
            shutil.chown(owned, _USER, _USER)
        apart = (
            f"exim_path = {program}\n"
            f"spool_directory = {folder}/spool\n"
            f"log_file_path = {folder}/log-%s\n"
            f"pid_file_path = {folder}/exim.pid\n"
            "local_interfaces = 127.0.0.1\n"
            f"daemon_smtp_ports = {port}\n"
            "keep_environment =\n"
        )
        self._config.write_text(apart + settings)
        self._command = [program, "-C", str(self._config)]

    def sends(self, sender: str, recipient: str) -> list[str]:
        """The command that reads a letter and delivers it before it ends; no daemon is needed."""
        return [*self._command, "-odf", "-i", "-f", sender, recipient]

    def start(self) -> None:
        self._process = subprocess.Popen(
            [*self._command, "-bdf"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    def stop(self) -> None:
        self._process.send_signal(signal.SIGTERM)
        self._process.wait(10)
