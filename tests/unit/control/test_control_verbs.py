"""The table of verbs: what is a change, and what is none."""

import pytest

from relayd.control.protocol import BadMessage
from relayd.control.verbs import VERBS, verb_of

QUESTIONS = {"metrics", "people.oidc_begin", "ping", "reload", "settings", "status", "trace"}


def test_what_reaches_the_store_is_a_change() -> None:
    """Each has a place among those carried out, and is carried to its end; the others wait for none."""
    assert {name for name, verb in VERBS.items() if not verb.is_change} == QUESTIONS


@pytest.mark.parametrize("verb", ["", "acts", "_change", None, 1, ["act"], {}])
def test_unknown_verb_is_refused(verb: object) -> None:
    with pytest.raises(BadMessage, match="unknown verb"):
        verb_of({"verb": verb})
