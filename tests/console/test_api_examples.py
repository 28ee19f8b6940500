"""What docs/api.md shows works, as it is written there: curl, Python and PHP."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from relayd.policy.console.roles import Scope
from tests.support.api import Program, a_receiver
from tests.support.console import Console, a_console, fill

PAGE = Path(__file__).resolve().parents[2] / "docs" / "api.md"
EXAMPLES = re.findall(r"^```(\w*)\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL)
PROGRAMS = {
    "": ["bash", "-e"],
    "python": [sys.executable, "-W", "error"],
    "php": ["php", "-d", "display_errors=stderr"],
}
_TIMED_OUT = 28  # curl, of a stream


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("examples")


@pytest.fixture(scope="module")
def console(folder: Path) -> Iterator[Console]:
    with a_console(folder, fill) as made, a_receiver(made, folder):
        yield made


@pytest.fixture(scope="module")
def program(console: Console) -> Program:
    return Program(console=console)


def test_there_are_examples_of_each_kind() -> None:
    assert {kind for kind, _ in EXAMPLES} == set(PROGRAMS)
    assert sum("curl" in text for _, text in EXAMPLES) >= 4


@pytest.mark.parametrize(("kind", "text"), EXAMPLES, ids=range(len(EXAMPLES)))
def test_an_example_works(program: Program, folder: Path, kind: str, text: str) -> None:
    if shutil.which(PROGRAMS[kind][0]) is None:
        pytest.skip(f"no {PROGRAMS[kind][0]} here")
    (folder / ".curlrc").write_text("fail-with-body\nmax-time = 2\nsilent\n")
    (folder / "mail.eml").write_text("From: shop@example.org\nSubject: x\n\nHello.\n")
    text = text.replace("127.0.0.1:8025", f"127.0.0.1:{program.console.port}")
    done = subprocess.run(
        PROGRAMS[kind],
        input=text,
        env={**os.environ, "CURL_HOME": str(folder), "KEY": program.key(*Scope)},
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    expected = _TIMED_OUT if "/events/stream" in text else 0
    assert done.returncode == expected, done.stdout + done.stderr
    assert done.stdout.strip()
    assert "problem" not in done.stdout
    assert not done.stderr
