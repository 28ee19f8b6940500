"""Which engine a URL opens, and what is said where it is not installed."""

import sys

import pytest

from relayd.errors import StoreUnavailable
from relayd.store import examine_server, migrate, nodes_of, open_store, open_view, steps_of
from tests.support.clock import FakeClock

SERVER = "postgresql://relayd@db.example.org/mail"
WITHOUT = r"needs the extra `postgres`, as in pip install 'relayd\[postgres\]'"


@pytest.fixture
def _no_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    """As where the library is not installed: what needs it cannot be imported."""
    for name in ("queue", "view", "checkup"):
        monkeypatch.setitem(sys.modules, f"relayd.store.postgres.{name}", None)
        monkeypatch.delattr(f"relayd.store.postgres.{name}", raising=False)


async def test_a_server_is_not_asked_before_it_has_to_be() -> None:
    """So a relay starts while it is away."""
    await open_store(SERVER, clock=FakeClock(), slots={}).close()
    open_view(SERVER).close()


@pytest.mark.usefixtures("_no_extra")
def test_what_is_not_installed_is_named() -> None:
    with pytest.raises(StoreUnavailable, match=WITHOUT):
        open_store(SERVER, clock=FakeClock(), slots={})
    with pytest.raises(StoreUnavailable, match=WITHOUT):
        open_view(SERVER)
    for ask in (nodes_of, steps_of, migrate):
        with pytest.raises(StoreUnavailable, match=WITHOUT):
            ask(SERVER)
    assert "needs the extra `postgres`" in examine_server(SERVER)[0].problem
