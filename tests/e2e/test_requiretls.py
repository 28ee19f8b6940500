"""REQUIRETLS and TLS-Required from the client to the next hop (RFC 8689)."""

import smtplib
import ssl
from pathlib import Path

import pytest

from relayd.policy.delivery.route import TlsAsked
from relayd.ports.view import Query, Status
from tests.support.certificates import Authority
from tests.support.daemon import CEILING, CONTENT, Daemon, SmarthostThread, eventually
from tests.support.ports import free_port

EHLO = ["PIPELINING", "8BITMIME", "DSN"]


def settings(authority: Authority, folder: Path, port: int) -> str:
    pair = authority.write_pair(folder, "127.0.0.1")
    return (
        f'[[listen]]\naddress = "127.0.0.1:{port}"\ntls = "starttls"\n'
        f'[tls]\ncertificate = "{pair.certificate}"\nkey = "{pair.key}"\n'
    )


@pytest.mark.parametrize("offered", [True, False])
def test_it_goes_on_or_comes_back(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    offered: bool,  # noqa: FBT001
) -> None:
    authority, port = Authority(tmp_path), free_port()
    monkeypatch.setenv("SSL_CERT_FILE", authority.cafile)
    script = {"EHLO": [*EHLO, "REQUIRETLS"] if offered else EHLO}
    smarthost = SmarthostThread(script, tls=authority.server_context("127.0.0.1"))
    relay = Daemon(
        tmp_path,
        smarthost.port,
        smarthost_tls="implicit",
        more=settings(authority, tmp_path, port),
    )
    try:
        relay.up()
        with smtplib.SMTP("127.0.0.1", port, "app.test", CEILING) as client:
            client.ehlo()
            assert not client.has_extn("requiretls")
            client.starttls(context=ssl.create_default_context(cafile=authority.cafile))
            client.ehlo()
            assert client.has_extn("requiretls")
            client.sendmail("app@app.test", ["a@x.test"], CONTENT, mail_options=["REQUIRETLS"])
        if offered:
            [message] = smarthost.received(1)
            assert message.mail == "FROM:<app@app.test> REQUIRETLS"
            return

        def bounced() -> object:
            rows = relay.rows(Query(recipient=("a@x.test",)))
            return rows and rows[0].status is Status.BOUNCED and rows[0]

        row = eventually(bounced, "bounced")
        assert row.enhanced == "5.7.30"  # type: ignore[attr-defined]
        assert not row.suppress  # type: ignore[attr-defined]
        [report] = smarthost.received(1)  # which says nothing of the content
        assert report.rcpts == ("TO:<app@app.test>",)
        assert "REQUIRETLS" not in report.mail
        assert b"Hello." not in report.content
    finally:
        relay.close()
        smarthost.close()


def test_who_lifts_policies_has_a_way_of_its_own(tmp_path: Path) -> None:
    """And so has the report on it."""
    authority = SmarthostThread({})
    more = '[dns]\nnameservers = ["127.0.0.1:1"]\ntimeout = "1s"\n'
    relay = Daemon(tmp_path, authority.port, remote="true", more=more)
    try:
        relay.up()
        relay.send("a@x.test", content=f"TLS-Required: No\r\n{CONTENT}")
        row = eventually(relay.rows, "there")[0]
        assert row.destination == f"{TlsAsked.LIFTED.value}x.test"
        shown = relay.run("queue", "bounce", "--recipient", "a@x.test", "--yes")
        assert shown.status == 0, shown.err
        [report] = [each for each in relay.rows() if each.address == "app@app.test"]
        assert report.destination == f"{TlsAsked.LIFTED.value}app.test"
        assert relay.status("--destination", "x.test")[0]["rcpt"] == "a@x.test"
    finally:
        relay.close()
        authority.close()
