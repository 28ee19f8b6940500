"""A daemon sends TLS reports: what was counted two days ago goes out by mail and to a web server as soon as it runs."""

import asyncio
import email
import gzip
import json
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from relayd.policy.tls.tlsrpt import MEDIA_TYPE
from relayd.store import open_store
from relayd.worker.system import SystemClock
from tests.support.background import Background
from tests.support.certificates import Authority
from tests.support.daemon import a_daemon, eventually
from tests.support.dkim import ed25519_pem, records, verified, write_key
from tests.support.dns_server import own_host
from tests.support.https_server import HttpsServer, said
from tests.support.internet import an_internet
from tests.support.other_users import needs_root
from tests.support.ports import free_port
from tests.support.tls_counts import a_tls_session

HOST, WEB = "127.0.3.1", own_host(2)
ZONES = {
    "_smtp._tls.x.test": {
        "TXT": ['"v=TLSRPTv1; rua=mailto:tls@reports.test,https://web.test/tls"']
    },
    "reports.test": {"MX": ["10 mx.reports.test."]},
    "mx.reports.test": {"A": [HOST]},
    "web.test": {"A": [WEB]},
}
KEY = '[[dkim]]\ndomain = "relay.test"\nselector = "r"\nkey_file = "{}"\n'


async def count(queue: Path, *results: str) -> None:
    """Put sessions with x.test into a queue: none of them failed, or so."""
    day = SystemClock().now().date() - timedelta(days=2)  # its time has come, whatever the hour
    store = open_store(f"sqlite:{queue}", clock=SystemClock(), slots={})
    sessions = [replace(a_tls_session(result=result), day=day) for result in results]
    await store.trust.add_tls_results(dict.fromkeys(sessions, 3))
    await store.close()


@needs_root
def test_it_goes_by_mail_and_to_a_web_server_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The web server is at port 443, as for everybody, and its authority is one of this system's."""
    authority = Authority(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", authority.cafile)
    asyncio.run(count(tmp_path / "queue.db", "", "certificate-expired"))
    key = write_key(tmp_path / "r.pem", ed25519_pem())
    with Background() as background, an_internet({HOST: {}}, ZONES, port=free_port()) as internet:
        tls = authority.server_context("web.test")
        web = background.enter(HttpsServer(tls, said(b""), host=WEB, port=443))
        more = f'{internet.settings}tls = "off"\nmta_sts = false\n{KEY.format(key)}'
        with a_daemon(
            tmp_path, internet.smarthost.port, remote="true", smarthost_more=more
        ) as relay:
            received = internet.servers[HOST].messages
            eventually(lambda: received and web.bodies, "both have it")
            eventually(lambda: relay.statuses() == {"tls@reports.test": "sent"}, "sent")
        [mail], [posted] = received, web.bodies
    assert mail.mail.startswith("FROM:<>")
    assert verified(mail.content, records("relay.test", r=ed25519_pem())) == [True]
    parts = email.message_from_bytes(mail.content).walk()
    [attached] = [part for part in parts if part.get_content_type() == MEDIA_TYPE]
    assert attached.get_payload(decode=True) == posted
    report = json.loads(gzip.decompress(posted))
    [policy] = report["policies"]
    assert policy["policy"]["policy-domain"] == "x.test"
    assert policy["summary"] == {
        "total-successful-session-count": 3,
        "total-failure-session-count": 3,
    }
    assert web.asked == ["POST /tls HTTP/1.1"]
    assert f"\r\nContent-Type: {MEDIA_TYPE}\r\n" in web.heads[0]
