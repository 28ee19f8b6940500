"""What was meant by a word that is mistyped."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from relayd.config.model import DEFAULTS
from relayd.config.nearest import nearest

COMMANDS = [
    "status",
    "stats",
    "addresses",
    "log",
    "trace",
    "queue",
    "pause",
    "resume",
    "drain",
    "top",
    "doctor",
    "route",
    "test-mail",
    "check",
    "config",
    "user",
    "serve",
    "backup",
    "restore",
    "store",
    "demo",
    "sendmail",
    "classify",
    "parse-bounce",
    "check-content",
    "help",
    "man",
    "completion",
    "version",
]
TABLES = sorted({name.partition(".")[0] for name in DEFAULTS})
MISTYPED = {
    "statsu": (COMMANDS, "status"),
    "stauts": (COMMANDS, "status"),
    "satus": (COMMANDS, "status"),
    "adresses": (COMMANDS, "addresses"),
    "que": (COMMANDS, "queue"),
    "docter": (COMMANDS, "doctor"),
    "TEST_MAIL": (COMMANDS, "test-mail"),
    "puase": (COMMANDS, "pause"),
    "retries": (TABLES, "retry"),
    "status-log": (TABLES, "status_log"),
    "smart_host": (TABLES, "smarthost"),
    "listener": (TABLES, "listen"),
    "user_remote_smtp": (TABLES, "use_remote_smtp"),
    "--recipent": (["--recipient", "--reason", "--sender", "--rounds"], "--recipient"),
    "bounce": (["queued", "deferred", "held", "relayed", "sent", "bounced"], "bounced"),
}


@pytest.mark.parametrize(("word", "case"), MISTYPED.items(), ids=MISTYPED)
def test_the_right_one_comes_first(word: str, case: tuple[list[str], str]) -> None:
    choices, meant = case
    assert nearest(word, choices)[0] == meant


@pytest.mark.parametrize("word", ["frobnicate", "", "x", "日本", "info", "a" * 10000])
def test_nothing_near_is_nothing(word: str) -> None:
    assert nearest(word, COMMANDS) == []
    assert nearest(word, []) == []


@settings(max_examples=50, deadline=None)
@given(st.text(max_size=20), st.lists(st.text(max_size=20), max_size=6, unique=True))
def test_the_same_word_is_the_nearest(word: str, others: list[str]) -> None:
    found = nearest(word, [word, *others])
    assert len(found) <= 3
    assert set(found) <= {word, *others}
    if word:
        assert found[0].lower() == word.lower()
