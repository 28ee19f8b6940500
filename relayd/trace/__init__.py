"""What sessions and decisions tell those who look on: the debug log and `relayd trace`.

Reached as the operational log is, by name, from anywhere in a worker. Nobody looks, as a rule, and then
it costs one look at an attribute. The order of calls:

1. A follower comes: `tracing.add(follower)`. From now on `tracing.is_on`.
2. What begins something says whom it is about: `tracing.begin(Subject(...))` gives a `Trace`.
3. Dialogues and decisions tell the trace: `command`, `reply`, `content`, `tell`.
4. The trace masks what is secret (`mask`), and gives the line to all who want that subject (`wanted`).
5. The follower leaves: `tracing.remove(follower)`.
"""

from relayd.trace.switch import Trace, reply_lines, tracing
from relayd.trace.wanted import Subject, Wanted

__all__ = ["Subject", "Trace", "Wanted", "reply_lines", "tracing"]
