"""What an operator's verb does to a recipient, and how it is recorded (S-20)."""

import pytest

from relayd.mail.event import subject_of
from relayd.mail.operator import ACTS, Action, Operator, ReadBy
from relayd.mail.outcome import FINAL_STATES, RecipientState, states_before
from relayd.mail.words import EventKind
from tests.support.builders import a_message
from tests.support.clock import START

QUEUED, HELD, SENT, RELAYED, BOUNCED, DROPPED = RecipientState

# One row for each verb: from which states it acts, and where it leads.
MAP = {
    Action.HOLD: ({QUEUED}, HELD),
    Action.RELEASE: ({HELD}, QUEUED),
    Action.EXPEDITE: ({QUEUED}, QUEUED),
    Action.BOUNCE: ({QUEUED, HELD}, BOUNCED),
    Action.DROP: ({QUEUED, HELD}, DROPPED),
}


@pytest.mark.parametrize("action", Action)
@pytest.mark.parametrize("state", RecipientState)
def test_every_pair_of_verb_and_state(state: RecipientState, action: Action) -> None:
    """A verb acts on unfinished mail only, where `TRANSITIONS` allows what it leads to."""
    act, (states, leads_to) = ACTS[action], MAP[action]
    assert act.leads_to is leads_to
    assert (state in states_before(act.leads_to, act.applies_to)) == (state in states)
    assert state not in states or state not in FINAL_STATES


@pytest.mark.parametrize(
    ("action", "kind", "status", "status_after_a_failure"),
    [
        (Action.HOLD, EventKind.HELD, "held", "held"),
        (Action.RELEASE, EventKind.RELEASED, "queued", "deferred"),
        (Action.EXPEDITE, EventKind.EXPEDITED, "queued", "deferred"),
        (Action.BOUNCE, EventKind.BOUNCED, "bounced", "bounced"),
        (Action.DROP, EventKind.DROPPED, "dropped", "dropped"),
    ],
)
def test_an_act_is_recorded(
    action: Action, kind: EventKind, status: str, status_after_a_failure: str
) -> None:
    """Who, when, why, about whom, and the status that it leads to."""
    message = a_message("a@x.test", "b@x.test")
    operator = Operator(action, "ann", "wrong list", START)
    subject = subject_of(message, 1)
    event = operator.event(message.id, 1, subject, has_failed=False)
    assert (event.kind, event.at, event.message_id, event.recipient) == (kind, START, message.id, 1)
    assert event.subject == subject
    told = {"by": "ann", "reason": "wrong list", "status": status}
    if action is Action.BOUNCE:
        told |= {"bounce_class": "block", "category": "policy", "fault": "policy"}
        told |= {"suppress": False}  # type: ignore[dict-item]  # one is no text
    assert event.detail == told
    failed = operator.event(message.id, 1, subject, has_failed=True)
    assert failed.detail["status"] == status_after_a_failure


def test_reading_is_recorded() -> None:
    message = a_message("a@x.test", "b@x.test")
    subject = subject_of(message, 1)
    event = ReadBy("ann", "ticket 7", START).event(message.id, 1, subject)
    assert (event.kind, event.recipient, event.subject) == (EventKind.READ, 1, subject)
    assert event.detail == {"by": "ann", "reason": "ticket 7"}
