import pytest

from relayd.control import protocol
from relayd.control.protocol import BadMessage, Message
from relayd.ports.view import Metric


def test_labels_are_sorted_by_name() -> None:
    message = {"metrics": [["relayd_x", {"b": "1", "a": "2"}, 3.5]]}
    assert protocol.metrics_from_json(message) == [
        Metric("relayd_x", (("a", "2"), ("b", "1")), 3.5)
    ]


@pytest.mark.parametrize(
    "message",
    [{}, {"metrics": 5}, {"metrics": [5]}, {"metrics": [["a", {}]]}, {"metrics": [["a", [], 1]]}],
)
def test_what_is_no_list_of_metrics_is_refused(message: Message) -> None:
    with pytest.raises(BadMessage):
        protocol.metrics_from_json(message)
