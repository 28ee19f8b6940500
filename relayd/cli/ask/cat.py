"""`relayd queue cat`: the content of a message, octet by octet.

The running daemon gives it, after it has put on record who reads it. While it is stopped nothing can be
recorded: then root and the owner of the queue, who can read the file anyhow, get it from there, and are
told so. All others have to start the daemon.
"""

import codecs
import os
import sys
from collections.abc import Callable

import click

from relayd.answers.recipients import resolve
from relayd.cli.asked_daemon import daemon_socket, store_url
from relayd.cli.completing import complete_ids
from relayd.cli.context import NoSuch, open_view, settings_option
from relayd.cli.filters import TEXT
from relayd.cli.output import printable
from relayd.errors import DaemonUnreachable, StoreForbidden
from relayd.file_access import name_of
from relayd.mail.ids import MessageId, format_id

_PART = 256 * 1024  # octets held at once
_NAMED = 5  # messages of one Message-ID
_Write = Callable[[bytes], object]


@click.command()
@click.argument("wanted", metavar="ID", type=TEXT, shell_complete=complete_ids)
@click.option("--reason", default="", help="Why, for the history.")
@settings_option()
def cat(*, wanted: str, reason: str) -> None:
    """Show the raw message: its header and body as they are stored, the octets of each line.

    ID is the queue id or the Message-ID header. The content is kept while somebody waits for the message, and
    for store.keep_bounced when it bounced.

    Who reads it is on record, in the event `read` of each recipient. Root and the daemon's user may;
    control.read_content lets the members of its group. While the daemon is stopped, nothing is
    recorded, and only root and the owner of the queue may.

    On a terminal, what cannot be printed is shown as `?`.
    """
    from relayd.control import client  # noqa: PLC0415 -- the lists of this group need none of it
    from relayd.control.content import ContentRequest  # noqa: PLC0415 -- as above

    message_id = _one(wanted)
    write: _Write = sys.stdout.buffer.write
    if sys.stdout.isatty():
        write = _screen()
    request = ContentRequest(message_id=message_id, reason=reason)
    try:
        found = client.content(daemon_socket(), request, write)
    except DaemonUnreachable as error:
        if isinstance(error.__cause__, PermissionError):
            raise
        found = _from_the_file(store_url(), message_id, write, error)
    if not found:
        raise NoSuch(f"the content of {format_id(message_id)} is deleted: nobody waits for it")
    sys.stdout.flush()


def _one(wanted: str) -> MessageId:
    """Return the message that is named."""
    with open_view() as view:
        found = resolve(view, wanted)
    if not found:
        raise NoSuch(f"no message {wanted}")
    if len(found) > 1:
        newest = ", ".join(format_id(one) for one in found[: -_NAMED - 1 : -1])
        raise click.UsageError(f"{len(found)} messages have this Message-ID; the newest: {newest}")
    return found[0]


def _from_the_file(
    url: str, message_id: MessageId, write: _Write, unreachable: DaemonUnreachable
) -> bool:
    """Read content while no daemon runs; False when it is gone. Raises StoreForbidden, `unreachable`."""
    from relayd.store import owner_of  # noqa: PLC0415 -- for this case alone
    from relayd.store.url import is_file  # noqa: PLC0415 -- as above
    from relayd.supervisor.lock import is_served  # noqa: PLC0415 -- as above

    if not is_file(url):  # others serve it, and put on record who reads
        raise unreachable
    owner = owner_of(url).uid
    if os.geteuid() not in {0, owner}:
        users = " and ".join(dict.fromkeys(("root", name_of(owner))))
        raise StoreForbidden(
            f"only {users} may read content while no daemon puts that on record ({unreachable})"
        ) from unreachable
    if is_served(url):
        raise unreachable
    with open_view() as view:
        content = view.content_of(message_id)
    if content is None:
        return False
    click.echo("no daemon runs: it is not on record that you read this", err=True)
    for begin in range(0, len(content), _PART):
        write(content[begin : begin + _PART])
    return True


def _screen() -> _Write:
    """Return what shows octets on a terminal: nothing of them acts on it."""
    decoder = codecs.getincrementaldecoder("utf-8")("replace")

    def show(part: bytes) -> None:
        text = decoder.decode(part).replace("\r", "").replace("\t", "    ")
        sys.stdout.write("\n".join(map(printable, text.split("\n"))))

    return show
