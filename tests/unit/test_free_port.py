"""The port that tests give to their servers."""

import itertools
import socket

import pytest

from tests.support import ports


def test_one_that_another_address_has_is_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    """Mail hosts of one test share a port and have addresses of their own; runs at once share the machine."""
    with socket.create_server(("127.0.1.1", 0)) as taken:
        used, free = taken.getsockname()[1], ports.free_port()
        monkeypatch.setattr(ports, "_ports", itertools.chain([used, free]))
        assert ports.free_port() == free
