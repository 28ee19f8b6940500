"""Sign a message as it leaves, where rules have changed what was signed when it came in."""

import asyncio
from dataclasses import replace
from datetime import datetime

from relayd.mail.content import Content, spliced
from relayd.mail.dkim import BodyHash
from relayd.mail.envelope import QueuedMessage
from relayd.mail.header import header_end
from relayd.mail.signing import Signer
from relayd.policy.rewriting.apply import HEADER_LIMIT, Rewritten
from relayd.policy.rewriting.signatures import without_broken

_BLOCK = 256 * 1024  # octets that are hashed while nothing else happens


class NotSigned(ValueError):
    """A message must not go out without a signature that it cannot have; the text says why."""


async def signed_again(
    given: Rewritten, message: QueuedMessage, content: Content, signer: Signer, now: datetime
) -> Rewritten:
    """Return what the next hop is given, with signatures that hold. Raises NotSigned, and ContentLost by `content`.

    It is signed as the author that it has now. Whom a client could not be signed for (T-03), it is not signed
    for under another name either, but for one that the settings give all such mail.
    """
    if given.content is content:
        return given
    before, after = (_header_of(each) for each in (content, given.content))
    unsigned = without_broken(before, after)
    if unsigned is None:
        return given
    is_proven = given.fixes_author or not message.author_unproven
    domain = signer.domain_of(unsigned.rest, lambda _: is_proven)
    fields = b""
    told: tuple[str, ...] = ()
    if domain is not None:
        body = unsigned.body or await _hash_of_body(content, len(before) + 2)
        found = signer.sign(unsigned.rest, body, domain, now)
        if found.missing:
            raise NotSigned(found.missing)
        fields, told = found.fields, (f"signed as {found.told}",)
    elif unsigned.lost:
        told = ("DKIM signatures removed",)
    head = unsigned.trace + fields + unsigned.rest
    return replace(
        given,
        content=spliced(head, content, len(before)),
        changes=(*given.changes, *told),
    )


def _header_of(content: Content) -> bytes:
    head = content[:HEADER_LIMIT]
    return head[: header_end(head)]


async def _hash_of_body(content: Content, start: int) -> bytes:
    hashed = BodyHash()
    for at in range(start, len(content), _BLOCK):
        hashed.update(content[at : at + _BLOCK])
        await asyncio.sleep(0)
    return hashed.digest()
