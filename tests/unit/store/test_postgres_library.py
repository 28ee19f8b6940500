"""What the server says beside its answers."""

import pytest

asyncpg = pytest.importorskip("asyncpg")

from relayd.store.postgres.library import is_doubt  # noqa: E402 -- needs it


@pytest.mark.parametrize(
    ("severity", "source", "doubt"),
    [
        ("WARNING", "syncrep.c", True),
        ("WARNING", "varsup.c", False),  # "must be vacuumed within 39483595 transactions"
        ("WARNING", "multixact.c", False),
        ("NOTICE", "syncrep.c", False),
    ],
)
def test_only_a_warning_of_the_commit_casts_doubt_on_it(
    severity: str, source: str, *, doubt: bool
) -> None:
    fields = {"S": "WARNUNG", "V": severity, "C": "01000", "M": "what it says", "F": source}
    assert is_doubt(asyncpg.PostgresLogMessage.new(fields)) is doubt


def test_a_warning_without_a_source_is_one_too() -> None:
    fields = {"S": "WARNING", "V": "WARNING", "C": "01000", "M": "what it says"}
    assert is_doubt(asyncpg.PostgresLogMessage.new(fields))
