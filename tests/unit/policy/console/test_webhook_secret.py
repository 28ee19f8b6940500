"""The secrets of webhooks: each generation of each endpoint has its own."""

from itertools import product

import pytest

from relayd.policy.console.webhook_secret import key_of, secret_of

KEY, OTHER = b"k" * 32, b"o" * 32


def test_no_two_are_alike() -> None:
    made = {
        secret_of(endpoint, generation, key=key)
        for endpoint, generation, key in product((1, 2, 11), (1, 2, 11), (KEY, OTHER))
    }
    assert len(made) == 18


def test_it_is_the_same_each_time_and_as_long_as_the_standard_asks() -> None:
    secret = secret_of(1, 1, key=KEY)
    assert secret == secret_of(1, 1, key=KEY)
    assert (
        secret == "whsec_/IV7kGEako47/MB7+lzkpdxni/kxjDqeFeyzEHaccrc="
    )  # receivers have it: it must not change
    assert 24 <= len(key_of(secret)) <= 64


@pytest.mark.parametrize("text", ["", "whsec", "8bCTY+2T", "whsec_é", "whsec_a b"])
def test_what_is_no_secret_is_refused(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 -- whichever
        key_of(text)
