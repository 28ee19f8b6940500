"""From no key to a signature, and from one key to the next, with a daemon that runs all the time."""

import re
from pathlib import Path

from tests.support.background import Background
from tests.support.daemon import Daemon, SmarthostThread, a_daemon, a_smarthost
from tests.support.dkim_verifiers import quoted
from tests.support.dns_server import DnsServer, own_host
from tests.support.other_users import needs_root

_SELECTOR = re.compile(rb"^DKIM-Signature: .* s=([a-z0-9]+);\r\n", re.MULTILINE)
MAIL = "From: app@news.x.test\r\nSubject: hello\r\n\r\nHello.\r\n"


def made(daemon: Daemon, *servers: DnsServer) -> set[str]:
    """Make keys and publish them; return their selectors."""
    rows = daemon.run("dkim", "keygen", "x.test", "--json").rows
    for row in rows:
        for server in servers:
            server.zones[row["name"]] = {"TXT": [quoted(row["record"])]}
    return {row["selector"] for row in rows}


def selectors(daemon: Daemon, smarthost: SmarthostThread, number: int) -> set[str]:
    """Send a mail, the nth; return who signed it."""
    daemon.send("a@y.test", content=MAIL)
    content = smarthost.received(number)[-1].content
    return {each.decode() for each in _SELECTOR.findall(content)}


@needs_root
def test_keys_are_used_once_they_are_published(tmp_path: Path) -> None:
    """The mail after `rotate` has the new signatures, and no mail goes without."""
    with Background() as background, a_smarthost() as smarthost:
        zone = background.enter(DnsServer({}, host=own_host(1), port=53))
        known = {"x.test": {"NS": ["ns.x.test."]}, "ns.x.test": {"A": [own_host(1)]}}
        recursive = background.enter(DnsServer(known))
        dns = f'[dns]\nnameservers = ["{recursive.endpoint}"]\n'
        with a_daemon(tmp_path, smarthost.port, more=dns) as daemon:
            assert selectors(daemon, smarthost, 1) == set()
            first = made(daemon, zone, recursive)
            assert daemon.run("dkim", "dns", "x.test").status == 0
            ran = daemon.run("dkim", "rotate", "x.test")
            assert ran.status == 0, ran.out + ran.err
            assert selectors(daemon, smarthost, 2) == first
            second = made(daemon, recursive)
            assert daemon.run("dkim", "rotate", "x.test").status == 1
            assert selectors(daemon, smarthost, 3) == first
            zone.zones.update(recursive.zones)
            ran = daemon.run("dkim", "rotate", "x.test")
            assert ran.status == 0, ran.out + ran.err
            assert "daemon: runs with it now" in ran.out
            assert selectors(daemon, smarthost, 4) == second
            assert not first & second
            assert len(list(tmp_path.glob("*.retired"))) == 2
