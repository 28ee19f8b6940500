"""A daemon that gets the token for its smarthost itself: two workers, a token server, a server that takes tokens."""

import base64
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.background import Background
from tests.support.certificates import Authority
from tests.support.daemon import Daemon, SmarthostThread, a_daemon, a_smarthost, eventually
from tests.support.scripted_server import Script
from tests.support.token_server import TokenServer, answer, granted, refused

SECRET = "hunter2-of-the-client"
ERROR = base64.b64encode(b'{"status":"401","schemes":"bearer","scope":"all"}').decode()


def xoauth2(token: str) -> str:
    text = f"user=app@app.test\1auth=Bearer {token}\1\1"
    return f"AUTH XOAUTH2 {base64.b64encode(text.encode()).decode()}"


def oauthbearer(token: str) -> str:
    text = f"n,a=app@app.test,\1auth=Bearer {token}\1\1"
    return f"AUTH OAUTHBEARER {base64.b64encode(text.encode()).decode()}"


@pytest.fixture
def background() -> Iterator[Background]:
    with Background() as background:
        yield background


@pytest.fixture
def authority(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Authority:
    found = Authority(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", found.cafile)
    return found


@contextmanager
def a_relay(
    folder: Path, server: TokenServer, script: Script
) -> Iterator[tuple[Daemon, SmarthostThread]]:
    """A daemon with two workers; nothing that it writes has a secret."""
    secret = folder / "secret"
    secret.write_text(f"{SECRET}\n")
    secret.chmod(0o600)
    more = (
        f'username = "app@app.test"\nauth = "oauth2"\noauth2_token_url = "{server.url}"\n'
        f'oauth2_client_id = "id"\noauth2_client_secret_file = "{secret}"\noauth2_scope = "all"\n'
    )
    with (
        a_smarthost(script) as smarthost,
        a_daemon(folder, smarthost.port, smarthost_more=more) as daemon,
    ):
        yield daemon, smarthost
        for file in (daemon.log, daemon.status_log):
            text = file.read_text()
            assert SECRET not in text
            assert "token-" not in text
            assert base64.b64encode(b"token-1").decode()[:8] not in text


@pytest.mark.parametrize(("offer", "login"), [("XOAUTH2", xoauth2), ("OAUTHBEARER", oauthbearer)])
def test_mail_goes_by_a_token_that_relayd_got(
    tmp_path: Path, authority: Authority, background: Background, offer: str, login: object
) -> None:
    assert callable(login)
    server = background.enter(
        TokenServer(authority.server_context("127.0.0.1"), [granted("token-1")])
    )
    script: Script = {"EHLO": [f"AUTH {offer}"], "AUTH": "535 5.7.8 no", login("token-1"): "235 in"}
    with a_relay(tmp_path, server, script) as (daemon, smarthost):
        for number in range(6):
            daemon.send(f"a{number}@x.test")
        smarthost.received(6)
        eventually(lambda: set(daemon.statuses().values()) == {"relayed"}, "all are relayed")
        assert len(server.forms) == 1, "both workers share one token"
        assert server.forms[0]["client_secret"] == SECRET
        shown = daemon.run("config", "get").out + daemon.run("check").out
        assert SECRET not in shown
        assert daemon.run("doctor", "--json").out.count("logged in") <= 1
        assert len(server.forms) == 1, "doctor has the token of the daemon"
        (tmp_path / "oauth2" / "default.access").unlink()


@pytest.mark.parametrize(("offer", "again"), [("XOAUTH2", ""), ("OAUTHBEARER", "AQ==")])
def test_a_new_token_that_is_refused_pauses_the_smarthost(
    tmp_path: Path, authority: Authority, background: Background, offer: str, again: str
) -> None:
    """The error comes as a challenge first, which each mechanism answers in its own way (RFC 7628 §3.2.3)."""
    server = background.enter(
        TokenServer(authority.server_context("127.0.0.1"), [granted("token-1")])
    )
    script: Script = {
        "GREETING": "220 mx.test ESMTP",
        "EHLO": [f"AUTH {offer}"],
        "AUTH": f"334 {ERROR}",
        "QUIT": "221 bye",
        again: "535 5.7.3 no",
    }
    with a_relay(tmp_path, server, script) as (daemon, _):
        daemon.send("a@x.test")
        [refusal] = eventually(lambda: daemon.events("login_refused")[:1], "it is refused")
        assert "535 5.7.3 no" in refusal["reason"]
        assert len(server.forms) == 1
        eventually(lambda: [row.attempts for row in daemon.rows()] == [0], "it is given back")


def test_a_refusal_says_what_is_wrong_and_a_new_secret_is_tried_at_once(
    tmp_path: Path, authority: Authority, background: Background
) -> None:
    told = f"AADSTS7000222: The secret {SECRET} has expired."
    server = background.enter(
        TokenServer(
            authority.server_context("127.0.0.1"), [refused("invalid_client", told, status=401)]
        )
    )
    script: Script = {"EHLO": ["AUTH XOAUTH2"], xoauth2("token-2"): "235 in"}
    with a_relay(tmp_path, server, script) as (daemon, smarthost):
        daemon.send("a@x.test")
        [refusal] = eventually(lambda: daemon.events("login_refused")[:1], "it is refused")
        assert "the token server refuses the client secret" in refusal["reason"]
        assert "AADSTS7000222" in refusal["reason"]
        assert refusal["fault"] == "local"
        server.answers[:] = [granted("token-2")]
        secret = tmp_path / "fresh"
        secret.write_text("another\n")
        secret.chmod(0o600)
        secret.replace(tmp_path / "secret")
        smarthost.received(1)
        [row] = daemon.rows()
        assert row.attempts == 1, "refusals count for nothing"
        assert server.forms[-1]["client_secret"] == "another"


def test_while_the_token_server_is_down_mail_waits(
    tmp_path: Path, authority: Authority, background: Background
) -> None:
    """For seconds, not for an hour, and nothing counts as an attempt."""
    down = answer(b"<html>busy</html>", status=503, kind="text/html")
    server = background.enter(
        TokenServer(authority.server_context("127.0.0.1"), [down, granted("token-1")])
    )
    script: Script = {"EHLO": ["AUTH XOAUTH2"], xoauth2("token-1"): "235 in"}
    with a_relay(tmp_path, server, script) as (daemon, smarthost):
        daemon.send("a@x.test")
        [line] = eventually(lambda: daemon.events("token_server_down")[:1], "it is down")
        assert "answers 503 with text/html" in line["reason"]
        smarthost.received(1)
        assert not daemon.events("login_refused")
        [row] = daemon.rows()
        assert row.attempts == 1


def test_mail_that_waits_for_a_sign_in_goes_soon_after_it(
    tmp_path: Path, authority: Authority, background: Background
) -> None:
    """The command and the workers share the files; nobody reloads."""
    given = [granted("token-1", refresh_token="refresh-2")]
    server = background.enter(TokenServer(authority.server_context("127.0.0.1"), given))
    more = (
        f'username = "app@app.test"\nauth = "oauth2"\noauth2_token_url = "{server.url}"\n'
        'oauth2_client_id = "id"\noauth2_flow = "refresh_token"\n'
    )
    script: Script = {"EHLO": ["AUTH XOAUTH2"], xoauth2("token-1"): "235 in"}
    with (
        a_smarthost(script) as smarthost,
        a_daemon(tmp_path, smarthost.port, smarthost_more=more) as daemon,
    ):
        daemon.send("a@x.test")
        [refusal] = eventually(lambda: daemon.events("login_refused")[:1], "nobody signed in")
        assert "there is no sign-in yet: relayd oauth2 login default" in refusal["reason"]
        assert not server.forms
        ran = daemon.run("oauth2", "login", "--stdin", typed="refresh-1\n")
        assert ran.status == 0, ran.err
        smarthost.received(1)
        assert (tmp_path / "oauth2/default.refresh").read_text() == "refresh-2\n"
        assert [form["refresh_token"] for form in server.forms] == ["refresh-1"]
        shown = daemon.log.read_text() + ran.out + ran.err
        assert "refresh-" not in shown
        assert "token-1" not in shown
