"""Words of our own that mail engineers would not know do not come back (the glossary has theirs)."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
# Each with the field's word. Names of events, settings, JSON fields and replies keep their spelling.
GONE = {
    r"\b[Ll]anes?\b(?!=)|_lanes?\b|\blane_": "destination queue",  # the log has a field of that name
    r"\bCouriers?\b(?!,)|\bcourier\b": "recorder; Courier is a mail server among others",
    r"\bDirections\b": "next-hop router",
    r"\bborn.leased\b|_born_|\bborn_work\b": "leased at enqueue",
    r"self\._proven\b|\bon_trial\b|\bon trial\b": "verified, probing",
    r"\blingers\b": "idle timeout",
    r"\bOutages?\b": "dead hosts",
    r"\bRamp\b": "slow start",
    r"\bastray\b|\bsort_out\b|\bMoved\b": "misrouted, reroute, rerouted",
    r"\b_?mishap\b|\bFates?\b": "internal error, recipient result",
    r"\boutranked\b|\bunanimous\b": "better MX unreachable, all hosts refuse",
    r"\bDoors?\b|\bis_ahead\b|\bheedless\b": "accept balancing",
    r"\bDesk\b|\bAskers?\b": "control context, pending requests",
    r"\bbury\b|\bdisband\b|\b_?naps?\b": "reap, stop all, clock jump",
    r"\b[Pp]atience\b|\bBoard\b|\bTally\b": "timeouts, shared counters, counters",
    r"\bScene\b|\bWish\b|\bclass Look\b": "check context, check request, overview",
    r"\b[Ll]ate bounces?\b": "asynchronous bounce",
    r"\breturn paths? of ours\b|\bour return paths?\b": "VERP address",
    r"\bmend(?:s|ed|ing)?\b": "fix",
    r"\b[Ww]hoever\b": "who, or the client, the operator",
    r"\b[Ss]tands? (?!for\b|still\b|out\b|in for\b)": "is",
}
SUFFIXES = {".py", ".md", ".toml", ".service", ".socket", ".yml", ".sql"}
HISTORY = ("docs/adr/", "relayd/store/sqlite/schema/")  # say what was, and stay as they are


def pages() -> Iterator[Path]:
    for top in ("relayd", "docs", "etc", "systemd", "README.md", "CONTRIBUTING.md", "SECURITY.md"):
        path = ROOT / top
        for each in [path] if path.is_file() else sorted(path.rglob("*")):
            if each.suffix in SUFFIXES and not str(each.relative_to(ROOT)).startswith(HISTORY):
                yield each


def without_code(text: str) -> str:
    """Leave out what is `code`: paths to tests, names that keep their spelling."""
    return re.sub(r"`[^`\n]*`", "", text)


def uses(word: str, text: str) -> list[str]:
    """Return the lines that use a word."""
    if not re.search(word, text):  # most pages
        return []
    return [line.strip() for line in text.splitlines() if re.search(word, line)]


@pytest.fixture(scope="module")
def texts() -> dict[str, str]:
    return {str(page.relative_to(ROOT)): without_code(page.read_text()) for page in pages()}


@pytest.mark.parametrize("word", GONE)
def test_a_word_of_our_own_does_not_come_back(word: str, texts: dict[str, str]) -> None:
    found = [f"{page}: {line}" for page, text in texts.items() for line in uses(word, text)]
    assert not found, f"say {GONE[word]}"


def test_a_word_that_comes_back_is_found() -> None:
    text = without_code("x\nask whoever owns it\n`whoever`")
    assert uses(r"\b[Ww]hoever\b", text) == ["ask whoever owns it"]
