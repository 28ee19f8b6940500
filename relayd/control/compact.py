"""The answer to `compact`: what a step did to make the store smaller, and what is left to do.

{"ok": true, "purged": NUMBER, "octets": NUMBER, "unused": NUMBER, "can_shrink": BOOL}
"""

from dataclasses import asdict

from relayd.control.protocol import BadMessage, Message
from relayd.ports.upkeep import Compacted


def compacted_to_json(done: Compacted) -> Message:
    return {"ok": True, **asdict(done)}


def compacted_from_json(message: Message) -> Compacted:
    """Read that answer. Raises BadMessage."""
    match message:
        case {
            "purged": int(purged),
            "octets": int(octets),
            "unused": int(unused),
            "can_shrink": bool(can_shrink),
        }:
            return Compacted(purged=purged, octets=octets, unused=unused, can_shrink=can_shrink)
        case _:
            raise BadMessage("nothing of a store that was made smaller")
