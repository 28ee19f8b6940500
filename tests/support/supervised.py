"""A supervisor with stand-in workers, as a program: `python -m tests.support.supervised FILE`.

FILE is JSON: fqdn, workers, listen (addresses), control, queue, timeouts. Its fqdn says how the
workers behave: `wrong` and `early` end before they are ready, `stuck` never is, nor is
`stubborn-start`, which ignores SIGTERM as well, `quiet` stops its heartbeat,
`stubborn` ignores SIGTERM, anything else works. A worker answers every line that it is sent with
JSON about itself, but `reload` with what the supervisor answers; on SIGTERM it stops listening and
waits for its clients to leave.
"""

import json
import os
import select
import signal
import socket
import sys
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import structlog

from relayd import supervisor
from relayd.errors import ConfigError, Mistake, StartError
from relayd.policy.delivery.route import DEFAULT
from relayd.policy.intake.access import AccessRules
from relayd.policy.intake.quota import QuotaRules
from relayd.settings import (
    BounceSettings,
    ConsoleSettings,
    DirectSettings,
    DnsSettings,
    DoctorSettings,
    HostPort,
    IpFamily,
    LimitSettings,
    LineEndings,
    ListenerSettings,
    LogSettings,
    RetrySettings,
    RouteRules,
    SenderSettings,
    Settings,
    SmarthostSettings,
    StoreSettings,
    TlsMode,
    UrlRules,
    WebhookSettings,
)
from relayd.worker.inherited import Inherited


def listener(address: str) -> ListenerSettings:
    kind, _, rest = address.partition(":")
    host, _, port = address.rpartition(":")
    return ListenerSettings(
        address=address,
        endpoint=None
        if kind in {"unix", "systemd"}
        else HostPort(host=host.strip("[]"), port=int(port)),
        unix_path=rest if kind == "unix" else None,
        systemd_name=rest if kind == "systemd" else None,
        networks=(),
        line_endings=LineEndings.REJECT,
    )


def settings_of(
    listen: list[str], *, control: str, queue: str, fqdn: str = "relay.test", workers: int = 1
) -> Settings:
    return Settings(
        file="relayd.toml",
        values=(("fqdn", json.dumps(fqdn)),),
        fqdn=fqdn,
        workers=workers,
        listeners=tuple(listener(address) for address in listen),
        certificate=None,
        users_file=None,
        limits=LimitSettings(
            message_size=1_000_000,
            recipients=10,
            connections=10,
            connections_per_client=10,
            stop_within=timedelta(seconds=8),
        ),
        smarthosts={
            DEFAULT: SmarthostSettings(hosts=(), tls=TlsMode.OFF, login=None, connections=1)
        },
        direct=DirectSettings(
            port=25,
            tls=TlsMode.OFF,
            dane=True,
            mta_sts=False,
            tls_policy=(),
            families=frozenset(IpFamily),
            sources=(),
            allow_networks=(),
            connections_per_destination=1,
            messages_per_minute=0,
        ),
        dns=DnsSettings(nameservers=(), timeout=timedelta(seconds=1)),
        route_hosts=(),
        routes=RouteRules(),
        senders=SenderSettings(),
        access=AccessRules(),
        quotas=QuotaRules(),
        aliases={},
        bounces=BounceSettings(dsn=True, verp_domain="", refuse_suppressed=False),
        content=None,
        retry=RetrySettings(
            soft_bounce=(), unknown_outcome=(), unreachable=(), give_up_after=timedelta(days=1)
        ),
        store=StoreSettings(
            url=f"sqlite:{queue}",
            folder=str(Path(queue).parent),
            history=timedelta(days=1),
            keep_bounced=timedelta(days=1),
        ),
        node="node.test",
        control_socket=control,
        metrics=None,
        log=LogSettings(status_log="-", level="info", format="json"),
        doctor=DoctorSettings(blocklists=()),
        webhooks=WebhookSettings(url_rules=UrlRules(), allow_networks=()),
        console=ConsoleSettings(address="127.0.0.1:0", endpoint=HostPort(host="127.0.0.1", port=0)),
        rules=(),
    )


def read_settings(file: str) -> Settings:
    try:
        read: dict[str, Any] = json.loads(Path(file).read_bytes())
    except ValueError as error:
        mistakes = [
            Mistake(file=file, key=key, value="", expected="more care") for key in ("a", "b")
        ]
        raise ConfigError(tuple(mistakes)) from error
    read.pop("timeouts")
    return settings_of(read.pop("listen"), **read)


class StandIn:
    """A worker that answers lines."""

    def __init__(self, settings: Settings, inherited: Inherited) -> None:
        self.mood = settings.fqdn.partition(".")[0]
        self.fqdn = settings.fqdn
        self.inherited = inherited
        self.listening = [each for _, each in inherited.listeners] + [inherited.control]
        self.clients: list[socket.socket] = []
        self.seen: list[str] = []
        self.has_let_go = False

    def work(self) -> int:
        for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2):
            signal.signal(number, lambda number, _: self.seen.append(signal.Signals(number).name))
        os.write(self.inherited.heartbeat, b"R")
        while self.clients or not self.leaving:
            self.let_go()
            for each in select.select([*self.listening, *self.clients], [], [], 0.05)[0]:
                self.serve(each)
            if self.mood != "quiet":
                with suppress(BrokenPipeError):  # the supervisor was killed
                    os.write(self.inherited.heartbeat, b".")
        return 0

    def let_go(self) -> None:
        """Take no more clients, if it is to leave."""
        if self.leaving and not self.has_let_go:
            while self.listening:
                self.listening.pop().close()
            with suppress(BrokenPipeError):
                os.write(self.inherited.heartbeat, b"G")
            self.has_let_go = True

    @property
    def leaving(self) -> bool:
        return not {"SIGTERM", "SIGUSR1"}.isdisjoint(self.seen) and self.mood != "stubborn"

    def serve(self, ready: socket.socket) -> None:
        if ready not in self.clients:
            with suppress(BlockingIOError):  # another worker was faster
                self.clients.append(ready.accept()[0])
        elif line := ready.recv(100):
            is_reload = line == b"reload\n"
            ready.sendall(self.reload() if is_reload else json.dumps(self.about()).encode() + b"\n")
        else:
            self.clients.remove(ready)
            ready.close()

    def reload(self) -> bytes:
        os.write(self.inherited.heartbeat, b"L")
        answer = b""
        while not answer.endswith(b"\n"):
            self.let_go()
            if select.select([self.inherited.heartbeat], [], [], 0.05)[0]:
                answer += os.read(self.inherited.heartbeat, 10_000)
        return answer

    def about(self) -> dict[str, Any]:
        return {
            "name": self.inherited.name,
            "pid": os.getpid(),
            "fqdn": self.fqdn,
            "seen": self.seen,
            "pipes": sum(kind_of(fd).startswith("pipe:") for fd in Path("/proc/self/fd").iterdir()),
            "environment": sorted(os.environ),
        }


def kind_of(descriptor: Path) -> str:
    try:
        return str(descriptor.readlink())
    except FileNotFoundError:  # the listing's own
        return ""


def stand_in(settings: Settings, inherited: Inherited) -> int:
    assert os.getppid() == inherited.parent_pid
    match settings.fqdn.partition(".")[0]:
        case "wrong":
            return os.EX_CONFIG
        case "early":
            return 3
        case "stuck":
            signal.pause()
            return 0
        case "stubborn-start":
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            signal.pause()
            return 0
        case "broken":
            raise StartError("the queue is upside down")
        case "bug":
            raise ZeroDivisionError
        case _:
            return StandIn(settings, inherited).work()


def main(file: str) -> int:
    structlog.configure(
        processors=[structlog.processors.format_exc_info, structlog.processors.JSONRenderer()],
        logger_factory=structlog.WriteLoggerFactory(),  # a line is one write, whoever else writes
    )
    timeouts = json.loads(Path(file).read_bytes())["timeouts"]
    try:
        return supervisor.run(
            read_settings(file),
            reload=lambda: read_settings(file),
            worker_main=stand_in,
            timeouts=supervisor.Timeouts(**timeouts),
        )
    except StartError as error:
        print(json.dumps({"event": "start_error", "error": str(error)}))
        return os.EX_OSERR


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
