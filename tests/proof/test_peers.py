"""What was synced when a 250 left, as `peers` reads it from strace; and the table that it goes into."""

import pytest

from tests.proof.parts import PARTS
from tests.proof.peers import synced_before_the_reply
from tests.proof.table import Row

pytestmark = pytest.mark.proof

START = '7 write(9<socket:[1]>, "354 End data\\r\\n", 14) = 14'
FILE = "8 fsync(3</q/incoming/a>) = 0"
NAME = '8 rename("/q/incoming/a", "/q/active/a") = 0'
FOLDER = "8 fsync(4</q/active>) = 0"
BEGUN = "8 fsync(3</q/incoming/a> <unfinished ...>"
ENDED = "8 <... fsync resumed>)          = 0"
REPLY = '7 write(9<socket:[1]>, "250 2.0.0 Ok: queued as 4F\\r\\n", 30) = 30'
A, F = "/q/incoming/a", "/q/active"


@pytest.mark.parametrize(
    ("calls", "synced", "named"),
    [
        pytest.param([START, FILE, REPLY], [A], 0, id="a-file"),
        pytest.param([START, BEGUN, ENDED, REPLY], [A], 0, id="in-two-parts"),
        pytest.param([START, BEGUN, REPLY, ENDED], [], 0, id="not-over-by-then"),
        pytest.param([START, REPLY, FILE], [], 0, id="behind-the-reply"),
        pytest.param([FILE, START, REPLY], [], 0, id="of-an-earlier-message"),
        pytest.param([START, FILE, NAME, REPLY], [A], 1, id="a-name-behind-it"),
        pytest.param([START, FILE, NAME, FOLDER, REPLY], [A, F], 1, id="a-name-that-is-synced"),
        pytest.param([START, FILE.replace("= 0", "= -1 EIO"), REPLY], [], 0, id="it-failed"),
    ],
)
def test_what_was_synced_before_the_reply(calls: list[str], synced: list[str], named: int) -> None:
    assert synced_before_the_reply(calls) == (synced, named)


def test_a_control_has_to_find_something() -> None:
    assert Row("a", "b").is_right
    assert not Row("a", "b", ["wrong"]).is_right
    assert Row("a", "b", ["wrong"], is_control=True).is_right
    assert Row("a", "b", is_control=True).as_text().endswith("NOT FOUND")


def test_each_part_has_something_to_try() -> None:
    assert all([*tries(60, 1)] for tries in PARTS.values())
