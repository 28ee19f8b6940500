"""What is told of webhook endpoints: what one is for, and what a change made of it, in words."""

from relayd.ports.outbox import Subscription


def told_of(wanted: Subscription) -> str:
    """Return what an endpoint is for, for the audit."""
    return ", ".join(f"{name} {value}" for name, value in _said(wanted).items() if value)


def told_of_change(before: Subscription, after: Subscription) -> str:
    """Return what a change made of an endpoint; empty: nothing."""
    old, new = _said(before), _said(after)
    return ", ".join(
        f"{name}: {old[name] or 'any'} → {new[name] or 'any'}"
        for name in old
        if old[name] != new[name]
    )


def _said(wanted: Subscription) -> dict[str, str]:
    return {
        "url": wanted.url,
        "events": " ".join(wanted.kinds),
        "senders": " ".join(wanted.senders),
        "tags": " ".join(wanted.tags),
        "state": "on" if wanted.is_on else "off",
    }
