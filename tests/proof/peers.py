"""What other mail servers have synced when they say 250, as Debian sets them up: seen by strace, from outside.

A file is durable once it is synced, and under its name once the folder is synced too (fsync(2)).
"""

import re
import shutil
import signal
import smtplib
import subprocess
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from tests.support import exim, postfix
from tests.support.daemon import Daemon, a_smarthost, eventually
from tests.support.ports import free_port

_CALLS = "fsync,fdatasync,write,writev,sendto,sendmsg,rename,renameat,renameat2,link,linkat"
_STRACE = ("-f", "-y", "-s", "400", "-e", f"trace={_CALLS}")
_TAKEN = re.compile(r'"250 [^"]*(?:queued as|OK id=)')
_BEGINS = re.compile(r'"354 ')
_SYNC = re.compile(r"^(?P<pid>\d+) +f(?:data)?sync\(\d+<(?P<path>[^>]*)>")
_RESUMED = re.compile(r"^(?P<pid>\d+) +<\.\.\. f(?:data)?sync resumed")
_NAMED = re.compile(r"^\d+ +(?:rename|link)\w*\(")
_EXIM = """\
primary_hostname = relay.test
acl_smtp_rcpt = accept
begin acl
begin routers
onward:
  driver = manualroute
  route_list = * 127.0.0.1
  self = send
  transport = onward
begin transports
onward:
  driver = smtp
  port = {port}
  allow_localhost
"""


def synced_before_the_reply(lines: Iterable[str]) -> tuple[list[str], int]:
    """Return which paths were synced between the 354 and the 250, in their order, and after how many of them the last name was given.

    Raises AssertionError if there is no 250.
    """
    done: list[str] = []
    begun: dict[str, str] = {}
    named = 0
    for line in lines:
        if _TAKEN.search(line):
            return done, named
        if _BEGINS.search(line):
            done, begun, named = [], {}, 0
        if found := _SYNC.match(line):
            if "unfinished" in line:
                begun[found["pid"]] = found["path"]
            elif line.rstrip().endswith("= 0"):
                done.append(found["path"])
        elif (found := _RESUMED.match(line)) and found["pid"] in begun:
            done.append(begun.pop(found["pid"]))
        elif _NAMED.match(line):
            named = len(done)
    raise AssertionError("no 250")


def why_not(name: str) -> str:
    """Return why it cannot be looked at here; empty if it can."""
    if shutil.which("strace") is None:
        return "strace is not installed"
    return {"postfix": postfix.why_not, "exim": exim.why_not}.get(name, str)()


def look(name: str) -> str:
    """Say what one of PEERS had synced."""
    if why := why_not(name):
        return f"not looked at: {why}"
    with tempfile.TemporaryDirectory(
        prefix="relayd-peer-", dir="/var/tmp", ignore_cleanup_errors=True
    ) as place:
        (folder := Path(place)).chmod(0o755)
        with a_smarthost() as smarthost:
            trace = folder / "trace"
            with PEERS[name](folder, smarthost.port, trace) as port:
                _send(port)
                eventually(lambda: smarthost.messages, f"{name} has sent it on")
        synced, named = synced_before_the_reply(trace.read_text(errors="replace").splitlines())
        files = [path for path in synced if not Path(path).is_dir()]
        content = "is synced" if files else "is NOT synced"
        if name == "relayd":
            return f"content {content} before the 250; its file is as old as the queue"
        is_named = any(Path(path).is_dir() for path in synced[named:])
        return f"content {content} before the 250, and its file's name {'too' if is_named else 'is not'}"


def _send(port: int) -> None:
    with smtplib.SMTP("127.0.0.1", port, local_hostname="app.test", timeout=20) as client:
        client.sendmail("app@app.test", ["a@x.test"], "Subject: x\r\n\r\nx\r\n")


@contextmanager
def _tracing(pid: int, trace: Path) -> Iterator[None]:
    """Trace a process and those that it starts from now on."""
    tracer = subprocess.Popen(
        ["strace", *_STRACE, "-o", str(trace), "-p", str(pid)], stderr=subprocess.DEVNULL
    )
    eventually(lambda: _is_traced(pid), "strace is there")
    try:
        yield
    finally:
        tracer.send_signal(signal.SIGINT)
        tracer.wait(10)


def _is_traced(pid: int) -> bool:
    status = Path(f"/proc/{pid}/status").read_text()
    return "TracerPid:\t0\n" not in status


@contextmanager
def _postfix(folder: Path, smarthost: int, trace: Path) -> Iterator[int]:
    settings = {"relayhost": f"[127.0.0.1]:{smarthost}"}
    peer = postfix.Postfix(folder / "postfix", port=free_port(), settings=settings)
    peer.start()
    try:
        with _tracing(peer.pid, trace):
            yield peer.port
    finally:
        peer.stop()


@contextmanager
def _exim(folder: Path, smarthost: int, trace: Path) -> Iterator[int]:
    port = free_port()
    peer = exim.Exim(folder / "exim", port=port, settings=_EXIM.format(port=smarthost))
    peer.start()
    try:
        with _tracing(peer._process.pid, trace):
            eventually(lambda: _answers(port), "it answers")
            yield port
    finally:
        peer.stop()


@contextmanager
def _relayd(folder: Path, smarthost: int, trace: Path) -> Iterator[int]:
    (home := folder / "relayd").mkdir()
    relay = Daemon(home, smarthost, workers=1)
    try:
        relay.up()
        assert relay.stop() == 0  # there is a queue: now only mail is written
        relay.up("strace", "-D", *_STRACE, "-o", str(trace), traceable=True)
        yield relay.port
    finally:
        relay.close()


def _answers(port: int) -> bool:
    try:
        smtplib.SMTP("127.0.0.1", port, timeout=5).close()
    except OSError:
        return False
    return True


PEERS: Mapping[str, Callable[..., AbstractContextManager[int]]] = {
    "relayd": _relayd,
    "postfix": _postfix,
    "exim": _exim,
}
