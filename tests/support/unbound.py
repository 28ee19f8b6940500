"""A resolver that validates DNSSEC: unbound, before zones that are signed here. Nothing leaves the machine.

    async with validating({"signed.test": records}, {"plain.test": records}, bogus={...}) as endpoint:
        ...                                             # ask endpoint

Zones are in the form of zone files, without SOA and NS. Those of `bogus` are signed, and then each TLSA record is changed.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import cast

import dns.asyncquery
import dns.dnssec
import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdataset
import dns.rdatatype
import dns.rrset
import dns.zone
from cryptography.hazmat.primitives.asymmetric import ec
from dns.message import Message, QueryMessage
from dns.rdatatype import RdataType

from relayd.settings import HostPort
from tests.support.ports import free_port

PROGRAM = Path("/usr/sbin/unbound")
_BEFORE = "$ORIGIN {name}.\n@ 300 IN SOA ns hostmaster 1 3600 600 86400 60\n@ IN NS ns\nns IN A 127.0.0.1\n"
_FORGED = "3 1 1 " + "cd" * 32
_CONFIG = """server:
  interface: 127.0.0.1@{port}
  port: {port}
  username: ""
  chroot: ""
  directory: "{folder}"
  pidfile: "{folder}/pid"
  do-daemonize: no
  use-syslog: no
  logfile: "{folder}/log"
  do-not-query-localhost: no
  local-zone: "test." nodefault
  module-config: "validator iterator"
  access-control: 127.0.0.0/8 allow
"""


@asynccontextmanager
async def validating(
    signed: Mapping[str, str], plain: Mapping[str, str], *, bogus: Mapping[str, str], port: int = 0
) -> AsyncIterator[HostPort]:
    """Run it and the server of the zones."""
    zones, anchors = [_zone(name, text) for name, text in plain.items()], []
    for name, text in {**signed, **bogus}.items():
        zone = _zone(name, text)
        anchors.append(f"{name}. DS {_sign(zone)}")
        zones.append(zone)
        if name in bogus:
            _forge(zone)
    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_datagram_endpoint(
        lambda: _Zones(zones), local_addr=("127.0.0.1", 0)
    )
    origin = transport.get_extra_info("sockname")[1]
    names = [str(zone.origin).removesuffix(".") for zone in zones]
    with TemporaryDirectory() as folder:
        port = port or free_port()
        config = _CONFIG.format(port=port, folder=folder)
        config += "".join(f'  trust-anchor: "{each}"\n' for each in anchors)
        config += "".join(
            f'stub-zone:\n  name: "{name}"\n  stub-addr: 127.0.0.1@{origin}\n' for name in names
        )
        (Path(folder) / "conf").write_text(config)
        process = await asyncio.create_subprocess_exec(PROGRAM, "-d", "-c", f"{folder}/conf")
        try:
            await _up(port, names[0])
            yield HostPort(host="127.0.0.1", port=port)
        finally:
            process.terminate()
            await process.wait()
            transport.close()


async def _up(port: int, name: str) -> None:
    for _ in range(100):
        with suppress(dns.exception.DNSException, OSError):
            query = dns.message.make_query(name, "SOA")
            await dns.asyncquery.udp(query, "127.0.0.1", port=port, timeout=0.1)
            return
    raise AssertionError("unbound does not answer")


def _zone(name: str, text: str) -> dns.zone.Zone:
    return dns.zone.from_text(_BEFORE.format(name=name) + text, f"{name}.", relativize=False)


def _sign(zone: dns.zone.Zone) -> str:
    """Sign a zone; return its DS record."""
    key = ec.generate_private_key(ec.SECP256R1())
    dnskey = dns.dnssec.make_dnskey(key.public_key(), "ECDSAP256SHA256", 257)
    with zone.writer() as writer:
        dns.dnssec.sign_zone(zone, writer, [(key, dnskey)], lifetime=86400, add_dnskey=True)
    assert zone.origin is not None
    return dns.dnssec.make_ds(zone.origin, dnskey, "SHA256").to_text()


def _forge(zone: dns.zone.Zone) -> None:
    names = [name for name, _ in zone.iterate_rdatasets("TLSA")]
    with zone.writer() as writer:
        for name in names:
            writer.replace(name, dns.rdataset.from_text("IN", "TLSA", 300, _FORGED))


class _Zones(asyncio.DatagramProtocol):
    """The authoritative server of the zones."""

    def __init__(self, zones: Sequence[dns.zone.Zone]) -> None:
        self._zones = zones

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.DatagramTransport", transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        query = dns.message.from_wire(data)
        assert isinstance(query, QueryMessage)
        self._transport.sendto(self._answer(query).to_wire(), addr)

    def _answer(self, query: QueryMessage) -> Message:
        answer = dns.message.make_response(query)
        answer.flags |= dns.flags.AA
        asked = query.question[0]
        zone = next((one for one in self._zones if asked.name.is_subdomain(_origin(one))), None)
        if zone is None:
            answer.set_rcode(dns.rcode.REFUSED)
            return answer
        wants_proof = bool(query.ednsflags & dns.flags.DO)
        found = zone.get_rrset(asked.name, asked.rdtype)
        if found is not None:
            _put(answer.answer, zone, asked.name, asked.rdtype, wants_proof=wants_proof)
        elif (alias := zone.get_rrset(asked.name, "CNAME")) is not None:
            _put(answer.answer, zone, asked.name, RdataType.CNAME, wants_proof=wants_proof)
            if alias[0].target.is_subdomain(_origin(zone)):
                _put(answer.answer, zone, alias[0].target, asked.rdtype, wants_proof=wants_proof)
        else:
            _deny(answer, zone, asked.name, wants_proof=wants_proof)
        return answer


def _origin(zone: dns.zone.Zone) -> dns.name.Name:
    assert zone.origin is not None
    return zone.origin


def _put(
    section: list[dns.rrset.RRset],
    zone: dns.zone.Zone,
    name: dns.name.Name,
    rdtype: RdataType,
    *,
    wants_proof: bool,
) -> None:
    found = zone.get_rrset(name, rdtype)
    if found is None:
        return
    section.append(found)
    signature = zone.get_rrset(name, RdataType.RRSIG, rdtype)
    if wants_proof and signature is not None:
        section.append(signature)


def _deny(answer: Message, zone: dns.zone.Zone, name: dns.name.Name, *, wants_proof: bool) -> None:
    """Prove by NSEC that there is no such record."""
    _put(answer.authority, zone, _origin(zone), RdataType.SOA, wants_proof=wants_proof)
    names = sorted(zone.nodes)
    exists = any(one == name or one.is_subdomain(name) for one in names)
    if not exists:
        answer.set_rcode(dns.rcode.NXDOMAIN)
    closest = name
    while not any(closest == one or one.is_subdomain(closest) for one in names):
        closest = closest.parent()
    wanted = [name] if exists else [name, dns.name.Name((b"*", *closest.labels))]
    owners = [one for one in names if zone.get_rdataset(one, "NSEC")]
    before = {max((one for one in owners if one <= each), default=None) for each in wanted}
    for owner in filter(None, before):
        _put(answer.authority, zone, owner, RdataType.NSEC, wants_proof=wants_proof)
