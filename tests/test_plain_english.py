"""What people read first is in plain English: one idea a sentence, 25 words at most.

This can be counted. That each sentence has a verb, and says what happens and for how long, is for a
reader to see.
"""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
MOST = 25  # words of a sentence
PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    *(ROOT / "docs" / name for name in ("architecture.md", "glossary.md", "known-issues.md")),
    *sorted((ROOT / "docs/howto").glob("*.md")),
]


def blocks_of(text: str) -> Iterator[str]:
    """Yield each paragraph, heading, item of a list and part of a cell; code is not text."""
    text = re.sub(r"(?ms)^ *```.*?^ *```$", "\n\n", text)
    text = re.sub(r"<!--.*?-->", "", text)
    text = re.sub(r"(?m)^( *(?:[-*]|\d+\.) |#+ )", r"\n\n", text)
    for block in re.split(r"\n\s*\n", text):
        prose = [line for line in block.splitlines() if not line.startswith("|")]
        yield " ".join(prose)
        for row in block.splitlines():
            if row.startswith("|"):
                for cell in re.split(r"(?<!\\)\|", row):
                    yield from re.split(r"; | · ", cell)


def sentences_of(text: str) -> Iterator[str]:
    for block in blocks_of(text):
        plain = re.sub(r"`[^`]+`", "CODE", block)
        plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", plain).replace("*", "")
        for sentence in re.split(r"(?<=[.!?])\)?\s+", plain):
            if sentence.strip():
                yield sentence.strip()


def words_of(sentence: str) -> int:
    return sum(1 for word in sentence.split() if any(map(str.isalnum, word)))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_no_sentence_is_long(page: Path) -> None:
    long = [each for each in sentences_of(page.read_text()) if words_of(each) > MOST]
    assert not long, "\n".join(f"{words_of(each)}: {each}" for each in long)


@pytest.mark.parametrize(
    ("text", "counts"),
    [
        pytest.param("One two three. Four five.", [3, 2], id="sentences"),
        pytest.param("One two\nthree\n\nfour", [3, 1], id="paragraphs"),
        pytest.param("Do this:\n\n- one two\n- three\n", [2, 2, 1], id="a list"),
        pytest.param("1. one two.\n2. three\n   four\n", [2, 2], id="a numbered list"),
        pytest.param("| a b | c; d e |\n|---|---|\n", [2, 1, 2], id="a table"),
        pytest.param("Say\n\n```sh\na b c d e f\n```\n\nthat", [1, 1], id="code"),
        pytest.param("Run `relayd status show ID` now.", [3], id="code in a line"),
        pytest.param("See [the page](docs/a b.md).", [3], id="a link"),
    ],
)
def test_words_are_counted(text: str, counts: list[int]) -> None:
    assert [words_of(each) for each in sentences_of(text) if words_of(each)] == counts


def test_a_long_sentence_is_found() -> None:
    assert [words_of(each) for each in sentences_of("word " * 26 + ".")] == [26]
