"""Passwords as hashes: one form of a text, what cannot be checked, and what a hash costs."""

import pytest

from relayd.accounts.passwords import Unverifiable, hash_password, is_password
from tests.support.accounts import dear_hash


def test_a_password_in_either_form_is_the_same() -> None:
    """RFC 8265 section 4.2.2."""
    assert is_password("mu\u0308de", hash_password("m\u00fcde"))
    assert not is_password("mude", hash_password("m\u00fcde"))


@pytest.mark.parametrize("hashed", ["", "$argon2id$v=19$m=8,t=1,p=1$AAAA$AAAA", "plain"])
def test_what_is_no_hash_cannot_be_checked(hashed: str) -> None:
    with pytest.raises(Unverifiable):
        is_password("x", hashed)


def test_a_hash_costs_what_it_shall() -> None:
    assert dear_hash("x").startswith("$argon2id$v=19$m=19456,t=2,p=1$")
