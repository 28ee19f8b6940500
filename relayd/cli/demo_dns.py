"""The name server of `relayd demo`: a few zones on loopback, by UDP.

A stand-in for the world outside, as `demo_servers` is; the resolver that asks it is the real one.
"""

import socketserver
import threading
from typing import ClassVar, Self

import dns.message
import dns.rcode
import dns.rdatatype
import dns.rrset

from relayd.cli.demo_samples import Zones

_TTL = 60
_SOA = dns.rrset.from_text("test.", _TTL, "IN", "SOA", "ns.test. admin.test. 1 3600 600 86400 60")


class _Question(socketserver.BaseRequestHandler):
    zones: ClassVar[Zones]

    def handle(self) -> None:
        wire, sock = self.request
        query = dns.message.from_wire(wire)
        response = dns.message.make_response(query, recursion_available=True)
        (question,) = query.question
        records = self.zones.get(question.name.to_text(omit_final_dot=True).lower())
        rdtype = dns.rdatatype.to_text(question.rdtype)
        if records is not None and rdtype in records:
            found = dns.rrset.from_text(question.name, _TTL, "IN", rdtype, *records[rdtype])
            response.answer.append(found)
        else:  # a definite no, which takes the SOA record to prove it
            response.authority.append(_SOA)
            if records is None:
                response.set_rcode(dns.rcode.NXDOMAIN)
        sock.sendto(response.to_wire(), self.client_address)


class DemoDns:
    """Serves `zones` in threads of its own while the block lasts."""

    def __init__(self, zones: Zones) -> None:
        handler = type("_Zones", (_Question,), {"zones": zones})
        self._server = socketserver.ThreadingUDPServer(("127.0.0.1", 0), handler)
        self._server.daemon_threads = True
        self.port = int(self._server.server_address[1])
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
