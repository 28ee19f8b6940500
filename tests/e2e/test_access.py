"""Clients of `relayd serve` that may use some addresses only."""

import socket
from pathlib import Path

from tests.support.daemon import CEILING, Daemon, a_daemon, a_smarthost, eventually
from tests.support.ports import free_port

MORE = """\
[networks."127.0.0.0/8"]
allowed_senders = ["x.test"]
allowed_from = ["app@x.test"]
"""


def told(relay: Daemon, sender: str, author: str) -> str:
    """Return how mail with these addresses is answered: at MAIL, or at its end."""
    with relay.client() as client:
        client.ehlo()
        code, said = client.mail(sender)
        if code == 250:
            client.rcpt("user@y.test")
            code, said = client.data(f"From: {author}\r\n\r\nHello\r\n")
        return f"{code} {said.decode()}"


def test_workers_count_together(tmp_path: Path) -> None:
    quota = '[networks."127.0.0.0/8"]\nmessages_per_hour = 5\n'
    with a_smarthost() as smarthost, a_daemon(tmp_path, smarthost.port, more=quota) as relay:
        told_of = [told(relay, "app@x.test", "app@x.test") for _ in range(5)]
        assert all(each.startswith("250 ") for each in told_of)
        assert relay.run("reload").status == 0
        assert told(relay, "app@x.test", "app@x.test").startswith("450 4.7.1 Message limit")
        relay.kill_worker(relay.events("worker_started")[-1]["worker"])
        assert told(relay, "app@x.test", "app@x.test").startswith("450 4.7.1 Message limit")
        smarthost.received(5)


def test_an_old_program_is_served_where_the_listener_is_lenient(tmp_path: Path) -> None:
    port = free_port()
    kinds = '["bare_lf", "brackets", "no_domain"]'
    lenient = f'[[listen]]\naddress = "127.0.0.1:{port}"\nlenient = {kinds}\n'
    with a_smarthost() as smarthost, a_daemon(tmp_path, smarthost.port, more=lenient) as relay:
        assert dialogue(port) == [220, 250, 250, 250, 354, 250, 221]
        assert dialogue(relay.port) == [220, 500]
        [message] = smarthost.received(1)
        assert message.mail.startswith("FROM:<app@relay.")
        assert message.content.endswith(b"\r\n\r\nHello\r\n")
        served = {each["lenient"] for each in relay.events("served_leniently")}
        assert served == {"bare_lf", "brackets", "no_domain"}


def dialogue(port: int) -> list[int]:
    """Send mail as a program does that knows no CR; return the codes of the replies."""
    codes = []
    said = iter(
        ("HELO app", "MAIL FROM: app", "RCPT TO:user@y.test", "DATA", "A: b\n\nHello\n.", "QUIT")
    )
    with socket.create_connection(("127.0.0.1", port), timeout=CEILING) as client:
        for reply in client.makefile("rb"):
            codes.append(int(reply[:3]))
            if reply[:1] != b"5" and (line := next(said, None)):
                client.sendall(f"{line}\n".encode())
    return codes


def codes_of_refusals(relay: Daemon) -> list[int]:
    return sorted(
        (each["code"] for each in relay.log_lines() if each["event"] == "refused"), reverse=True
    )


def test_other_addresses_are_refused(tmp_path: Path) -> None:
    with a_smarthost() as smarthost, a_daemon(tmp_path, smarthost.port, more=MORE) as relay:
        assert told(relay, "app@y.test", "app@x.test").startswith("553 5.7.1 ")
        assert told(relay, "app@x.test", "boss@x.test").startswith("550 5.7.1 ")
        assert told(relay, "app@x.test", "app@x.test").startswith("250 ")
        [message] = smarthost.received(1)
        assert message.mail.startswith("FROM:<app@x.test>")
        eventually(lambda: codes_of_refusals(relay) == [553, 550], "both are in the status log")
