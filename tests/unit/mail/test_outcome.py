"""The states of a recipient and the ways between them."""

import pytest

from relayd.mail.outcome import FINAL_STATES, TRANSITIONS, RecipientState

QUEUED, HELD, SENT, RELAYED, BOUNCED, DROPPED = RecipientState

# One row per state; an x where the column's state may follow.  Q H S R B D
MAP = {
    QUEUED: "xxxxxx",
    HELD: "xx--xx",
    SENT: "----x-",
    RELAYED: "----x-",
    BOUNCED: "------",
    DROPPED: "------",
}


@pytest.mark.parametrize("before", RecipientState)
@pytest.mark.parametrize("after", RecipientState)
def test_every_pair_of_states_is_allowed_or_not(
    before: RecipientState, after: RecipientState
) -> None:
    allowed = MAP[before][list(RecipientState).index(after)] == "x"
    assert (after in TRANSITIONS[before]) is allowed


def test_every_state_leads_to_an_end() -> None:
    """No walk through the table stays away from the final states for good (promise 1, promise 6)."""
    for state in RecipientState:
        reached, open_ends = {state}, [state]
        while open_ends:
            new = TRANSITIONS[open_ends.pop()] - reached
            reached |= new
            open_ends += new
        assert reached & FINAL_STATES


def test_final_states_lead_to_nothing_but_a_late_bounce() -> None:
    assert {after for state in FINAL_STATES for after in TRANSITIONS[state]} == {BOUNCED}


def test_states_are_spelt_as_they_are_stored() -> None:
    """The words are on disks: they stay (docs/states.md)."""
    spelling = ["queued", "held", "sent", "relayed", "bounced", "dropped"]
    assert [state.value for state in RecipientState] == spelling
