"""Patterns of senders: which fits, and which can never count."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relayd.policy.delivery.senders import SenderPatterns, shadowed

PATTERNS = SenderPatterns(
    ("Boss@shop.example", "shop.example", "*.shop.example", "*.example", "<>", "bücher.test")
)


@pytest.mark.parametrize(
    ("sender", "pattern"),
    [
        pytest.param("boss@Shop.example", "Boss@shop.example", id="address-in-any-case"),
        pytest.param("x@shop.example", "shop.example", id="domain"),
        pytest.param("x@a.b.shop.example", "*.shop.example", id="below"),
        pytest.param("x@xshop.example", "*.example", id="whole-labels"),
        pytest.param("x@example", None, id="a-star-is-below-only"),
        pytest.param("", "<>", id="null"),
        pytest.param("x@bücher.test", "bücher.test", id="u-labels"),
        pytest.param("x@xn--bcher-kva.test", "bücher.test", id="a-labels"),
        pytest.param('"shop.example"@other.test', None, id="a-local-part-is-no-domain"),
    ],
)
def test_the_first_that_fits(sender: str, pattern: str | None) -> None:
    assert PATTERNS.first_for(sender) == pattern


def test_without_patterns_none_fits() -> None:
    assert SenderPatterns().first_for("x@shop.example") is None
    assert SenderPatterns().first_for("") is None


def test_what_is_first_in_the_file_counts() -> None:
    """Also where the other is more exact, which `shadowed` tells of."""
    patterns = ("shop.example", "boss@shop.example")
    assert SenderPatterns(patterns).first_for("boss@shop.example") == "shop.example"
    assert list(shadowed(patterns)) == [("boss@shop.example", "shop.example")]


DOMAINS = st.lists(st.sampled_from(["a", "b"]), min_size=1, max_size=3).map(".".join)
SOME = st.one_of(
    st.just("<>"),
    DOMAINS,
    DOMAINS.map(lambda domain: f"*.{domain}"),
    DOMAINS.map(lambda domain: f"x@{domain}"),
)


@given(st.lists(SOME, max_size=5, unique=True), st.one_of(st.just(""), DOMAINS))
def test_no_sender_gets_to_what_is_shadowed(patterns: list[str], domain: str) -> None:
    sender = domain and f"x@{domain}"
    lost = {pattern for pattern, _ in shadowed(patterns)}
    assert SenderPatterns(patterns).first_for(sender) not in lost


@given(st.lists(SOME, max_size=5, unique=True))
def test_what_is_not_shadowed_has_a_sender(patterns: list[str]) -> None:
    """A new local part and a new label lead to each pattern that no other has all of."""
    lost = {pattern for pattern, _ in shadowed(patterns)}
    for pattern in patterns:
        sender = {"<>": ""}.get(pattern, pattern if "@" in pattern else f"y@{pattern}")
        found = SenderPatterns(patterns).first_for(sender.replace("*.", "new."))
        assert (found == pattern) is (pattern not in lost)
