"""What the console logs of a run: who and what, and no password, token, key or address of a webhook."""

from pathlib import Path

import structlog

from relayd.console.guard import token_of
from relayd.policy.console.roles import Role, Scope
from tests.support.api import Program
from tests.support.console import PASSWORD, a_console, fill_and_tell

URL = "https://app.test/hook/SECRETPATH?token=SECRETQUERY"


def test_no_secret_is_in_the_log(tmp_path: Path) -> None:
    with structlog.testing.capture_logs() as logs, a_console(tmp_path, fill_and_tell) as console:
        program = Program(console=console)
        key, session = program.key(Scope.ADMIN), console.token(Role.ADMIN)
        wrong = key[:-4] + "aaaa"
        console.post("/login", name="admin", password="wrong-SECRET")
        console.post("/login", name="admin", password=PASSWORD)
        console.get("/messages?tag=x", Cookie=f"relayd={session}SECRET")
        for given in (key, wrong, f"rk_{session}"):
            program.send("GET", "/webhooks", key=given)
        console.post("/webhooks", role=Role.ADMIN, url=URL, events="bounced")
        made = console.post("/webhooks/2/rotate", role=Role.ADMIN).text
        console.post("/users", role=Role.ADMIN, name="ann", role_="x", password="another-SECRET")
        console.clock._now = None  # type: ignore[assignment]  # an error of ours, everywhere
        assert console.get("/", role=Role.ADMIN).status == 500
        assert program.send("GET", "/webhooks", key=key).status == 500
    text = "\n".join(map(repr, logs))
    assert {"console_login_failed", "console_failed"} <= {each["event"] for each in logs}
    secret = made.partition("whsec_")[2][:20]
    assert secret
    secrets = (key, key[-32:], wrong, session, token_of(session), secret, PASSWORD, "SECRET")
    assert not [each for each in secrets if each in text]
