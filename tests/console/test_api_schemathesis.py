"""The API by its own document: requests that somebody could make up, right ones and wrong ones."""

import subprocess
import sys
from pathlib import Path

import pytest

from relayd.policy.console.roles import Scope
from tests.support.api import PREFIX, Program, a_receiver
from tests.support.console import a_console, fill

# A stream does not end. What only an address, an instant or a cursor of ours may be, a schema does not tell.
LEFT_OUT = [
    "--exclude-path",
    f"{PREFIX}/events/stream",
    "--exclude-checks",
    "positive_data_acceptance",
]


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_no_request_surprises_the_api(tmp_path: Path) -> None:
    """No 5xx, and every answer has a status, a type and fields that the document has."""
    with a_console(tmp_path, fill) as console, a_receiver(console, tmp_path):
        key = Program(console=console).key(*Scope)
        url = f"http://127.0.0.1:{console.port}{PREFIX}/openapi.json"
        done = subprocess.run(
            [
                Path(sys.executable).parent / "schemathesis",
                "run",
                url,
                "--header",
                f"Authorization: Bearer {key}",
                *LEFT_OUT,
                "--phases=fuzzing",
                "--max-examples=15",
                "--seed=1",
                "--no-color",
            ],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=280,
            check=False,
        )
    assert done.returncode == 0, done.stdout[-8000:]
