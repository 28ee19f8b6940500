"""`relayd sendmail`: a message from standard input into the queue, as sendmail does it.

Owns the program that PHP, cron, git and mailx call; it works for every local user, without the
settings and without click, and starts quickly. `mailq` and `newaliases` are names of it too. What the letters mean is in `options`, what is done
to the content in `relayd.mail.submission`, the way to the daemon in `handover`.
"""

import os
import pwd
import sys
from collections.abc import Sequence
from datetime import UTC, datetime

from relayd.cli import INTERRUPTED
from relayd.cli.sendmail.handover import Handover, NotQueued, converse, find_endpoint
from relayd.cli.sendmail.options import Options, UsageError, parse_options
from relayd.mail.address import Address, PathError, parse_address
from relayd.mail.address_list import parse_addresses
from relayd.mail.qualified import qualified
from relayd.mail.reply import clean_text
from relayd.mail.submission import (
    local_message,
    mailbox,
    missing_fields,
    until_dot,
    values_of,
    without_bcc,
)

_NO_REBUILD = "aliases are in the settings, in [aliases]: there is nothing to rebuild"


def main(arguments: Sequence[str], *, settings: str | None = None) -> int:
    """Carry out one command line; return the exit status. What goes wrong is one line on stderr."""
    settings = settings or os.environ.get("RELAYD_CONFIG")
    try:
        options = parse_options(arguments)
        if options.shows_queue:
            return _show_queue(settings)
        _run(options, settings)
    except UsageError as error:
        return _say(f"{error}", os.EX_USAGE)
    except NotQueued as error:
        return _say(f"{error}", error.status)
    except OSError as error:  # of our standard input or output
        return _say(f"{error.strerror or error}", os.EX_IOERR)
    except KeyboardInterrupt:
        return INTERRUPTED
    return os.EX_OK


def _say(text: str, status: int) -> int:
    line = clean_text(text.encode("utf-8", "backslashreplace"))
    print(f"sendmail: {line}", file=sys.stderr)
    return status


def _run(options: Options, settings: str | None) -> None:
    if options.builds_aliases:
        print(_NO_REBUILD)
        return
    has_message = options.speaks_smtp or options.reads_recipients or options.recipients
    if options.is_idle and not has_message:
        return
    endpoint = find_endpoint(settings)
    if options.speaks_smtp:
        converse(endpoint)
        return
    if not options.recipients and not options.reads_recipients:
        raise UsageError("no recipients: name them, or take those of the message with -t")
    message = _read(dot_ends=options.dot_ends)
    recipients = [*options.recipients, *_of_header(message, options)]
    if not recipients:
        raise UsageError("no recipients in the message")
    with Handover(endpoint) as daemon:
        _hand_over(daemon, options, recipients, without_bcc(message))


def _show_queue(settings: str | None) -> int:
    """Show what waits, as `relayd queue list` does; return its exit status."""
    from relayd.cli.command import run  # noqa: PLC0415 -- who sends mail is quick without click

    named = () if settings is None else ("-c", settings)
    return run([*named, "queue", "list"])


def _read(*, dot_ends: bool) -> bytes:
    with open(0, "rb", closefd=False) as given:
        return local_message(until_dot(given) if dot_ends else given.read())


def _of_header(message: bytes, options: Options) -> list[Address]:
    """Return the recipients of -t. Of a resent message they are those of its Resent fields."""
    if not options.reads_recipients:
        return []
    values = list(values_of(message, "Resent-To", "Resent-Cc", "Resent-Bcc"))
    values = values or list(values_of(message, "To", "Cc", "Bcc"))
    try:
        return [
            address
            for value in values
            for address in parse_addresses(value.decode("utf-8", "surrogateescape"))
        ]
    except PathError as error:
        raise NotQueued(os.EX_NOUSER, f"{error}") from None


def _hand_over(
    daemon: Handover, options: Options, recipients: Sequence[Address], message: bytes
) -> None:
    """Queue the message, completed with our domain, which only the daemon knows."""
    message = qualified(message, daemon.fqdn)
    sender = _here(options.sender, daemon.fqdn) if options.sender else _user(daemon.fqdn)
    at = datetime.now(UTC).astimezone()  # noqa: TID251 -- a command is where the time comes from
    added = missing_fields(
        message,
        message_id=f"<{at:%Y%m%d%H%M%S}.{os.urandom(8).hex()}@{daemon.fqdn}>",
        at=at,
        author=mailbox(options.name, sender),
    )
    content = added + message
    paths = list(dict.fromkeys(_here(each, daemon.fqdn) for each in recipients))
    path = "" if options.is_null_sender else f"{sender}"
    mail = f"<{path}>{options.parameters}{_extensions(path, paths, content)}"
    reply = daemon.send(mail, paths, content, notify=options.notify)
    if options.is_verbose:
        print(reply)


def _here(address: Address, fqdn: str) -> Address:
    """Return the address, with our domain if it has none."""
    return address if address.domain else Address(address.local, fqdn)


def _user(fqdn: str) -> Address:
    """Return the address of the user who runs this program."""
    try:
        name = pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        name = f"uid{os.getuid()}"
    try:
        return parse_address(f"{name}@{fqdn}")
    except PathError:
        raise NotQueued(os.EX_NOUSER, f"{name!r} cannot send mail: use -f ADDRESS") from None


def _extensions(path: str, paths: Sequence[Address], content: bytes) -> str:
    """Return the parameters of MAIL that content and addresses ask for.

    With its size: what is too big is refused before it is sent, and not cut off (RFC 1870 §6.1).
    Raw octets in a header ask for nothing: every server on the way would have to offer SMTPUTF8.
    """
    size = f" SIZE={len(content)}"
    is_8bit = "" if content.isascii() else " BODY=8BITMIME"
    is_ascii = path.isascii() and all(each.is_ascii for each in paths)
    return size + is_8bit + ("" if is_ascii else " SMTPUTF8")
