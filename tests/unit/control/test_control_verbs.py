"""The table of verbs: what is a change, and what is none."""

import pytest

from relayd.control.protocol import BadMessage
from relayd.control.verbs import VERBS, verb_of

CHANGES = {"act", "compact", "content", "pause", "requeue", "resume", "suppress", "unsuppress"}
QUESTIONS = {"metrics", "ping", "reload", "settings", "status", "trace"}


def test_what_reaches_the_store_is_a_change() -> None:
    """Each has a place among those carried out, and is carried to its end."""
    changes = {name for name, verb in VERBS.items() if verb.is_change}
    subjects = ("people.", "endpoint.", "deliveries.")
    of_console = {name for name in VERBS if name.startswith(subjects)}
    assert changes == CHANGES | of_console
    assert set(VERBS) == CHANGES | of_console | QUESTIONS


@pytest.mark.parametrize("verb", ["", "acts", "_change", None, 1, ["act"], {}])
def test_unknown_verb_is_refused(verb: object) -> None:
    with pytest.raises(BadMessage, match="unknown verb"):
        verb_of({"verb": verb})
