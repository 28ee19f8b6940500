"""The word that somebody meant who mistyped it: of a command, an option, a value or a key.

Similar is what Jaro and Winkler measure: letters in common and in order, the first ones above all. A
plain count of edits finds `metrics` nearer to `retries` than `retry`.

Source: W. E. Winkler, String Comparator Metrics and Enhanced Decision Rules in the Fellegi-Sunter
Model of Record Linkage, 1990.
"""

from collections.abc import Iterable

_ENOUGH = 0.8  # of 1, which is the same word
_AS_GOOD = 0.02  # below the best
_PREFIX = 4  # letters at the start that count more
_LONGEST = 60  # letters of a word that is looked at


def nearest(word: str, choices: Iterable[str]) -> list[str]:
    """Return the choices that are meant most likely, the best first, three at most; none if none is near."""
    given = word[:_LONGEST].lower()
    scored = {each: _likeness(given, each.lower()) for each in choices}
    best = max(scored.values(), default=0.0)
    near = [each for each, score in scored.items() if score >= max(_ENOUGH, best - _AS_GOOD)]
    near.sort(key=lambda each: (-round(scored[each], 6), abs(len(each) - len(given)), each))
    return near[:3]


def _likeness(one: str, other: str) -> float:
    """Return 1 for the same word, 0 for one with nothing in common."""
    jaro = _jaro(one, other)
    same = 0
    for mine, theirs in zip(one[:_PREFIX], other, strict=False):
        if mine != theirs:
            break
        same += 1
    return jaro + same * 0.1 * (1 - jaro)


def _jaro(one: str, other: str) -> float:
    reach = max(max(len(one), len(other)) // 2 - 1, 1)  # of letters that changed places, if short
    free = [True] * len(other)
    matched = []
    for place, letter in enumerate(one):
        for there in range(max(place - reach, 0), min(place + reach + 1, len(other))):
            if free[there] and other[there] == letter:
                free[there] = False
                matched.append(letter)
                break
    if not matched:
        return 0.0
    theirs = [letter for letter, is_free in zip(other, free, strict=True) if not is_free]
    moved = sum(a != b for a, b in zip(matched, theirs, strict=True)) / 2
    count = len(matched)
    return (count / len(one) + count / len(other) + (count - moved) / count) / 3
