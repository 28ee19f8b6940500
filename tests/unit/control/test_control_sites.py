"""What is asked of the control socket about sites."""

import pytest

from relayd.control.protocol import BadMessage, Message
from relayd.control.sites import free_from_json, free_to_json, freed_from_json

WRONG: tuple[Message, ...] = (
    {"verb": "free_site"},
    {"verb": "free_site", "site": ""},
    {"verb": "free_site", "site": 1},
    {"verb": "free_site", "site": "a" * 1001},
    {"verb": "free_site", "site": "a", "all": True},
)


def test_a_request_is_read_as_it_was_written() -> None:
    assert free_from_json(free_to_json("a.test,b.test")) == "a.test,b.test"


@pytest.mark.parametrize("message", WRONG)
def test_a_wrong_request_is_refused(message: Message) -> None:
    with pytest.raises(BadMessage):
        free_from_json(message)


@pytest.mark.parametrize(
    "message", [{}, {"sites": "a"}, {"sites": ["a"]}, {"sites": []}, {"sites": [], "domains": [1]}]
)
def test_a_wrong_answer_is_refused(message: Message) -> None:
    with pytest.raises(BadMessage):
        freed_from_json(message)
