"""`docs/terminal.md` shows what the commands print on a terminal, to the letter."""

import io
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from relayd.cli.config import banner
from relayd.cli.config.banner import Answer, State
from relayd.cli.table import width_of
from relayd.config.change import changing
from relayd.config.model import Key
from relayd.sockets import REMEDIES
from tests.support.screenshots import page_with, screens

PAGE = Path(__file__).parent.parent / "docs/terminal.md"
FILE = "/etc/relayd/relayd.toml"


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def shown(command: str) -> str:
    """What the page shows behind `$ command`."""
    found = re.search(rf"(?ms)^\$ {re.escape(command)}\n(.*?)(?=^\$ |^```)", PAGE.read_text())
    assert found is not None, command
    return found[1]


@pytest.fixture
def set_(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[Key, object, Answer], str]:
    """The banner of one change, as if the file were where it belongs."""
    file = tmp_path / "relayd.toml"
    file.write_text('fqdn = "relay.your-domain.tld"\n')
    monkeypatch.setenv("COLUMNS", "80")

    def show(key: Key, value: object, answer: Answer) -> str:
        with changing(str(file), [(key, value)]) as made:
            changed = replace(made, file=FILE)
        terminal = Terminal()
        with monkeypatch.context() as patch:
            patch.setattr("sys.stdout", terminal)
            put_back = answer.state is State.REFUSED
            banner.show_banner(changed, answer, put_back=put_back, as_json=False)
        return terminal.getvalue()

    return show


Show = Callable[[Key, object, Answer], str]


def test_a_setting_that_is_in_force(set_: Show) -> None:
    real = set_(("retry", "soft_bounce"), ["15m", "1h"], Answer(state=State.CURRENT))
    assert shown("""relayd config set retry.soft_bounce '["15m", "1h"]'""") == real


def test_direct_mode(set_: Show) -> None:
    real = set_(("use_remote_smtp",), True, Answer(state=State.CURRENT))  # noqa: FBT003
    assert shown("relayd config set use_remote_smtp true") == real


def test_a_setting_that_the_daemon_cannot_run_with(set_: Show) -> None:
    reason = f"cannot listen on 127.0.0.1:587: Address already in use; {REMEDIES[98]}"
    answer = Answer(state=State.REFUSED, reasons=(reason,))
    real = set_(("listen", 0, "address"), "127.0.0.1:587", answer)
    assert shown("relayd config set listen.0.address 127.0.0.1:587") == real


async def test_the_screens(tmp_path: Path) -> None:
    shown = await screens(tmp_path)
    assert PAGE.read_text() == page_with(shown), "run .ci/terminal"
    assert all(
        width_of(line) <= width for (_, width), text in shown.items() for line in text.splitlines()
    )
