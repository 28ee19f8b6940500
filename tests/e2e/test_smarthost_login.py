"""A daemon that logs in at its smarthost, and a token that is renewed while it runs."""

from pathlib import Path

from tests.support.daemon import a_daemon, a_smarthost, eventually
from tests.support.scripted_server import Script

NEW = "AUTH XOAUTH2 dXNlcj1hcHABYXV0aD1CZWFyZXIgbmV3AQE="  # of app, with the token "new"
SCRIPT: Script = {"EHLO": ["AUTH XOAUTH2"], "AUTH": "535 5.7.8 no", NEW: "235 welcome"}


def test_a_renewed_token_needs_no_reload(tmp_path: Path) -> None:
    """S-53: the mail waits while the token is old or missing, and goes out soon after a new one."""
    token = tmp_path / "token"
    token.write_text("old\n")
    token.chmod(0o600)
    more = f'username = "app"\nauth = "xoauth2"\ntoken_file = "{token}"\n'
    with (
        a_smarthost(SCRIPT) as smarthost,
        a_daemon(tmp_path, smarthost.port, smarthost_more=more) as daemon,
    ):
        daemon.send("a@x.test")
        eventually(lambda: "login_refused" in daemon.log.read_text(), "the old token is refused")
        token.unlink()
        eventually(lambda: "no such file" in daemon.log.read_text(), "the token is missed")
        assert daemon.run("check").status == 78
        (tmp_path / "fresh").write_text("new\n")
        (tmp_path / "fresh").chmod(0o600)
        (tmp_path / "fresh").replace(token)
        smarthost.received(1)
        [row] = daemon.rows()
        assert row.attempts == 1, "refused logins count for nothing"
