"""Log-ins to the console at a running relay with two workers: they count guesses together, and tell no password."""

import signal
from pathlib import Path

from relayd.accounts.passwords import hash_password
from relayd.control import client
from relayd.control.people import NewAccount, NewSession, add_account_to_json, log_in_to_json
from relayd.policy.console.backoff import PACE
from relayd.policy.console.roles import Role
from tests.support.daemon import Daemon, a_daemon, eventually
from tests.support.people import token_hash
from tests.support.ports import free_port

SECRET = "correct horse SECRET"


def log_in(relay: Daemon, name: str, password: str, address: str) -> str:
    """Return why somebody is not let in; empty: they are."""
    session = NewSession(account=name, token_hash=token_hash(), client=address)
    socket = str(relay.folder / "control.sock")
    found = client.ask(socket, log_in_to_json(session, password))
    return "" if found["done"] is True else str(found["why"])


def test_guesses_count_for_all_workers_and_after_a_reload(tmp_path: Path) -> None:
    with a_daemon(tmp_path, free_port(), more='level = "debug"') as relay:
        for name in ("anna", "ben"):
            new = NewAccount(name=name, role=Role.VIEWER, password_hash=hash_password(SECRET))
            client.ask(str(tmp_path / "control.sock"), add_account_to_json(new))
        assert log_in(relay, "ben", SECRET, "192.0.2.7") == ""
        told = [log_in(relay, "anna", f"SECRET-{n}", f"198.51.100.{n}") for n in range(12)]
        assert sum("is wrong" in each for each in told) == PACE.free
        relay.write(connections=21)
        relay.signal(signal.SIGHUP)
        eventually(lambda: relay.events("reloaded"), "other workers")
        assert "Too many attempts" in log_in(relay, "anna", SECRET, "192.0.2.7")
        for number in range(PACE.free + 1):
            log_in(relay, "ben", "SECRET", f"198.51.100.{100 + number}")
        assert log_in(relay, "ben", SECRET, "192.0.2.7") == "", "it is known from there"
        assert len(relay.events("console_login_failed")) == 2 * PACE.free
        assert "SECRET" not in relay.log.read_text()
