"""`relayd nodes`: the machines that share the queue, who is alive, and whether they treat mail alike."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import click

from relayd.cli.ages import Times, times_for
from relayd.cli.context import asking, load_settings, settings_option
from relayd.cli.output import Form, show_fields, show_table
from relayd.cli.row_options import takes_row_options
from relayd.cli.table import Column, TableOptions
from relayd.cli.table_options import takes_table_options
from relayd.ports.membership import Node

if TYPE_CHECKING:
    from relayd.settings import Settings

FIELDS = ("node", "version", "workers", "seen_at", "settings", "same_settings", "differs_in")
_COLUMNS = (
    Column(title="NODE", least=12),
    Column(title="VERSION", whole=True),
    Column(title="WORKERS", whole=True, right=True),
    Column(title="SEEN", whole=True),
    Column(title="SETTINGS", goes=1),
)


@click.command()
@takes_row_options
@takes_table_options(_COLUMNS)
@settings_option()
def nodes(*, form: Form, table: TableOptions) -> int:
    """Show the machines that share the queue: their version, workers that are alive, whether settings are alike.

    A queue that is a file has this machine alone. Names, addresses and paths may differ from machine to machine.
    """
    settings = load_settings()
    found = _found(settings)
    if form is Form.TABLE:
        times = times_for(table)
        show_table(_COLUMNS, (_cells(each, settings, times) for each in found), table=table)
    else:
        show_fields((_fields(each, settings) for each in found), FIELDS, form)
    return len(found)


def _found(settings: "Settings") -> Sequence[Node]:
    from relayd.store import nodes_of  # noqa: PLC0415
    from relayd.store.url import is_file  # noqa: PLC0415

    if is_file(settings.store.url):
        return [Node(settings.node, "", settings.shared_digest, None, None)]
    with asking(settings.store.url):
        return nodes_of(settings.store.url)


def _fields(node: Node, settings: "Settings") -> Mapping[str, object]:
    return {
        "node": node.name,
        "version": node.version or None,
        "workers": node.workers,
        "seen_at": node.seen_at,
        "settings": node.settings[:12],
        "same_settings": node.settings == settings.shared_digest,
        "differs_in": " ".join(node.differs_in(settings.shared_keys)) or None,
    }


def _cells(node: Node, settings: "Settings", times: Times) -> Sequence[str]:
    same = node.settings == settings.shared_digest
    return (
        node.name,
        node.version,
        "" if node.workers is None else str(node.workers),
        times.past(node.seen_at),
        "as here"
        if same
        else f"others: {', '.join(node.differs_in(settings.shared_keys)) or node.settings[:12]}",
    )
