"""`relayd backup`: where the copy is, and the exit status when there is none."""

import os
from pathlib import Path

from tests.support.builders import a_message
from tests.support.cli_world import World, enqueue


async def test_the_copy_answers_questions(world: World) -> None:
    store = world.open_store()
    await enqueue(store, a_message("a@x.test"))
    ran = world.run("backup", str(world.folder / "copy"))
    await store.close()
    assert (ran.status, ran.out) == (0, f"{world.folder}/copy/queue.db\n")
    copied = world.folder / "copied.toml"
    copied.write_text(world.settings.read_text().replace("/queue.db", "/copy/queue.db"))
    rows = world.run_bare("-c", str(copied), "status", "--json").rows
    assert [row["rcpt"] for row in rows] == ["a@x.test"]


def test_what_cannot_be_copied(world: World, tmp_path: Path) -> None:
    ran = world.run("backup", str(tmp_path / "copy"))
    assert ran.status == os.EX_TEMPFAIL
    assert "no queue yet" in ran.err


async def test_a_folder_that_holds_something(world: World) -> None:
    store = world.open_store()
    await store.close()
    ran = world.run("backup", str(world.folder))
    assert ran.status == os.EX_CANTCREAT
    assert ran.err == f"relayd: {world.folder} is not empty\n"
