"""The table that `python -m tests.proof` prints: a row for each thing that was tried."""

import json
from dataclasses import dataclass, field

_SHOWN = 20  # of what is wrong


@dataclass(slots=True)
class Row:
    """One row. A control has to find something wrong."""

    name: str
    tried: str
    wrong: list[str] = field(default_factory=list)
    is_control: bool = False

    @property
    def is_right(self) -> bool:
        return bool(self.wrong) is self.is_control

    def as_text(self) -> str:
        verdict = (
            "as it has to be" if self.is_right else "NOT FOUND" if self.is_control else "WRONG"
        )
        told = [] if self.is_control else self.wrong[:_SHOWN]
        return "\n".join(
            [f"{self.name:55} {self.tried:60} {verdict}", *(f"    {each}" for each in told)]
        )

    def as_json(self) -> str:
        found = {
            "name": self.name,
            "tried": self.tried,
            "wrong": self.wrong,
            "right": self.is_right,
        }
        return json.dumps(found)
