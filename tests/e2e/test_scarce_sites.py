"""One machine with more workers than connections to a site: a reload costs nobody the connection."""

import signal
from pathlib import Path

from tests.support.background import Background
from tests.support.daemon import a_daemon, eventually
from tests.support.dns_server import DnsServer
from tests.support.gated_server import GatedServer
from tests.support.ports import free_port

_SITE = "127.0.0.33"


def test_the_new_workers_have_the_connection_when_the_old_ones_end(tmp_path: Path) -> None:
    """The old one ends right behind its message, while it keeps the connection for others of the site."""
    port = free_port()
    with Background() as background:
        hop = background.enter(GatedServer(_SITE, port))
        dns = background.enter(DnsServer({"x.test": {"A": [_SITE]}}))
        more = f"""
[dns]
nameservers = ["{dns.endpoint}"]
[direct]
port = {port}
tls = "off"
allow_networks = ["127.0.0.0/8"]
connections_per_destination = 1
"""
        with a_daemon(tmp_path, 9, remote="true", more=more) as daemon:
            background.run(hop.shut())
            daemon.send("a@x.test")
            eventually(lambda: hop.open, "its content is there")
            daemon.write(message_size="3MB")
            daemon.signal(signal.SIGHUP)
            eventually(lambda: daemon.events("reloaded"), "others serve")
            background.run(hop.let_through())
            eventually(lambda: len(daemon.events("worker_ended")) == 2, "the old ones have ended")
            daemon.send("b@x.test")
            eventually(lambda: hop.taken == 2, "it does not wait for a share to end")
            assert hop.most == 1
