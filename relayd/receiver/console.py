"""The listener of the console: who may connect there, and XONCE, a parameter of MAIL that it offers.

The console tells whose mail it is, by XCLIENT, and is believed. So nobody else may connect: but for root and the
daemon's own user, who can do as they like anyway.

    MAIL FROM:<app@example.org> XONCE=KEY.BODY

Both are SHA-256 in hexadecimal digits. A message that comes with the key of an earlier one, and the same body, is that
message: each recipient is answered as it was then, and the end of content with `250 2.0.0 OK queued as ID (again)`,
whatever has changed since. With another body MAIL is refused, or the end of content if both came in at the same time.
If both came in at the same time and a recipient was accepted for one alone, the end of content is answered with 451:
who asks once more is told what was answered then.
"""

import os
import re

from relayd.errors import StoreError
from relayd.file_access import name_of
from relayd.mail.address import Address
from relayd.mail.once import FirstMessage, Once
from relayd.mail.reply import Reply, make_reply
from relayd.policy.console.access import CONSOLE_USER
from relayd.policy.intake.origin import Origin
from relayd.receiver.intake import Intake

OFFERED = b"XONCE"
STRANGER = b"554 5.7.1 Only the console may connect here\r\n"
OTHER_MESSAGE = b"550 5.5.4 Another message came with this key\r\n"
ACCEPTED = "250 2.1.5 OK"
_NOT_ITS = Reply(550, "5.5.4", ("5.5.4 Another message came with this key",))
_CANNOT_LOOK = Reply(451, "4.3.0", ("4.3.0 Cannot look the key up now, try again later",))
_ONCE = re.compile(r"([0-9a-f]{64})\.([0-9a-f]{64})")


def may_connect(origin: Origin) -> bool:
    """Tell whether a peer on a unix socket may speak for others. Looks its name up, which is seldom more than a file."""
    if origin.uid is None:
        return False
    return origin.uid in {0, os.geteuid()} or name_of(origin.uid) == CONSOLE_USER


def parse_once(value: str) -> Once | None:
    """Read the value of XONCE; None: it is none."""
    found = _ONCE.fullmatch(value)
    if found is None:
        return None
    return Once(key=bytes.fromhex(found[1]), body=bytes.fromhex(found[2]))


def first_with(once: Once, intake: Intake) -> FirstMessage | Reply | None:
    """Return the message that came with that key first; a reply: that cannot be told now."""
    try:
        return intake.first_message(once.key)
    except StoreError:
        return _CANNOT_LOOK


def refusal_before(first: FirstMessage, path: Address) -> Reply | None:
    """Return how a recipient was refused when its message came first; None: it was accepted."""
    answer = first.answers.get(str(path))
    if answer is None:
        return _NOT_ITS
    return None if answer == ACCEPTED else make_reply(int(answer[:3]), (answer[4:],))


def is_answered_alike(once: Once, first: FirstMessage) -> bool:
    """Tell whether each recipient was accepted or refused as when the message came first.

    If both came at the same time, it may not be so.
    """
    return all(
        (answer == ACCEPTED) is (first.answers.get(path) == ACCEPTED)
        for path, answer in once.answers.items()
    )
