"""Asking for one address costs the event loop little, and a broken file is told as such."""

from contextlib import closing
from pathlib import Path

import apsw
import pytest

from relayd.errors import StoreUnavailable
from relayd.store.sqlite import suppression
from relayd.store.sqlite.suppression import OF_SENDER
from tests.support.stores import open_sqlite


async def test_one_address_is_found_by_its_key(tmp_path: Path) -> None:
    box = open_sqlite(tmp_path)
    db = apsw.Connection(str(tmp_path / "queue.db"), flags=apsw.SQLITE_OPEN_READONLY)
    plan = db.execute(f"EXPLAIN QUERY PLAN {OF_SENDER}", ("example.com@a", "app@app.test"))
    steps = [str(step[3]) for step in plan.fetchall()]
    db.close()
    await box.close()
    assert steps == ["SEARCH suppression USING PRIMARY KEY (address_key=? AND scope=?)"]


@pytest.mark.parametrize(
    ("sql", "bindings"),
    [(suppression._KEYS, ("a", "z", 9)), (suppression._KEYS_BACK, ("z", 9))],
)
async def test_a_list_is_read_on_and_back_by_its_keys(
    tmp_path: Path, sql: str, bindings: tuple[object, ...]
) -> None:
    box = open_sqlite(tmp_path)
    with closing(apsw.Connection(str(tmp_path / "queue.db"))) as db:
        plan = db.execute(f"EXPLAIN QUERY PLAN {sql}", bindings)
        [step] = [str(step[3]) for step in plan.fetchall()]
    await box.close()
    assert step.startswith("SEARCH suppression USING PRIMARY KEY (address_key")


async def test_a_broken_file_is_a_fault_of_the_store(tmp_path: Path) -> None:
    box = open_sqlite(tmp_path)
    with apsw.Connection(str(tmp_path / "queue.db")) as db:
        db.execute("DROP TABLE suppression")
    db.close()
    with pytest.raises(StoreUnavailable):
        box.view.is_suppressed("a@example.com")
    await box.close()
