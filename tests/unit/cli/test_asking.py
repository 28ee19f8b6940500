"""What a question needs of the settings, and what it does not wait for."""

import os
import subprocess
import sys

from relayd.store.sqlite.connection import prepare
from tests.support.cli_world import World


def test_a_mistake_elsewhere_does_not_keep_anybody_from_asking(world: World) -> None:
    prepare(str(world.folder / "queue.db"))
    with world.settings.open("a") as file:
        file.write("[frob]\n")
    assert world.run("check").status == os.EX_CONFIG
    assert world.run("status").status == 0


def test_asking_imports_neither_models_nor_the_daemon(world: World) -> None:
    """They would cost several times what the question does."""
    prepare(str(world.folder / "queue.db"))
    code = (
        "import sys; from relayd.cli.command import run; assert run(sys.argv[1:]) == 0\n"
        "print([name for name in ('asyncio', 'ssl', 'pydantic', 'idna', 'relayd.policy')"
        " if name in sys.modules])"
    )
    arguments = ["-c", str(world.settings), "status", "--recipient", "a@b.test"]
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-1] == "[]"
