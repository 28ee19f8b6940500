"""What all workers know of an account: when the next permit is free, what went, and what was learnt.

It is text in the store: JSON, of which what is unknown or broken counts as nothing.
"""

import json
from dataclasses import asdict, dataclass, field

from relayd.policy.accounts.limits import Counts
from relayd.policy.accounts.pace import Pace


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountState:
    free_at: float = 0.0  # when the next permit of an even rate may be used
    counts: Counts = field(default_factory=dict)
    pace: Pace | None = None


def written(state: AccountState) -> str:
    """Return the state as text."""
    pace = None if state.pace is None else asdict(state.pace)
    return json.dumps({"free_at": state.free_at, "counts": state.counts, "pace": pace})


def read(text: str | None) -> AccountState:
    """Return the state that `written` gave; without text, or of another version, one of which nothing is known."""
    try:
        fields = json.loads(text or "{}")
        pace = fields["pace"]
        return AccountState(
            free_at=float(fields["free_at"]),
            counts={
                str(name): [(int(step), int(used)) for step, used in steps]
                for name, steps in fields["counts"].items()
            },
            pace=None if pace is None else Pace(**pace),
        )
    except (ValueError, TypeError, KeyError, AttributeError):
        return AccountState()
