"""Shorthand for what ends a session without a reply."""

from relayd.mail.attempt import Breakdown
from relayd.mail.words import Category, Fault


def broken(category: Category, reason: str, fault: Fault = Fault.PEER) -> Breakdown:
    """Return a breakdown."""
    return Breakdown(category=category, fault=fault, reason=reason)
