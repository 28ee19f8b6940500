"""How an endpoint is doing, in a few words."""

from datetime import timedelta

import pytest

from relayd.answers.webhooks import state_of
from relayd.policy.console.webhook import Off
from relayd.ports.outbox import TOLD, Endpoint, EndpointId, Heard, Subscription
from tests.support.clock import START

LATER, BEFORE = START + timedelta(minutes=1), START - timedelta(minutes=1)
STATES = {
    "": {},
    "ok": {"last_ok_at": START, "last": Heard(status=200)},
    "disabled": {"off": Off.BY_HAND, "failures": 3},
    "disabled: gone": {"off": Off.GONE, "last": Heard(status=410)},
    "disabled: unreachable": {"off": Off.UNREACHABLE, "failures": 30},
    "rests: 503": {"failures": 1, "rests_until": LATER, "last": Heard(status=503)},
    "fails: time is up": {
        "failures": 1,
        "rests_until": BEFORE,
        "last": Heard(trouble="time is up"),
    },
    "rests": {"failures": 1, "rests_until": LATER, "last": Heard(status=204)},  # it was on its way
}


@pytest.mark.parametrize("words", STATES)
def test_a_state_is_told_in_a_few_words(words: str) -> None:
    endpoint = Endpoint(
        id=EndpointId(1),
        wanted=Subscription(url="https://app.test/", kinds=TOLD),
        created_at=START,
        generation=1,
        **STATES[words],  # type: ignore[arg-type]  # fields of an endpoint
    )
    assert state_of(endpoint, START) == words
