"""The last step of every message before it is stored: what goes in front of it.

What a client submits, our reports and the copies of returned mail all pass here, and nothing is
changed after it. Signatures come between the trace field and the rest; returned mail gets none.

Source: RFC 5321 §4.4 (the trace field is the first line); RFC 6409 §8 (added fields).
"""

from dataclasses import replace

from relayd.mail.content import Content
from relayd.mail.dkim import body_hash
from relayd.mail.envelope import MessageFacts, NewMessage
from relayd.mail.header import header_end
from relayd.mail.signing import NOT_SIGNED, Signer, ToSign
from relayd.mail.submission import facts_with


def finish_received(
    head: bytes, facts: MessageFacts, *, trace: bytes, added: bytes
) -> tuple[MessageFacts, bytes]:
    """Return the facts and the octets of a client's message; `head` is the content, or its beginning.

    `trace` is our Received field, `added` what the client left out (`submission.missing_fields`).
    """
    if added:
        return facts_with(added, facts), trace + added + head
    return facts, trace + head


def finish_own(content: Content, facts: MessageFacts) -> tuple[MessageFacts, Content]:
    """Return the same of a message that relayd itself sends: it has no trace of a reception.

    What its header says to relayd is no application's word: it carries no tag and is no test.
    """
    return replace(facts, is_test=False, test_via="", tag=None), content


def signed(message: NewMessage, signer: Signer | None) -> NewMessage:
    """Return a message with the signatures that it is to have; held, if one that it must have is missing."""
    wanted = message.to_sign
    if wanted is None or signer is None:
        return message
    trace, rest = wanted.head[: wanted.trace], wanted.head[wanted.trace :]
    end = header_end(rest)
    body = body_hash(rest[end + 2 :]) if wanted.body is None else wanted.body
    found = signer.sign(rest[:end], body, wanted.domain, message.received_at)
    content = wanted.finish(trace + found.fields + rest) if found.fields else message.content
    return replace(message, content=content, dkim=found.told, unsigned=found.missing, to_sign=None)


def signed_own(message: NewMessage, content: bytes, signer: Signer | None) -> NewMessage:
    """Return a message that relayd itself sends, signed: nobody else wrote its From."""
    if signer is None:
        return message
    domain = signer.domain_of(content[: header_end(content)], lambda _: True)
    if domain is None:
        return replace(message, dkim=NOT_SIGNED)
    wanted = ToSign(domain=domain, head=content, trace=0, body=None, finish=bytes)
    return signed(replace(message, to_sign=wanted), signer)
