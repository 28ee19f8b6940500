"""The error tree.

A fault is an exception from this module; a mail outcome is a value (`relayd.mail.outcome`).
Only adapters name a library's exceptions and re-raise them as one of these.
Every error prints as one line.
"""

import errno
from dataclasses import dataclass

# This machine forbids it, or has no such address: a firewall, a source address that is gone.
DENIED = frozenset({errno.EACCES, errno.EPERM, errno.EADDRNOTAVAIL})
_SHORT = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM, errno.EAGAIN})


class RelaydError(Exception):
    """Base of everything that relayd raises on purpose."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mistake:
    """One thing that is wrong in a settings file, or in a variable of the environment."""

    file: str  # "environment": none
    key: str  # dotted path, such as "listen[0].address"; empty for the file as a whole
    value: str  # as written, shortened; empty when the key is missing
    expected: str
    variable: str = ""  # that has the value; empty: the file has it

    def __str__(self) -> str:
        place = self.variable or self.file
        where = f"{place}: {self.key}" if self.key else place
        got = f" is {self.value}" if self.value else ""
        return f"{where}{got}: {self.expected}"


class ConfigError(RelaydError):
    """The settings are wrong; carries every mistake found (exit status 78)."""

    def __init__(self, mistakes: tuple[Mistake, ...]) -> None:
        self.mistakes = mistakes
        super().__init__("\n".join(str(mistake) for mistake in mistakes))


class ConfigForbidden(ConfigError):
    """Who asks may not read or write the settings; says who may (exit status 77)."""


def kind_of(error: OSError) -> type[ConfigError]:
    """Return what a file of settings is refused with that cannot be used for such a reason."""
    return ConfigForbidden if isinstance(error, PermissionError) else ConfigError


class WrongField(RelaydError):
    """One field of what is asked is refused; `where` names it."""

    def __init__(self, where: str, told: str) -> None:
        self.where = where
        super().__init__(told)


class UsersError(RelaydError):
    """The users file cannot be used; says why, without a word of its content (exit status 78)."""


class StartError(RelaydError):
    """The daemon cannot start as things are: a port in use, an unreadable secret, a second daemon."""


class AddressInUse(StartError):
    """Somebody listens where we are to; `address` as the settings have it, `ip` one of its addresses, if it has any."""

    def __init__(self, message: str, address: str, *, ip: str = "") -> None:
        super().__init__(message)
        self.address = address
        self.ip = ip


class QueueInUse(StartError):
    """Another daemon serves the queue; `is_over`: it is dead, and a worker of it lives."""

    def __init__(self, message: str, *, is_over: bool = False) -> None:
        super().__init__(message)
        self.is_over = is_over


class Shortage(RelaydError):
    """This machine gives us no more of something: descriptors, memory, ports, threads.

    It passes, and nobody else is to blame: whatever needed it waits, uncounted.
    """


def is_shortage(error: OSError) -> bool:
    """Tell whether a system call failed for want of a resource of this machine.

    Not for calls that say EAGAIN when they would have to wait.
    """
    return error.errno in _SHORT


class StoreError(RelaydError):
    """The store could not do what was asked."""


class StoreUnavailable(StoreError):
    """The store cannot be used now: back off and ask again."""


class TookTooLong(StoreUnavailable):
    """A question was stopped because it took longer than it may: a narrower one is faster."""


class StoreForbidden(StoreError):
    """Who asks may not read the queue; says who may (exit status 77)."""


class StoreFull(StoreError):
    """There is no room left on the disk; nothing was written."""


class ContentLost(StoreError):
    """The content of one message is missing; the store is well otherwise."""


class CommitUnknown(StoreError):
    """The store cannot tell if this commit happened: promise nothing, in either direction (S-55)."""


class StoreBroken(CommitUnknown):
    """The same, and the store can be used no more: its process has to end, and the next one looks."""


class LeaseLost(StoreError):
    """The slot has another owner by now: discard the result, somebody else will try again."""


class ReturnPathSpent(StoreError):
    """As much mail came to a VERP address as may: nothing was written."""


class ComplaintUnknown(StoreError):
    """A complaint names no message of ours: nothing was written."""


class SchemaMismatch(StoreError):
    """The queue was written by another version of relayd."""


class StoreMoved(StoreError):
    """The queue is being copied to another store, or was: no relayd may serve this one (exit status 78)."""


class CopyFailed(StoreError):
    """The queue could not be copied to another store; says whether it can be served as before (exit status 73)."""


class NotAFile(StoreError):
    """What was asked is for a queue that is a file, and this one is on a server; says what to do instead (64)."""


class BackupFailed(StoreError):
    """The queue could not be copied (exit status 73)."""


class RestoreFailed(StoreError):
    """A backup did not take the place of the queue, which is as it was (exit status 73)."""


class PeerError(RelaydError):
    """The server we talk to broke the rules, or the connection."""


class ReplySyntaxError(PeerError):
    """Its reply is malformed, too long, or answers nothing we asked."""


class ReaderUnavailable(RelaydError):
    """Mail that comes back cannot be read now; it must come again (451 4.3.0)."""


class DaemonUnreachable(RelaydError):
    """The daemon does not answer on its control socket (exit status 69)."""


class OtherQueue(DaemonUnreachable):
    """The daemon that answers serves another queue than the one that is meant (exit status 69)."""


class CheckerDown(PeerError):
    """The content checker gives no verdict (exit status 75); or this machine could not ask it."""

    def __init__(self, reason: str, *, is_ours: bool = False) -> None:
        self.is_ours = is_ours
        super().__init__(reason)


def first_of(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """Return the first error of a group, out of all the groups around it: each task group adds one."""
    first = group.exceptions[0]
    return first_of(first) if isinstance(first, BaseExceptionGroup) else first
