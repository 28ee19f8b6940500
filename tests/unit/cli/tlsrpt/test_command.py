"""`relayd tlsrpt show`: what was counted, and no report has told."""

from pathlib import Path

import pytest

from relayd.store.sqlite.connection import prepare
from tests.support.cli_world import World, make_world
from tests.support.tls_counts import a_tls_session


@pytest.fixture
def world(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> World:
    made = make_world(tmp_path, capsys.readouterr)
    prepare(str(tmp_path / "queue.db"))
    return made


async def test_what_is_counted(world: World) -> None:
    store = world.open_store()
    await store.trust.add_tls_results({a_tls_session(): 3, a_tls_session("y.test", result=""): 40})
    await store.close()
    ran = world.run("tlsrpt", "show", "2026-03-01")
    assert [line[:5] for line in ran.cells[1:]] == [
        ["2026-03-01", "x.test", "no-policy-found", "certificate-expired", "3"],
        ["2026-03-01", "y.test", "no-policy-found", "good", "40"],
    ]
    failed, good = world.run("tlsrpt", "show", "--json").rows
    assert failed == {
        "day": "2026-03-01",
        "domain": "x.test",
        "policy": "no-policy-found",
        "tls_result": "certificate-expired",
        "sessions": 3,
        "remote_host": "mx.x.test",
        "remote_ip": "192.0.2.1",
        "local_ip": "192.0.2.9",
        "reason": "the certificate of mx.x.test has expired",
    }
    assert (good["domain"], good["sessions"], good.get("tls_result")) == ("y.test", 40, None)


def test_a_day_without_any(world: World) -> None:
    ran = world.run("tlsrpt", "show", "2026-03-02", "--fail-empty")
    assert (ran.status, "nothing is counted" in ran.err) == (1, True)


def test_what_is_no_day(world: World) -> None:
    ran = world.run("tlsrpt", "show", "yesterday")
    assert (ran.status, "expected a day such as 2026-11-29" in ran.err) == (64, True)
