"""Which entry of `[senders]` a reverse-path is meant by.

Owns the patterns and how they are compared; what an entry says is others' affair. A pattern is an
address, a domain, `*.domain` for all below one, `*` for all, or `<>` for the null reverse-path.

The first entry that fits counts, in the order of the file, and it counts alone. So an entry behind one
that has all of its mail can never count: `shadowed` finds those.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from relayd.mail.address import compared_domain

NULL = "<>"
"""The pattern of the null reverse-path."""
ANY = "*"
"""The pattern of every other one."""


@dataclass(frozen=True, slots=True)
class SenderPatterns:
    """The patterns of `[senders]`, in their order; looked up by the few that can fit a sender."""

    patterns: Sequence[str] = ()
    _places: Mapping[str, int] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        places: dict[str, int] = {}
        for place, pattern in enumerate(self.patterns):
            places.setdefault(compared(pattern), place)
        object.__setattr__(self, "_places", places)

    def first_for(self, sender: str) -> str | None:
        """Return the first pattern that fits a reverse-path, which is empty if it is null; None: none fits."""
        if not self._places:
            return None
        places = (self._places.get(each) for each in fitting(sender))
        place = min((each for each in places if each is not None), default=None)
        return None if place is None else self.patterns[place]


def compared(pattern: str) -> str:
    """Return a pattern to compare with others: neither case counts, nor the spelling of a domain."""
    if pattern in (NULL, ANY):
        return pattern
    local, at, domain = pattern.rpartition("@")
    if domain.startswith("*."):
        return f"*.{compared_domain(domain[2:])}"
    return f"{local.lower()}{at}{compared_domain(domain)}"


def shadowed(patterns: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Yield each pattern that no sender gets to, and the earlier one that has all of its mail."""
    seen: dict[str, str] = {}
    for pattern in patterns:
        key = compared(pattern)
        earlier = next((seen[each] for each in _covering(key) if each in seen), None)
        if earlier is not None:
            yield pattern, earlier
        seen.setdefault(key, pattern)


def fitting(sender: str) -> Iterator[str]:
    """Yield the patterns that fit a reverse-path, as they are compared."""
    if not sender:
        yield NULL
        return
    yield from _covering(compared(sender))


def _covering(key: str) -> Iterator[str]:
    """Yield the patterns that fit all that one fits: itself, its domain, the domains above."""
    yield key
    if key in (NULL, ANY):
        return
    _, at, domain = key.rpartition("@")
    if at:
        yield domain
    labels = domain.removeprefix("*.").split(".")
    for start in range(1, len(labels)):
        yield f"*.{'.'.join(labels[start:])}"
    yield ANY
