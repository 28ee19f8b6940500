"""The schema of a store that machines share: its steps, and what became of them."""

from collections.abc import Sequence
from datetime import datetime
from enum import Enum
from typing import NamedTuple


class StepKind(Enum):
    """When a step may be applied."""

    EXPAND = "expand"  # while an older relayd works with the store
    CONTRACT = "contract"  # once none does


class SchemaStep(NamedTuple):
    """A step, as the store has it."""

    name: str  # such as "0002_colour"
    kind: StepKind
    applied_at: datetime | None = None  # None: it waits
    held_by: Sequence[str] = ()  # machines with an older relayd, for which it waits
    is_known: bool = True  # to this relayd


class Migrated(NamedTuple):
    """What a look at the steps that wait has done."""

    applied: Sequence[SchemaStep] = ()
    waiting: Sequence[SchemaStep] = ()
