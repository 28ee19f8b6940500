"""`relayd demo --trust`: what mail hosts have to show, one domain for each row of table A (`docs/tls.md`).

Runs one daemon in direct mode among the `situations`: a name server that it believes as one that checks DNSSEC, and mail
servers with certificates made for this run, one authority of which the daemon trusts. Their MTA-STS policies are in its
store before it starts, since a web server of the demo could not have port 443.
"""

import asyncio
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

import click

from relayd.cli.context import now
from relayd.cli.demo.certificates import Certificate
from relayd.cli.demo.dns import DemoDns
from relayd.cli.demo.relay import Relay, running, submit, wait_until_ready
from relayd.cli.demo.samples import SENDER
from relayd.cli.demo.servers import Script, mail_servers
from relayd.cli.demo.situations import (
    SITUATIONS,
    Shown,
    Situation,
    hosts_of,
    policies_of,
    world_of,
)
from relayd.cli.demo.waiting import wait_for_mail
from relayd.cli.output import show_json, show_table
from relayd.cli.table import Column
from relayd.mail.words import EventKind, JsonValue
from relayd.policy.tls.sts import StsEntry
from relayd.ports.view import Query, QueueView, RecipientRow, Status
from relayd.store import open_store, open_view
from relayd.worker.system import SystemClock

_SETTINGS = """\
fqdn = "relay.demo.test"
workers = 1
use_remote_smtp = true
[direct]
port = {mx}
allow_networks = ["127.0.0.0/8"]
[dns]
nameservers = ["127.0.0.1:{dns}"]
timeout = "2s"
[tls_policy]
{entries}
"""
_NEXT_HOST = "next host"
_TOLD = ("tls_policy", "tls_proof", "tls_result")
_COLUMNS = (
    Column(title="ROW", whole=True, right=True),
    Column(title="DOMAIN", least=18),
    Column(title="WHAT IT HAS", goes=1, least=24),
    Column(title="STATUS", whole=True),
    Column(title="TLS_POLICY", whole=True),
    Column(title="TLS_PROOF", whole=True),
    Column(title="TLS_RESULT"),
)


def show_trust(*, as_json: bool) -> None:
    """Send a mail to each domain, and show what became of it at the best host. May raise StartError."""
    with (
        tempfile.TemporaryDirectory(prefix="relayd-demo-") as folder,
        _relay(Path(folder)) as relay,
    ):
        wait_until_ready(relay)
        if not as_json:
            click.echo(f"{relay.title}: relayd on 127.0.0.1:{relay.port}")
        for each in SITUATIONS:
            submit(relay, SENDER, [_recipient(each)], _content(each))
        with closing(open_view(relay.store)) as view:
            wait_for_mail([view], _is_untried, is_shown=not as_json)
            found = [_outcome(each, view) for each in SITUATIONS]
    if as_json:
        for fields in found:
            show_json(fields)
        return
    click.echo()
    show_table(_COLUMNS, [_cells(*each) for each in zip(SITUATIONS, found, strict=True)])
    click.echo(
        "\nThe rows are those of table A in docs/tls.md. Your own mail: relayd route ADDRESS"
    )


@contextmanager
def _relay(folder: Path) -> Iterator[Relay]:
    """Run a relay among the situations."""
    hosts = hosts_of(SITUATIONS)
    made = {
        shown: Certificate(folder, shown.name.lower(), list(hosts))
        for shown in (Shown.UNKNOWN, Shown.TRUSTED)
    }
    certificates = {
        name: made[each.shown].context
        for each in SITUATIONS
        for name in each.names
        if each.shown in made
    }
    script = Script(rcpt={}, dot={})
    with mail_servers(script, list(hosts.items()), certificates) as mx:
        world = world_of(SITUATIONS, port=mx, digest=made[Shown.UNKNOWN].digest)
        with DemoDns(world.zones, secure=world.secure, failing=world.failing) as dns:
            entries = [f'"{each.domain}" = "{each.entry}"' for each in SITUATIONS if each.entry]
            settings = _SETTINGS.format(mx=mx, dns=dns.port, entries="\n".join(entries))
            title = "What mail hosts have to show"
            trusted = {"SSL_CERT_FILE": str(made[Shown.TRUSTED].authority)}
            folder = folder / "relay"
            folder.mkdir()
            asyncio.run(_keep(f"sqlite:{folder}/queue.db", list(policies_of(SITUATIONS, now()))))
            with running(title, (), script, folder, settings, trusted) as relay:
                yield relay


async def _keep(url: str, policies: Sequence[StsEntry]) -> None:
    """Put MTA-STS policies into a new store."""
    store = open_store(url, clock=SystemClock(), slots={})
    for each in policies:
        await store.trust.keep_sts_policy(each)
    await store.close()


def _recipient(situation: Situation) -> str:
    return f"anna@{situation.domain}"


def _content(situation: Situation) -> str:
    """Return a mail to it."""
    lifted = ["TLS-Required: No"] * situation.lifts
    return "\n".join(["Subject: a sample", f"From: {SENDER}", *lifted, "", "Hello.", ""])


def _is_untried(row: RecipientRow) -> bool:
    return row.leased or row.status is Status.QUEUED


def _outcome(situation: Situation, view: QueueView) -> Mapping[str, object]:
    """Return what the situation is, and what came of the first host, with the names of the status log."""
    query = Query(recipient=(_recipient(situation),))
    told: Mapping[str, JsonValue] = {}
    status: str = Status.QUEUED
    for row in view.find(query, limit=1):
        events = (each for each in view.history(row.message_id) if each.kind != EventKind.RECEIVED)
        for event in events:
            told, status = event.detail, event.kind
            break
    return {
        "row": situation.row,
        "domain": situation.domain,
        "entry": situation.entry,
        "tls_required_no": situation.lifts or None,
        "tlsa": situation.tlsa,
        "mx_secure": situation.mx_is_secure,
        "mta_sts": situation.sts_in_words or None,
        "certificate": situation.shown,
        "status": _NEXT_HOST if status == EventKind.ATTEMPTED else status,
        **{name: told.get(name) for name in (*_TOLD, "reason")},
    }


def _cells(situation: Situation, outcome: Mapping[str, object]) -> list[str]:
    told = [str(outcome[name] or "") for name in ("status", *_TOLD)]
    return [str(situation.row), situation.domain, situation.in_words, *told]
