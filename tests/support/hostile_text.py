"""Long texts that cost a pattern as much as it can be made to cost, built from the pattern itself.

A pattern that backtracks is slow where it nearly matches, again and again. So its parse tree is followed
at random to the texts that it matches; what comes of cutting these off, repeating them, and mixing their
literals is tried in a short form, and the worst of that in a long one.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from importlib import import_module
from pathlib import Path
from pkgutil import walk_packages
from random import Random  # noqa: TID251 -- seeded by the pattern
from re import _constants as ops  # type: ignore[attr-defined]
from re import _parser  # type: ignore[attr-defined]
from typing import Any

from tests.support.processor import seconds, took_by

LIMIT = 0.05  # seconds for 64 KiB, as `took_by` counts them
LENGTH = 1 << 16
_STEPS = (
    (24, 1000),
    (1 << 10, 40),
    (1 << 13, 6),
    (LENGTH, 1),
)  # how long, and how many of the worst go on
_SAMPLES = 5  # of the texts that a pattern matches
_LITERALS = 7  # of a pattern, in pairs
_SLACK = 16  # times what a short text may take by its length
_HOPELESS = 1.0  # seconds that need not be taken again
_END = "\x01"
_FILLERS = (" ", "a", "\n")
_TYPICAL = "a0 -.:@\n\r\t=\x80\"'(<[{;,/A_\u3042\x01"
_CATEGORIES = {
    ops.CATEGORY_DIGIT: r"\d",
    ops.CATEGORY_NOT_DIGIT: r"\D",
    ops.CATEGORY_SPACE: r"\s",
    ops.CATEGORY_NOT_SPACE: r"\S",
    ops.CATEGORY_WORD: r"\w",
    ops.CATEGORY_NOT_WORD: r"\W",
}
_USES = "search|match|fullmatch|findall|finditer|sub|split"

Pattern = re.Pattern[str] | re.Pattern[bytes]
Token = str | tuple[str, int, int]  # a literal; or characters, of which one stands so many times


def patterns_in(*packages: str) -> Iterator[tuple[str, Pattern, frozenset[str]]]:
    """Yield name, pattern and the ways it is used, for every pattern that a module keeps, however deep."""
    seen: set[Pattern] = set()
    for package in packages:
        root = import_module(package)
        names = [each.name for each in walk_packages(root.__path__, f"{package}.")]
        for module in [root, *map(import_module, names)]:
            source = Path(str(module.__file__)).read_text()
            for name, value in vars(module).items():
                for number, pattern in enumerate(_patterns(value)):
                    if pattern in seen:
                        continue
                    seen.add(pattern)
                    uses = re.findall(rf"\b{name}\.({_USES})\(", source)
                    yield (
                        f"{module.__name__}.{name}[{number}]",
                        pattern,
                        frozenset(uses or ["search"]),
                    )


def _patterns(value: object) -> Iterator[Pattern]:
    if isinstance(value, re.Pattern):
        yield value
    elif isinstance(value, dict):
        yield from _patterns(tuple(value.values()))
    elif isinstance(value, (tuple, list, set, frozenset)):
        for each in value:
            yield from _patterns(each)
    elif not isinstance(value, type) and isinstance(
        kept := getattr(value, "patterns", None), tuple
    ):
        yield from _patterns(kept)


def worst_case(
    pattern: Pattern, uses: Iterable[str] = ("search",), length: int = LENGTH
) -> tuple[float, str]:
    """Return how long the worst text found takes, in seconds, and how it begins.

    What is far too slow in a short form already is not tried in a long one: the time is what it would take
    at least.
    """
    units = list(_units(pattern))
    worst = (0.0, "")
    for octets, survivors in _STEPS:
        ranked = []
        for unit in units:
            text = _repeated(unit, min(octets, length))
            allowed = min(LIMIT, max(LIMIT / 5, LIMIT * _SLACK * octets / LENGTH))
            took = _cost(pattern, text, uses)
            if allowed < took < _HOPELESS:
                took = took_by(partial(_search, pattern, text, uses), allowed)
            if took > allowed:
                return took * LENGTH / octets, text[:80]
            ranked.append((took, unit))
        ranked.sort(reverse=True)
        worst = (ranked[0][0], "".join(ranked[0][1])[:80])
        units = [unit for _, unit in ranked[:survivors]]
    return worst


def _cost(pattern: Any, text: str, uses: Iterable[str]) -> float:
    return seconds(partial(_search, pattern, text, uses))


def _search(pattern: Any, text: str, uses: Iterable[str]) -> None:
    given = text if isinstance(pattern.pattern, str) else text.encode("latin-1", "replace")
    for use in uses:
        if use in ("search", "match", "fullmatch"):
            getattr(pattern, use)(given)
        else:
            for _ in pattern.finditer(given):
                pass


def _repeated(unit: tuple[str, str], length: int) -> str:
    """Write the first part once, and the second as often as there is room; nothing ends in a match."""
    first, again = unit
    return (first + again * (length // len(again) + 1))[: length - 1] + _END


def _units(pattern: Pattern) -> set[tuple[str, str]]:
    random = Random(repr(pattern.pattern))
    tree = _parser.parse(pattern.pattern, pattern.flags & ~re.DEBUG)
    pieces: set[str] = set()
    literals: dict[str, None] = {}
    runs = dict.fromkeys("a0 .-\n")
    for _ in range(_SAMPLES):
        tokens = _joined(_walk(tree, random))
        for end in range(1, len(tokens) + 1):
            pieces.update(_written(tokens[:end], mode) for mode in range(3))
        for token in tokens:
            if isinstance(token, str):
                literals[token] = None
            else:
                runs |= dict.fromkeys(token[0])
    few = list(literals)[:_LITERALS]
    units = {("", piece + filler) for piece in pieces if piece for filler in ("", *_FILLERS)}
    units |= {("", a + f + b + f) for a in few for b in few for f in _FILLERS}
    units |= {("", run) for run in runs} | {(a, run) for a in few for run in runs}
    return units


def _written(tokens: Sequence[Token], mode: int) -> str:
    """Write tokens down: with gaps as short as can be, with one character, with some."""
    text = ""
    for token in tokens:
        if isinstance(token, str):
            text += token
        else:
            chars, least, most = token
            text += chars[mode % len(chars)] * min(max(least, min(most, (0, 1, 5)[mode])), 2000)
    return text


def _joined(tokens: Iterable[Token]) -> list[Token]:
    joined: list[Token] = []
    for token in tokens:
        if isinstance(token, str) and joined and isinstance(joined[-1], str):
            joined[-1] += token
        else:
            joined.append(token)
    return joined


def _walk(tree: Any, random: Random) -> Iterator[Token]:
    """Follow a pattern through one of its alternatives; assertions are left to chance."""
    for op, value in tree:
        if op in (ops.MAX_REPEAT, ops.MIN_REPEAT, ops.POSSESSIVE_REPEAT):
            yield from _walk_repeat(value, random)
        elif op in _CHARACTERS:
            chars = _CHARACTERS[op](value)
            yield chars if op is ops.LITERAL else (chars, 1, 1)
        elif op in _INSIDE:
            yield from _walk(_INSIDE[op](value, random), random)


def _walk_repeat(value: Any, random: Random) -> Iterator[Token]:
    least, most, inner = int(value[0]), min(int(value[1]), LENGTH), list(value[2])
    if len(inner) == 1 and inner[0][0] in _CHARACTERS:
        [token] = _walk(inner, random)
        yield (token if isinstance(token, str) else token[0]), least, most
    else:
        for _ in range(random.choice([least, min(most, least + 1), min(most, least + 2)])):
            yield from _walk(inner, random)


def _chars_in(items: Sequence[tuple[Any, Any]]) -> str:
    """Return some characters of a class."""
    negated = any(op is ops.NEGATE for op, _ in items)
    ends = [(v, v) if op is ops.LITERAL else v for op, v in items if op in (ops.LITERAL, ops.RANGE)]
    kinds = [_CATEGORIES[value] for op, value in items if op is ops.CATEGORY]

    def is_in(char: str) -> bool:
        return any(low <= ord(char) <= high for low, high in ends) or any(
            re.match(kind, char) for kind in kinds
        )

    found = "".join(char for char in _TYPICAL if is_in(char) != negated)
    return found or (chr(ends[0][0]) if ends and not negated else "?")


_CHARACTERS: dict[Any, Callable[[Any], str]] = {
    ops.LITERAL: chr,
    ops.NOT_LITERAL: lambda value: "b" if chr(value) == "a" else "a",
    ops.ANY: lambda _: "a ",
    ops.IN: _chars_in,
}
_INSIDE: dict[Any, Callable[[Any, Random], Any]] = {
    ops.BRANCH: lambda value, random: random.choice(value[1]),
    ops.SUBPATTERN: lambda value, _: value[3],
    ops.ATOMIC_GROUP: lambda value, _: value,
}
