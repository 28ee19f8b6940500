"""One relay for all attacks of a process."""

from collections.abc import Iterator

import pytest

from tests.support.besieged import Besieged, a_besieged_relay


@pytest.fixture(scope="session")
def besieged(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Besieged]:
    with a_besieged_relay(tmp_path_factory.mktemp("besieged")) as besieged:
        yield besieged
