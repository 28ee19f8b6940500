"""Dovecot as the smarthost: it takes a token by XOAUTH2 and OAUTHBEARER, and refuses another one."""

from pathlib import Path

import pytest

from tests.support.background import Background
from tests.support.certificates import Authority
from tests.support.daemon import a_daemon, eventually
from tests.support.dovecot import Dovecot, TokenInfo, why_not
from tests.support.other_users import a_folder_for_all
from tests.support.ports import free_port
from tests.support.scripted_server import ScriptedServer
from tests.support.token_server import TokenServer, granted

pytestmark = [
    pytest.mark.interop,
    pytest.mark.skipif(bool(why_not()), reason=why_not()),
    pytest.mark.timeout(120),
]


@pytest.mark.parametrize("mechanism", ["xoauth2", "oauthbearer", "oauth2"])
def test_mail_goes_by_dovecot(
    mechanism: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """First the token is unknown there, and refused; then Dovecot knows it, and the mail goes."""
    authority = Authority(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", authority.cafile)
    pair = authority.write_pair(tmp_path, "127.0.0.1")
    secret = tmp_path / "secret"
    secret.write_text("the-secret\n")
    secret.chmod(0o600)
    port = free_port()
    with Background() as background, a_folder_for_all() as folder:
        relay = background.enter(ScriptedServer({"EHLO": ["8BITMIME", "SIZE 1000000"]}))
        info = background.enter(TokenInfo({}))
        context = authority.server_context("127.0.0.1")
        tokens = background.enter(TokenServer(context, [granted("the-token")]))
        by_relayd = (
            f'oauth2_token_url = "{tokens.url}"\noauth2_client_id = "id"\n'
            f'oauth2_client_secret_file = "{secret}"\n'
        )
        by_file = f'token_file = "{secret}"\n'
        if mechanism != "oauth2":
            secret.write_text("the-token\n")
        more = f'username = "app@example.org"\nauth = "{mechanism}"\n'
        more += by_relayd if mechanism == "oauth2" else by_file
        dovecot = Dovecot(
            folder,
            port=port,
            relay=relay.port,
            tokens=info.port,
            pair=(pair.certificate, pair.key),
        )
        with (
            dovecot,
            a_daemon(tmp_path, port, smarthost_tls="verify", smarthost_more=more) as daemon,
        ):
            daemon.send("a@x.test")
            eventually(lambda: daemon.events("login_refused"), "it is refused", within=30)
            info.owners["the-token"] = "app@example.org"
            secret.touch()
            eventually(
                lambda: daemon.statuses() == {"a@x.test": "relayed"}, "it is relayed", within=30
            )
            [message] = relay.messages
            assert "<a@x.test>" in message.rcpts[0]
