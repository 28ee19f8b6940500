"""What a run is made of: mail, and what goes wrong meanwhile, drawn from a seed. A run with fewer steps is a run, too."""

import random  # noqa: TID251 -- seeded
from collections.abc import Sequence
from dataclasses import dataclass

FAULTS_UNTIL = 60.0  # seconds; then everything works, and all mail has to come to its end
TIMES = (0.0, 0.0, 0.01, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 40.0)
DELAYS = (
    0.0,
    0.0,
    0.0,
    0.0,
    0.01,
    0.5,
    1.0,
    5.0,
)  # seconds; few different ones, so that much happens at once
ADDRESSES = (
    "a",
    "a",
    "a",
    "sa",
    "s",
    "h",
    "H",
    "ta",
    "t",
    "qa",
    "ba",
    "la",
    "l",
    "La",
    "wa",
    "xa",
    "ma",
)
"""What a server does with one recipient, attempt by attempt; the last for ever after. `peers.py` has the letters."""
KINDS = (
    *("kill", "kill", "kill"),
    *("kill in a verb", "kill in a verb", "kill in a verb"),
    *("stop in a verb", "stop in a verb"),
    *("kill all", "stop", "stop", "reload", "outage", "outage", "unknown", "unknown", "unknown"),
    *("hold", "hold", "release", "bounce", "drop", "expedite", "pause", "resume"),
    *("hop down", "hop closes", "clock"),
)
_POINTS = ("claim", "settle", "settle", "content", "permits", "enqueue", "release", "extend", "dot")
"""Verbs of the store, and the final dot of a message."""


@dataclass(frozen=True, slots=True)
class Step:
    """One thing that happens. What `who`, `how` and `seconds` mean depends on the kind."""

    at: float
    kind: str
    who: int = 0
    how: str = ""
    seconds: float = 0.0

    def __str__(self) -> str:
        return f"{self.at:g} {self.kind} {self.who} {self.how} {self.seconds:g}"


@dataclass(frozen=True, slots=True)
class Schedule:
    """A run, but for the order of what happens at once, which `seed` draws as well."""

    seed: int
    workers: int
    connections: int  # of the smarthost, of all workers
    is_networked: bool  # what a dead worker has sent to the store may still be carried out
    slow: float  # how likely something takes its time
    faulty: float  # how likely a verb of the store fails by itself
    report_fate: str  # of reports, as ADDRESSES
    steps: tuple[Step, ...]

    def of(self, steps: Sequence[Step]) -> "Schedule":
        """Return the same with other steps."""
        return Schedule(
            seed=self.seed,
            workers=self.workers,
            connections=self.connections,
            is_networked=self.is_networked,
            slow=self.slow,
            faulty=self.faulty,
            report_fate=self.report_fate,
            steps=tuple(steps),
        )


def schedule_of(seed: int) -> Schedule:
    chance = random.Random(seed)
    mails = chance.choice((1, 1, 2, 2, 3))
    steps = [
        Step(
            chance.choice(TIMES[:6]),
            "mail",
            who=chance.randrange(3),
            how=" ".join(chance.choice(ADDRESSES) for _ in range(chance.choice((1, 1, 2)))),
        )
        for _ in range(mails)
    ]
    steps += [_fault(chance, mails) for _ in range(chance.choice((0, 1, 2, 3, 4, 6)))]
    return Schedule(
        seed=seed,
        workers=chance.choice((1, 2, 2, 3)),
        connections=chance.choice((1, 2, 4)),
        is_networked=chance.random() < 0.3,
        slow=chance.choice((0.0, 0.2, 0.5)),
        faulty=chance.choice((0.0, 0.0, 0.02)),
        report_fate=chance.choice(("a", "a", "sa", "h", "la")),
        steps=tuple(sorted(steps, key=lambda step: step.at)),
    )


def _fault(chance: random.Random, mails: int) -> Step:
    kind = chance.choice(KINDS)
    at = chance.choice(TIMES) + chance.choice(TIMES[:6])
    who = chance.randrange(3)
    how, seconds = "", chance.choice((0.5, 5.0, 30.0, 70.0))
    match kind:
        case "kill in a verb":
            how = f"{chance.choice(_POINTS)} {chance.choice(('before', 'after'))}"
        case "stop in a verb":
            how, seconds = f"{chance.choice(_POINTS)} {chance.choice(('before', 'after'))}", 70.0
        case "unknown":
            how = chance.choice(
                ("claim", "settle", "settle", "enqueue", "release", "extend", "act")
            )
            how = f"{how} {chance.choice(('done', 'not done', 'refused'))}"
        case "hold" | "release" | "bounce" | "drop" | "expedite" | "pause":
            who = chance.randrange(mails)
        case "hop down":
            how = chance.choice(("refuses", "421", "breaks", "silent"))
        case "clock":
            how = chance.choice(("forwards", "backwards"))
            seconds = chance.choice((45.0, 3600.0))
        case _:
            pass
    return Step(at, kind, who, how, min(seconds, 3600.0))
