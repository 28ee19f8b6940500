"""The rule by which the bounces of an address speak against using it again."""

import pytest

from relayd.mail.ids import MessageId
from relayd.mail.suppression import (
    EVERYBODY,
    NAMED_SENDERS,
    SpeakingBounce,
    is_suppressed,
    suppressed_for,
)

ANN, BOB = "ann@app.test", "bob@app.test"


def proof(message: int = 1, scope: str = EVERYBODY) -> SpeakingBounce:
    return SpeakingBounce(message_id=MessageId(message), is_proof=True, scope=scope)


def inactive(message: int, scope: str = EVERYBODY) -> SpeakingBounce:
    return SpeakingBounce(message_id=MessageId(message), is_proof=False, scope=scope)


CASES: dict[str, tuple[list[SpeakingBounce], list[str]]] = {
    "nothing": ([], []),
    "a proof": ([proof()], [EVERYBODY]),
    "inactive once": ([inactive(1)], []),
    "inactive twice": ([inactive(1), inactive(2)], [EVERYBODY]),
    "inactive for two recipients of a message": ([inactive(1), inactive(1)], []),
    "a proof that holds for one": ([proof(scope=ANN)], [ANN]),
    "two senders": ([proof(1, BOB), proof(2, ANN)], [ANN, BOB]),
    "inactive for one, and for all": ([inactive(1), inactive(2, ANN)], [ANN]),
    "inactive for two": ([inactive(1, ANN), inactive(2, BOB)], []),
    "a proof for all and one": ([proof(1, ANN), proof(2)], [EVERYBODY]),
}


@pytest.mark.parametrize(("bounces", "senders"), CASES.values(), ids=CASES)
def test_bounces_speak_against_an_address(
    bounces: list[SpeakingBounce], senders: list[str]
) -> None:
    """For everybody, for the senders of asynchronous bounces, or not at all."""
    assert suppressed_for(bounces) == senders
    for sender in (EVERYBODY, ANN, BOB):
        assert is_suppressed(bounces, sender) == (sender in senders or EVERYBODY in senders)


def test_so_many_senders_are_named() -> None:
    bounces = [proof(number, f"{number:03}@app.test") for number in range(NAMED_SENDERS + 1)]
    assert suppressed_for(bounces) == [each.scope for each in bounces[:NAMED_SENDERS]]
