"""What `relayd.doctor` makes of a machine that is not as usual."""

import asyncio
import ctypes
import socket
from dataclasses import replace
from ipaddress import ip_address
from pathlib import Path

import pytest

from relayd.cli.doctor.command import _host_of
from relayd.config import load as config
from relayd.doctor import clock
from relayd.doctor.context import CheckContext, CheckRequest, context_of, sends_directly
from relayd.doctor.machine import _disks, _pair_facts, check_certificate
from relayd.doctor.names import check_names
from relayd.doctor.servers import _ways, check_smarthost
from relayd.net.local import source_towards
from relayd.policy.delivery.route import DEFAULT
from relayd.policy.doctor.finding import Check, Level
from relayd.settings import CertificateSettings, HostPort, Settings
from tests.support.certificates import Authority
from tests.support.clock import FakeClock
from tests.support.dns_server import DnsServer


def settings_of(folder: Path, **tables: object) -> Settings:
    data = {
        "fqdn": "relay.mill.net",
        "store": {"url": f"sqlite:{folder}/state/queue.db"},
        "status_log": {"path": "-"},
    }
    return config.from_mapping({**data, **tables}, file=str(folder / "relayd.toml"))


def a_context(settings: Settings, *local: str, request: CheckRequest | None = None) -> CheckContext:
    context = context_of(settings, request or CheckRequest(direct=True), FakeClock())
    return replace(context, local=tuple(ip_address(each) for each in local))


async def test_a_machine_without_a_network(tmp_path: Path) -> None:
    async with DnsServer({}) as server:
        settings = settings_of(tmp_path, dns={"nameservers": [str(server.endpoint)]})
        found = await check_names(a_context(settings))
    checks = [(each.check, each.level) for each in found]
    assert (Check.SOURCE, Level.FAIL) in checks
    assert (Check.FORWARD, Level.FAIL) in checks
    assert Check.HELO not in dict(checks)


def test_the_way_out_is_a_question_to_the_kernel() -> None:
    assert source_towards(ip_address("127.0.0.9")) == ip_address("127.0.0.1")


def test_a_kernel_without_ipv6(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = socket.socket

    def only_ipv4(family: int = -1, *rest: int) -> socket.socket:
        if family == socket.AF_INET6:
            raise OSError(97, "Address family not supported by protocol")
        return real(family, *rest)

    monkeypatch.setattr(socket, "socket", only_ipv4)
    context = context_of(settings_of(tmp_path), CheckRequest(), FakeClock())
    assert {ip.version for ip in context.local} <= {4}


def test_source_addresses_are_taken_as_they_are(tmp_path: Path) -> None:
    settings = settings_of(tmp_path, direct={"source_addresses": ["20.0.2.1", "2600:db8::1"]})
    context = context_of(settings, CheckRequest(), FakeClock())
    assert [str(ip) for ip in context.sources] == ["20.0.2.1", "2600:db8::1"]
    seen = CheckRequest(addresses=(ip_address("20.51.100.1"), ip_address("10.0.0.1")))
    context = context_of(settings, seen, FakeClock())
    assert [str(ip) for ip in context.public] == ["20.51.100.1"]
    ips = tuple(ip_address(each) for each in ("127.0.0.1", "127.0.0.2", "::1"))
    assert [(str(a), str(b)) for a, b in _ways(context, ips)] == [
        ("20.0.2.1", "127.0.0.1"),
        ("2600:db8::1", "::1"),
    ]


@pytest.mark.parametrize(
    ("local", "tried"),
    [
        (("20.0.2.1",), ["127.0.0.1"]),
        (("20.0.2.1", "2600:db8::1"), ["127.0.0.1", "::1"]),
        ((), ["127.0.0.1"]),
    ],
)
def test_a_host_is_tried_by_the_families_that_we_have(
    tmp_path: Path, local: tuple[str, ...], tried: list[str]
) -> None:
    ips = tuple(ip_address(each) for each in ("127.0.0.1", "127.0.0.2", "::1"))
    ways = _ways(a_context(settings_of(tmp_path), *local), ips)
    assert [(source, str(ip)) for source, ip in ways] == [(None, each) for each in tried]


@pytest.mark.parametrize(("local", "tried"), [(("20.0.2.1",), ["127.0.0.1"]), ((), ["127.0.0.1"])])
def test_families_that_are_left_out_are_not_tried(
    tmp_path: Path, local: tuple[str, ...], tried: list[str]
) -> None:
    settings = settings_of(tmp_path, direct={"families": ["ipv4"]})
    assert {ip.version for ip in context_of(settings, CheckRequest(), FakeClock()).local} <= {4}
    for ips in (["::1", "127.0.0.1"], ["127.0.0.1"]):
        ways = _ways(a_context(settings, *local), tuple(map(ip_address, ips)))
        assert [str(ip) for _, ip in ways] == tried


@pytest.mark.parametrize(
    ("tables", "direct"),
    [
        ({}, False),
        ({"use_remote_smtp": True}, True),
        ({"routes": {"a.test": "direct"}}, True),
        ({"routes": {"a.test": "hold"}}, False),
    ],
)
def test_one_direct_route_is_direct_mode(
    tmp_path: Path, tables: dict[str, object], *, direct: bool
) -> None:
    assert sends_directly(settings_of(tmp_path, **tables)) is direct


async def test_a_smarthost_without_a_name(tmp_path: Path) -> None:
    settings = settings_of(tmp_path)
    nowhere = HostPort(host="x" * 64, port=25)  # no resolver takes it to the network
    smarthost = replace(settings.smarthost, hosts=(nowhere,))
    (found,) = await check_smarthost(a_context(replace(settings, smarthosts={DEFAULT: smarthost})))
    assert (found.level, found.subject) == (Level.UNKNOWN, str(nowhere))


def test_the_disk_of_a_directory_to_come(tmp_path: Path) -> None:
    (facts,) = _disks(settings_of(tmp_path))
    assert facts.path == str(tmp_path)
    assert facts.free > 0


def test_a_pair_that_changed_since(tmp_path: Path) -> None:
    """The settings were read when it was good."""
    pair = Authority(tmp_path).write_pair(tmp_path, "relay.mill.net")
    tables = {
        "listen": [{"address": "127.0.0.1:0", "tls": "starttls"}],
        "tls": {"certificate": pair.certificate, "key": pair.key},
    }
    context = a_context(settings_of(tmp_path, **tables))
    good = Path(pair.certificate).read_text()
    other = Authority(tmp_path).write_pair(tmp_path, "relay.mill.net")
    Path(other.certificate).write_text(good)
    (found,) = asyncio.run(check_certificate(context))
    assert found.level is Level.FAIL
    assert "the certificate and the key do not fit: key values mismatch" in found.reason


@pytest.mark.parametrize(
    ("certificate", "words"),
    [(None, "cannot be read: No such file"), ("hello", "do not fit"), ("cut", "do not fit")],
)
def test_a_certificate_that_cannot_be_read(
    tmp_path: Path, certificate: str | None, words: str
) -> None:
    pair = Authority(tmp_path).write_pair(tmp_path, "relay.mill.net")
    path = Path(pair.certificate)
    if certificate is None:
        path.unlink()
    else:
        path.write_text(path.read_text()[:200] if certificate == "cut" else certificate)
    assert words in _pair_facts(pair).problem


def test_a_certificate_of_another_kind(tmp_path: Path) -> None:
    """OpenSSL takes an old form of it that we do not read."""
    pair = Authority(tmp_path).write_pair(tmp_path, "relay.mill.net")
    text = Path(pair.certificate).read_text()
    trusted = text.replace("BEGIN CERTIFICATE", "BEGIN X509 CERTIFICATE", 1)
    Path(pair.certificate).write_text(trusted.replace("END CERTIFICATE", "END X509 CERTIFICATE", 1))
    facts = _pair_facts(CertificateSettings(certificate=pair.certificate, key=pair.key))
    assert facts.problem == "holds no certificate that can be read"


@pytest.mark.parametrize(("state", "synchronised"), [(0, True), (4, True), (5, False), (-1, None)])
def test_what_the_kernel_says_of_the_clock(
    monkeypatch: pytest.MonkeyPatch, state: int, *, synchronised: bool | None
) -> None:
    class Libc:
        def adjtimex(self, _: object) -> int:
            return state

    monkeypatch.setattr(ctypes, "CDLL", lambda *_, **__: Libc())
    assert clock.is_synchronised() is synchronised


def test_a_kernel_that_is_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ctypes, "CDLL", lambda *_, **__: object())
    assert clock.is_synchronised() is None


def test_the_real_kernel_is_not_disturbed() -> None:
    assert clock.is_synchronised() in {True, False, None}


@pytest.mark.parametrize(
    ("text", "host"),
    [
        ("mx.a.test", HostPort(host="mx.a.test", port=26)),
        ("mx.a.test:587", HostPort(host="mx.a.test", port=587)),
        ("20.0.2.1", HostPort(host="20.0.2.1", port=26)),
        ("2600:db8::1", HostPort(host="2600:db8::1", port=26)),
        ("[2600:db8::1]", HostPort(host="2600:db8::1", port=26)),
        ("[2600:db8::1]:25", HostPort(host="2600:db8::1", port=25)),
    ],
)
def test_hosts_to_reach(text: str, host: HostPort) -> None:
    assert _host_of(text, 26) == host
