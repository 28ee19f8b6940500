"""Which signatures of ours a rewritten message can keep: those that cover nothing that was changed.

The header is signed where a message comes in, and rewritten at each attempt. A rule that changes a field that
is covered breaks our signatures: they go, and the message is signed again as it leaves. Signatures of others
stay, broken or not: they are not ours to take away.
"""

from dataclasses import dataclass

from relayd.mail.dkim import own_signatures, signed_header


@dataclass(frozen=True, slots=True)
class Unsigned:
    """A rewritten header section without signatures of ours."""

    trace: bytes  # its first field: signatures come behind it
    rest: bytes
    body: bytes | None  # the hash of the body; None: nobody has worked it out yet
    lost: bool  # there were signatures


def without_broken(before: bytes, after: bytes) -> Unsigned | None:
    """Return what is to be signed again of a header section; None: what was signed is still what it was.

    `before` is as it was stored, `after` as rules have made it; both begin with our trace field.
    """
    own = own_signatures(before)
    mine = _fields(before[own.start : own.end])
    trace = before[: own.start]
    rest = after.removeprefix(trace)
    kept = all(each in rest for each in mine)
    for each in mine:
        rest = rest.replace(each, b"", 1)
    if kept and signed_header(before[own.end :]) == signed_header(rest):
        return None
    return Unsigned(trace if after.startswith(trace) else b"", rest, own.body, bool(mine))


def _fields(signatures: bytes) -> list[bytes]:
    name = b"DKIM-Signature:"
    return [name + each for each in signatures.split(name) if each]
