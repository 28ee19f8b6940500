import pytest

from relayd.control import protocol
from relayd.control.protocol import REQUEST_LIMIT, BadMessage
from relayd.control.suppress import (
    AT_ONCE,
    batches,
    suppress_from_json,
    suppress_to_json,
    unsuppress_from_json,
    unsuppress_to_json,
)
from relayd.mail.address import PATH_LIMIT
from relayd.mail.suppression import REASON_LIMIT, ToSuppress

GOOD = {"rcpt": "a@example.org"}


def test_unsuppress_survives_the_wire() -> None:
    line = protocol.encode(unsuppress_to_json("A.User@example.org"))
    assert unsuppress_from_json(protocol.decode(line)) == "A.User@example.org"


@pytest.mark.parametrize(
    "message",
    [{}, {"rcpt": 1}, {"rcpt": ""}, {"rcpt": "no address"}, {"rcpt": "a@example.org", "all": True}],
    ids=repr,
)
def test_bad_unsuppress_is_refused(message: dict[str, object]) -> None:
    with pytest.raises(BadMessage):
        unsuppress_from_json({"verb": "unsuppress", **message})


def test_suppress_survives_the_wire() -> None:
    wanted = [
        ToSuppress(address="A.User@example.org"),
        ToSuppress(address="b@example.org", scope="app@app.test", reason="asked"),
    ]
    line = protocol.encode(suppress_to_json(wanted))
    assert suppress_from_json(protocol.decode(line)) == wanted


@pytest.mark.parametrize(
    "addresses",
    [
        None,
        {},
        [],
        [GOOD] * (AT_ONCE + 1),
        ["a@example.org"],
        [{}],
        [{"rcpt": "no address"}],
        [{"rcpt": 1}],
        [{**GOOD, "from": ""}],
        [{**GOOD, "reason": None}],
        [{**GOOD, "all": True}],
    ],
    ids=lambda value: repr(value)[:40],
)
def test_bad_suppress_is_refused(addresses: object) -> None:
    with pytest.raises(BadMessage):
        suppress_from_json({"verb": "suppress", "addresses": addresses})


def test_what_is_not_shown_does_not_get_in() -> None:
    [wanted] = suppress_from_json(
        {"verb": "suppress", "addresses": [{**GOOD, "reason": "one\nSat \x1b[31mtwo"}]}
    )
    assert wanted.reason == "one Sat  [31mtwo"


def test_a_request_is_of_bounded_size() -> None:
    """Also with the longest addresses, and reasons that JSON makes longer still."""
    longest = '"' + "\\" * (PATH_LIMIT - 11) + '"@x.test'
    each = ToSuppress(address=longest, scope=longest, reason='"' * 10_000)
    [*full, last] = batches([each] * (2 * AT_ONCE + 1))
    assert ([len(batch) for batch in full], len(last)) == ([AT_ONCE] * 2, 1)
    line = protocol.encode(suppress_to_json(full[0]))
    assert REASON_LIMIT * AT_ONCE < len(line) < REQUEST_LIMIT
    assert list(batches([])) == []
