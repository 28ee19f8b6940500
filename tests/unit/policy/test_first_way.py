"""Which ways to a smarthost are tried for the first time."""

import pytest

from relayd.policy.first_way import Way, ways_to
from relayd.policy.tls.ladder import TlsMode

PROVEN = [Way(587, TlsMode.VERIFY), Way(465, TlsMode.IMPLICIT), Way(25, TlsMode.VERIFY)]
UNPROVEN = [Way(587, TlsMode.OPPORTUNISTIC), Way(25, TlsMode.OPPORTUNISTIC)]


@pytest.mark.parametrize(
    ("port", "logs_in", "ways"),
    [
        pytest.param(None, True, PROVEN, id="a login"),
        pytest.param(None, False, PROVEN + UNPROVEN, id="no login"),
        pytest.param(2525, True, [Way(2525, TlsMode.VERIFY)], id="a port"),
        pytest.param(465, False, [Way(465, TlsMode.IMPLICIT)], id="that of implicit TLS"),
    ],
)
def test_a_smarthost_elsewhere(port: int | None, ways: list[Way], *, logs_in: bool) -> None:
    assert [*ways_to(port, is_here=False, logs_in=logs_in)] == ways


@pytest.mark.parametrize(
    ("port", "ways"),
    [
        (None, [Way(25, TlsMode.OPPORTUNISTIC), Way(587, TlsMode.OPPORTUNISTIC)]),
        (465, [Way(465, TlsMode.IMPLICIT)]),
        (1025, [Way(1025, TlsMode.OPPORTUNISTIC)]),
    ],
)
def test_a_smarthost_on_this_machine(port: int | None, ways: list[Way]) -> None:
    """Nobody can pose as it, so a login needs no proof."""
    assert [*ways_to(port, is_here=True, logs_in=True)] == ways


@pytest.mark.parametrize("port", [None, 25, 587, 465])
def test_a_login_never_goes_where_no_name_is_proven(port: int | None) -> None:
    proving = {TlsMode.VERIFY, TlsMode.IMPLICIT}
    assert {each.tls for each in ways_to(port, is_here=False, logs_in=True)} <= proving
