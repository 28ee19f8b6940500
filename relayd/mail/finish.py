"""The last step of every message before it is stored: what goes in front of it.

What a client submits, our reports and the copies of returned mail all pass here, and nothing is
changed after it: the place for signatures, which come between the trace field and the rest.

Source: RFC 5321 §4.4 (the trace field is the first line); RFC 6409 §8 (added fields).
"""

from dataclasses import replace

from relayd.mail.content import Content
from relayd.mail.envelope import MessageFacts
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
