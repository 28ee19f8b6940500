"""Names of accounts and keys: one spelling, nothing that could be taken for something else."""

import pytest

from relayd.policy.console.names import as_account, as_key, parse_name


@pytest.mark.parametrize("name", ["a", "anna", "9", "anna.b-c_d", "anna+x@example.org", "a" * 64])
def test_names(name: str) -> None:
    assert parse_name(name) == name


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Anna",
        "a b",
        "anna (console)",
        "-a",
        ".a",
        "a\n",
        "ä",
        "a" * 65,
        "a/b",
        "a\u202eb",
        "<b>",
    ],
)
def test_what_is_no_name(text: str) -> None:
    with pytest.raises(ValueError, match="expected a name"):
        parse_name(text)


def test_who_acts_is_told_apart() -> None:
    """No user of the system and no other name looks like it."""
    assert as_account("anna") == "anna (console)"
    assert as_key("anna") == "anna (API key)"
