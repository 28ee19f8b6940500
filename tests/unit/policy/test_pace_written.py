"""The state of a site as text."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relayd.policy.pace import FREE, SiteMode, SiteState
from relayd.policy.pace_written import read, written

STATES = st.builds(
    SiteState,
    mode=st.sampled_from(SiteMode),
    since=st.floats(0, 1e12),
    until=st.floats(0, 1e12),
    ceiling=st.floats(0, 1e9),
    level=st.integers(0, 99),
    noted=st.integers(0, 2**63),
    reply=st.text(max_size=20),
)


@given(STATES)
def test_what_is_written_is_read(state: SiteState) -> None:
    assert read(written(state)) == state


@pytest.mark.parametrize(
    "text",
    [None, "", "{", "[]", "null", '{"mode": "angry"}', '{"until": "soon"}', '{"level": null}'],
)
def test_what_cannot_be_read_is_free(text: str | None) -> None:
    assert read(text) == FREE


def test_what_a_later_version_adds_is_left_out() -> None:
    assert read('{"mode": "paced", "colour": "red"}') == SiteState(mode=SiteMode.PACED)
