"""Real mail programs and libraries submit to relayd: in clear text, by STARTTLS, under TLS."""

import itertools
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.certificates import Authority
from tests.support.clients import CLIENTS, SENDER, Login, Security, Submission
from tests.support.daemon import Daemon, SmarthostThread, a_smarthost, eventually
from tests.support.ports import free_port
from tests.support.scripted_server import Message

pytestmark = pytest.mark.interop

# Who logs in, None being nobody.
LOGINS = (None, Login(name="app", password="correct horse"))
ROWS = [
    pytest.param(name, security, login, id=f"{name}-{security}{'-auth' if login else ''}")
    for name in CLIENTS
    for security in Security
    for login in LOGINS
    if login is None or security is not Security.PLAIN
]
LETTER = (
    f"From: <{SENDER}>\r\nTo: <kim@x.test>\r\nDate: Thu, 26 Nov 2026 12:00:00 +0000\r\n"
    "Message-ID: <1@app.test>\r\nMIME-Version: 1.0\r\nSubject: interop\r\n"
    "Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n"
    "Grüße\r\n.\r\n..two\r\n" + "x" * 990 + "\r\nblank \r\n\r\nend\r\n"
).encode()
_numbers = itertools.count(1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Relay:
    daemon: Daemon
    smarthost: SmarthostThread
    ports: dict[Security, int]
    cafile: str

    def received(self, recipient: str) -> Message:
        def found() -> list[Message]:
            return [one for one in self.smarthost.messages if f"<{recipient}>" in str(one.rcpts)]

        [message] = eventually(found, f"mail for {recipient}")
        return message


@pytest.fixture(scope="module")
def relay(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Relay]:
    folder = tmp_path_factory.mktemp("relayd")
    authority = Authority(folder)
    pair = authority.write_pair(folder, "localhost", "127.0.0.1")
    ports = {security: free_port() for security in (Security.STARTTLS, Security.IMPLICIT)}
    listeners = "".join(
        f'[[listen]]\naddress = "127.0.0.1:{port}"\ntls = "{security}"\nauth = "optional"\n'
        for security, port in ports.items()
    )
    more = f'{listeners}[tls]\ncertificate = "{pair.certificate}"\nkey = "{pair.key}"\n'
    with a_smarthost() as smarthost:
        daemon = Daemon(folder, smarthost.port, smarthost_more=more)
        for login in filter(None, LOGINS):
            ran = daemon.run("user", "add", login.name, typed=f"{login.password}\n")
            assert ran.status == 0, ran.err
        with closing(daemon):
            daemon.up()
            yield Relay(
                daemon=daemon,
                smarthost=smarthost,
                ports=ports | {Security.PLAIN: daemon.port},
                cafile=authority.cafile,
            )
            assert daemon.stop() == 0


@pytest.mark.parametrize(("name", "security", "login"), ROWS)
def test_a_client_submits_a_letter(
    relay: Relay, tmp_path: Path, name: str, security: Security, login: Login | None
) -> None:
    """The letter goes on octet for octet; the trace says how it came."""
    client = CLIENTS[name]
    if reason := client.why_not():
        pytest.skip(reason)
    recipient = f"kim{next(_numbers)}@x.test"
    client.submit(
        Submission(
            letter=LETTER,
            recipient=recipient,
            port=relay.ports[security],
            security=security,
            cafile=relay.cafile,
            login=login,
            folder=tmp_path,
        )
    )
    came = relay.received(recipient)
    assert came.mail.startswith(f"FROM:<{SENDER}>")
    assert came.content.endswith(LETTER)
    trace = came.content.removesuffix(LETTER).decode()
    secure = "" if security is Security.PLAIN else "S"
    known = "" if login is None else "A"
    assert f"with ESMTP{secure}{known} " in trace.replace("\r\n\t", " ")
    row = next(row for row in relay.daemon.rows() if row.address == recipient)
    assert row.auth_user == (None if login is None else login.name)
