"""What is said of the server that has the queue."""

from datetime import timedelta

import pytest

from relayd.policy.doctor.finding import Level
from relayd.policy.doctor.server import ServerFacts, judge_nodes, judge_server

NAME = "postgresql://relayd@db.example.org/mail"
WELL = ServerFacts(name=NAME, version="15.18", schema=3, newest_schema=3, octets=5_400_000)


def test_a_server_that_is_well_is_one_line() -> None:
    [found] = judge_server(WELL)
    assert (found.level, found.subject) == (Level.OK, NAME)
    assert found.reason == "PostgreSQL 15.18, schema 3, 5.4 MB"


def test_a_server_that_cannot_be_asked() -> None:
    [found] = judge_server(ServerFacts(name=NAME, problem="connection refused"))
    assert (found.level, found.reason) == (Level.FAIL, "connection refused")
    assert "store.url" in found.remedy


def test_a_role_that_lacks_a_right() -> None:
    facts = ServerFacts(name=NAME, lacking="the role relayd lacks INSERT on queue: grant that")
    found, _ = judge_server(facts)
    assert (found.level, found.reason) == (Level.FAIL, facts.lacking)


def test_a_queue_that_was_copied_to_another_store() -> None:
    found, _ = judge_server(ServerFacts(name=NAME, moved="the queue went to sqlite:b"))
    assert (found.level, found.reason) == (Level.FAIL, "the queue went to sqlite:b")


@pytest.mark.parametrize(
    ("facts", "reason", "remedy"),
    [
        (
            {"schema": 2, "lacks": ("0003_colour",)},
            "schema 2, this relayd has 3",
            "Restart relayd",
        ),
        (
            {"waiting": ("0004_grey",), "held_by": ("one (relayd 0.1)", "two (relayd 0.1)")},
            "0004_grey waits for one (relayd 0.1), two (relayd 0.1)",
            "Upgrade these machines",
        ),
        ({"waiting": ("0004_grey",)}, "0004_grey is still to be applied", "relayd store migrate"),
        (
            {"logs": (("log_statement", "all"), ("log_parameter_max_length", "-1"))},
            "mail into its log: log_statement = all, log_parameter_max_length = -1",
            "log_statement = none",
        ),
        (
            {"oldest_snapshot": timedelta(hours=2)},
            "a transaction is open for 2 h",
            "pg_stat_activity",
        ),
        (
            {
                "is_compressed": False,
                "checkpoint_timeout": timedelta(minutes=5),
                "max_wal_size": 2**30,
            },
            "wal_compression is off, checkpoint_timeout is 5 min, max_wal_size is 1 GB",
            "wal_compression = on",
        ),
    ],
)
def test_what_is_to_be_changed_there(facts: dict[str, object], reason: str, remedy: str) -> None:
    fields = {
        name: getattr(WELL, name)
        for name in ("name", "version", "schema", "newest_schema", "octets")
    }
    first, last = judge_server(ServerFacts(**{**fields, **facts}))
    assert first.level is Level.WARN
    assert reason in first.reason
    assert remedy in first.remedy
    assert last.level is Level.OK


@pytest.mark.parametrize(
    ("alike", "others", "level", "subject", "words"),
    [
        (["a"], {}, Level.OK, "a", "no other machine has the queue"),
        (["a", "b"], {}, Level.OK, "a, b", "2 machines, all with settings as here"),
        (["a"], {"b": [], "c": []}, Level.WARN, "b, c", "settings are not as here: "),
        (["a"], {"b": ["z", "y"], "c": ["y"]}, Level.WARN, "b, c", "not as here (y, z): "),
    ],
)
def test_machines_with_one_queue_treat_mail_alike(
    alike: list[str], others: dict[str, list[str]], level: Level, subject: str, words: str
) -> None:
    found = judge_nodes(alike, others)
    assert (found.level, found.subject) == (level, subject)
    assert words in found.reason
