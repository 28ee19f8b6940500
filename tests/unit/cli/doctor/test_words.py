"""How findings look: to a person, in a pipe, and with hostile text in them."""

import sys
from pathlib import Path

import pytest

from relayd.cli.doctor.words import show_findings, summary
from relayd.policy.doctor.finding import Check, Finding, Level
from tests.support.cli_world import World
from tests.support.terminal import on_terminal

EVIL = Finding(
    check=Check.REVERSE,
    subject="192.0.2.1",
    level=Level.FAIL,
    reason="its name is evil\x1b[31m\nok",
    remedy="Do [bold]something[/bold].",
)
FINE = Finding(check=Check.FQDN, subject="relay.test", level=Level.OK, reason="fine")


def test_nothing_hostile_gets_into_a_pipe(capsys: pytest.CaptureFixture[str]) -> None:
    show_findings([EVIL, FINE])
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 3
    assert lines[1] == (
        "fail\treverse-dns\t192.0.2.1\tits name is evil?[31m?ok\tDo [bold]something[/bold]."
    )
    assert lines[2].split("\t") == ["ok", "fqdn", "relay.test", "fine", ""]


def test_the_sum() -> None:
    assert "something failed: 1 ok, 1 fail" in summary([EVIL, FINE])
    assert "nothing failed: 2 ok" in summary([FINE, FINE])


def test_a_terminal_gets_a_table(world: World, tmp_path: Path) -> None:
    """Colours, the remedy below the reason, and what is being looked at meanwhile."""
    tmp_path.chmod(0o755)
    command = [sys.executable, "-m", "relayd", "-c", str(world.settings), "doctor", "--quick"]
    status, shown = on_terminal(command)
    assert status == 1
    assert b"looking at our name in the DNS" in shown
    assert b"\x1b[31mfail" in shown
    assert b"Run chmod 0750 on it." in shown
    assert b"something failed: " in shown
    assert b"REMEDY" not in shown
