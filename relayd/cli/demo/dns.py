"""The name server of `relayd demo`: a few zones on loopback, by UDP.

A stand-in for the world outside, as `servers` is; the resolver that asks it is the real one.
"""

import socketserver
from collections.abc import Collection
from typing import ClassVar

import dns.flags
import dns.message
import dns.rcode
import dns.rdatatype
import dns.rrset

from relayd.cli.demo.samples import Zones
from relayd.cli.demo.servers import Served

_TTL = 60
# It knows all there is, so it denies in the name of the root.
_SOA = dns.rrset.from_text(".", _TTL, "IN", "SOA", "ns.test. admin.test. 1 3600 600 86400 60")


class _Question(socketserver.BaseRequestHandler):
    zones: ClassVar[Zones]
    secure: ClassVar[Collection[str]]
    failing: ClassVar[Collection[str]]

    def handle(self) -> None:
        wire, sock = self.request
        query = dns.message.from_wire(wire)
        response = dns.message.make_response(query, recursion_available=True)
        (question,) = query.question
        name = question.name.to_text(omit_final_dot=True).lower()
        records = self.zones.get(name)
        rdtype = dns.rdatatype.to_text(question.rdtype)
        if name in self.secure:
            response.flags |= dns.flags.AD
        if name in self.failing:
            response.set_rcode(dns.rcode.SERVFAIL)
        elif records is not None and rdtype in records:
            found = dns.rrset.from_text(question.name, _TTL, "IN", rdtype, *records[rdtype])
            response.answer.append(found)
        else:  # a definite no, which takes the SOA record to prove it
            response.authority.append(_SOA)
            if records is None:
                response.set_rcode(dns.rcode.NXDOMAIN)
        sock.sendto(response.to_wire(), self.client_address)


class DemoDns(Served):
    """A name server that knows `zones`.

    What it says about `secure` names has the AD bit, as if it had checked DNSSEC; those in `failing` it cannot look up.
    """

    def __init__(
        self, zones: Zones, *, secure: Collection[str] = (), failing: Collection[str] = ()
    ) -> None:
        known = {"zones": zones, "secure": secure, "failing": failing}
        handler = type("_Zones", (_Question,), known)
        super().__init__(socketserver.ThreadingUDPServer(("127.0.0.1", 0), handler))
