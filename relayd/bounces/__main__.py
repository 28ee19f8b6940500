"""The child that reads mail that comes back: `python -m relayd.bounces PARENT`, started by `reader`.

Gets the operator's rules first, then one mail after the other on standard input, and answers each on
standard output (`answer`). It ends when its input does. It can do nothing else: once ready it opens no
file, starts no process, and has little memory.

The time for a mail is counted by the kernel, which ends the process also inside a long search, where
Python itself would hear of nothing.
"""

import resource
import signal
import sys
from contextlib import suppress
from typing import BinaryIO

import orjson

from relayd import core_dumps, kernel
from relayd.bounces.answer import LENGTH, READY, encode, framed
from relayd.mail.charsets import load_charsets
from relayd.policy.inbound_bounce import parse_bounce
from relayd.policy.replies.ruleset import Rules, rules_from

CPU_TIME = 2.0  # seconds for one mail, hundreds of times what a large report takes
_MEMORY = 256 << 20  # octets of address space, of which Python itself takes a tenth
_LIMITS = (
    (resource.RLIMIT_AS, _MEMORY),
    (resource.RLIMIT_FSIZE, 0),
    (resource.RLIMIT_NOFILE, 0),  # what is open stays open
    (resource.RLIMIT_NPROC, 0),
)
_DEAF_TO = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)  # the worker says when to end


def main() -> None:
    """Serve the process that started this one, for as long as it lives."""
    with open(0, "rb") as mails, open(1, "wb") as answers:
        texts = orjson.loads(_next(mails) or b"")
        rules = rules_from(tuple((name, text) for name, text in texts))
        load_charsets()
        _shut_in(int(sys.argv[1]))
        _say(answers, READY)
        serve(mails, answers, rules)


def serve(mails: BinaryIO, answers: BinaryIO, rules: Rules) -> None:
    """Read mail by mail until there is no more."""
    while (mail := _next(mails)) is not None:
        signal.setitimer(signal.ITIMER_PROF, CPU_TIME)
        answer = encode(parse_bounce(mail, rules=rules))
        signal.setitimer(signal.ITIMER_PROF, 0)
        _say(answers, answer)


def _next(source: BinaryIO) -> bytes | None:
    """Return what is sent next; None at the end."""
    head = source.read(LENGTH.size)
    return source.read(*LENGTH.unpack(head)) if len(head) == LENGTH.size else None


def _say(sink: BinaryIO, octets: bytes) -> None:
    sink.write(framed(octets))
    sink.flush()


def _shut_in(parent: int) -> None:
    """Take from this process what reading needs not, and tie its life to its parent's."""
    core_dumps.forbid()
    for number in _DEAF_TO:
        signal.signal(number, signal.SIG_IGN)
    signal.signal(signal.SIGPROF, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    for limit, most in _LIMITS:
        with suppress(OSError, ValueError):  # a sandbox may forbid it, or allow less already
            resource.setrlimit(limit, (most, most))
    with suppress(OSError):  # then the end of its input ends it
        kernel.die_with_parent(parent, by=signal.SIGKILL)


if __name__ == "__main__":
    main()
