"""Sentences about the symbols of content checkers."""

import re

import pytest

from relayd.policy.intake.advice import _table, advice_on

KNOWN = {
    "exact": ("MISSING_MID", "There is no Message-ID"),
    "by its beginning": ("HTML_IMAGE_ONLY_12", "There is little text"),
    "the longest beginning": ("RCVD_IN_DNSWL_MED", "The sending host is on a list of good senders"),
    "a shorter one": ("RCVD_IN_XBL", "A host on the way is on a blocklist"),
    "exact beats a beginning": ("BAYES_50", "The words are neither"),
    "a good one": ("BAYES_00", "The words are like those of wanted mail"),
}


@pytest.mark.parametrize(("symbol", "sentence"), KNOWN.values(), ids=KNOWN)
def test_a_known_symbol_is_explained(symbol: str, sentence: str) -> None:
    assert (advice_on(symbol) or "").startswith(sentence)


@pytest.mark.parametrize("symbol", ["", "NEVER_HEARD_OF", "*", "lower"])
def test_an_unknown_symbol_is_not(symbol: str) -> None:
    assert advice_on(symbol) is None


def test_every_sentence_is_one_line() -> None:
    """And ends like one; names are those of symbols."""
    for name, sentence in _table().items():
        assert re.fullmatch(r"[A-Z0-9_]+\*?", name), name
        assert re.fullmatch(r"[A-Z][ -~]{10,160}\.", sentence), sentence
