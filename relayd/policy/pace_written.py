"""The state of a site as text in the store: JSON, of which what is unknown or broken counts as nothing."""

import json
from dataclasses import asdict, fields

from relayd.policy.pace import FREE, SiteMode, SiteState

_NAMES = frozenset(field.name for field in fields(SiteState))


def written(state: SiteState) -> str:
    """Return the state as text, of what is not as in a free one."""
    free = asdict(FREE)
    return json.dumps({name: value for name, value in asdict(state).items() if value != free[name]})


def read(text: str | None) -> SiteState:
    """Return the state that `written` gave; without text, or of another version, one of which nothing is known."""
    try:
        found = {name: value for name, value in json.loads(text or "{}").items() if name in _NAMES}
        for name, value in found.items():
            if name != "mode" and not isinstance(value, type(getattr(FREE, name))):
                return FREE
        return SiteState(**{**found, "mode": SiteMode(found.get("mode", SiteMode.FREE))})
    except (ValueError, AttributeError):
        return FREE
