"""Debian's rspamd and SpamAssassin on loopback, in folders of their own, without DNS or network.

rspamd may be given a name server of the test, and then looks at DKIM signatures alone.
"""

import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from relayd.settings import CheckerKind, HostPort
from tests.support.daemon import eventually
from tests.support.ports import free_port

_STARTS_WITHIN = 50.0  # seconds: both compile their rules
# Whatever asks the DNS, Redis, or a service; the name server named is nobody.
_ASKING = (
    *("arc", "asn", "dkim", "dkim_signing", "dmarc", "fuzzy_check", "greylist", "history_redis"),
    *("mx_check", "neural", "phishing", "ratelimit", "rbl", "redis", "replies", "reputation"),
    *("rspamd_update", "spf", "surbl"),
)
_RSPAMD = """\
.include "$CONFDIR/common.conf"
options {{
  pidfile = "$RUNDIR/rspamd.pid";
  .include "$CONFDIR/options.inc"
  .include(priority=10) "$LOCAL_CONFDIR/options.inc"
}}
logging {{ type = "console"; level = "error"; }}
worker "normal" {{ bind_socket = "127.0.0.1:{port}"; count = 1; }}
"""
_OPTIONS = """\
dns {{ nameserver = ["{nameserver}"]; timeout = {timeout}; retransmits = 1; }}
disable_hyperscan = true;
url_tld = "$LOCAL_CONFDIR/tlds";
control_socket = "$RUNDIR/control.sock";
"""


def why_not(kind: CheckerKind) -> str:
    """Why it cannot be used here; empty if it can."""
    if shutil.which(kind) is not None:
        return ""
    package = {CheckerKind.RSPAMD: "rspamd", CheckerKind.SPAMD: "spamd"}[kind]
    return f"{kind} is not installed (Debian package {package})"


@contextmanager
def a_real_checker(kind: CheckerKind, folder: Path) -> Iterator[HostPort]:
    """One that answers."""
    start = _rspamd if kind is CheckerKind.RSPAMD else _spamd
    port = free_port()
    with _listening(kind, start(folder, port), folder, port) as endpoint:
        yield endpoint


@contextmanager
def an_rspamd_for_dkim(folder: Path, nameserver: HostPort) -> Iterator[HostPort]:
    """One that looks up keys there."""
    port = free_port()
    command = _rspamd(folder, port, nameserver)
    with _listening(CheckerKind.RSPAMD, command, folder, port) as endpoint:
        yield endpoint


@contextmanager
def _listening(
    kind: CheckerKind, command: Sequence[str], folder: Path, port: int
) -> Iterator[HostPort]:
    with (folder / "output").open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output, cwd="/")
    try:

        def answers() -> bool:
            assert process.poll() is None, (folder / "output").read_text()
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
            except OSError:
                return False
            return True

        eventually(answers, f"{kind} listens", within=_STARTS_WITHIN)
        yield HostPort(host="127.0.0.1", port=port)
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _rspamd(folder: Path, port: int, nameserver: HostPort | None = None) -> Sequence[str]:
    local = folder / "local"
    (local / "local.d").mkdir(parents=True)
    for module in _ASKING:
        if nameserver is None or module != "dkim":
            (local / "local.d" / f"{module}.conf").write_text("enabled = false;\n")
    timeout = "10ms" if nameserver is None else "10s"
    options = _OPTIONS.format(nameserver=nameserver or "127.0.0.1:9", timeout=timeout)
    (local / "options.inc").write_text(options)
    (local / "tlds").write_text("com\norg\ntest\n")  # its own list takes a minute to compile
    settings = folder / "rspamd.conf"
    settings.write_text(_RSPAMD.format(port=port))
    places = {"LOCAL_CONFDIR": local}
    for name in ("DBDIR", "RUNDIR", "LOGDIR"):
        (folder / name).mkdir()
        places[name] = folder / name
    variables = [f"--var={name}={place}" for name, place in places.items()]
    return ["rspamd", "-f", "-i", "-c", str(settings), *variables]


def _spamd(folder: Path, port: int) -> Sequence[str]:
    folder.chmod(0o755)
    return [
        "spamd",
        "--local",  # no DNS
        "--nouser-config",
        f"--listen=127.0.0.1:{port}",
        "--max-children=1",
        f"--helper-home-dir={folder}",
        "--username=nobody",
        "--syslog=stderr",
    ]
