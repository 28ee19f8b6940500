"""Mail servers of others as our next hop: each takes mail for `box.test` and sends it on to a
ScriptedServer, its `mailbox`, where tests read the octets that it took.

What it refuses, by recipient: `nobody` is unknown, `full` has no room, `busy` shall come back,
`barred` may not. Both keep lines of any length, which their packages would fold or refuse. Postfix
hangs up with 421 behind the fifth error of a session.
"""

import shutil
import socket
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from relayd.settings import CertificateSettings
from tests.support import exim, postfix
from tests.support.daemon import SmarthostThread, a_smarthost, eventually
from tests.support.ports import free_port

SIZE_LIMIT = 3_000_000  # octets of a message

_ACCESS = """\
/^full@/ 552 5.2.2 Mailbox full
/^busy@/ 450 4.2.1 Mailbox busy
/^barred@/ 554 5.7.1 Access denied
"""
_EXIM = """\
primary_hostname = mx.box.test
acl_smtp_rcpt = rcpt
message_size_limit = {size}
smtp_accept_queue_per_connection = 0
smtputf8_advertise_hosts = *
dsn_advertise_hosts = *
{tls}
begin acl
rcpt:
  deny local_parts = full
       message = 552 5.2.2 Mailbox full
  defer local_parts = busy
       message = 450 4.2.1 Mailbox busy
  deny local_parts = barred
       message = 554 5.7.1 Access denied
  require verify = recipient
  accept
begin routers
onward:
  driver = manualroute
  domains = box.test
  local_parts = ! nobody
  route_list = * 127.0.0.1
  self = send
  transport = onward
begin transports
onward:
  driver = smtp
  port = {mailbox}
  allow_localhost
  message_linelength_limit = {size}
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mta:
    """One that runs."""

    port: int
    mailbox: SmarthostThread
    accepted: str  # how its reply to the final dot begins
    unknown: str  # words of its reply to an unknown user


@contextmanager
def a_postfix(
    certificate: CertificateSettings, *, mailbox_offers: Sequence[str] | None = None
) -> Iterator[Mta]:
    script = None if mailbox_offers is None else {"EHLO": list(mailbox_offers)}
    with _folder() as folder, a_smarthost(script) as mailbox:
        settings = {
            "myhostname": "mx.box.test",
            "mynetworks": "",
            "local_header_rewrite_clients": "",
            "relay_domains": "box.test",
            "relay_transport": f"relay:[127.0.0.1]:{mailbox.port}",
            "relay_recipient_maps": f"regexp:{folder}/known",
            "smtpd_relay_restrictions": "reject_unauth_destination",
            "smtpd_recipient_restrictions": f"check_recipient_access regexp:{folder}/access",
            "message_size_limit": SIZE_LIMIT,
            "smtp_line_length_limit": 0,
            "smtpd_error_sleep_time": 0,
            "smtpd_hard_error_limit": 5,
            "smtpd_tls_security_level": "may",
            "smtpd_tls_cert_file": certificate.certificate,
            "smtpd_tls_key_file": certificate.key,
        }
        (folder / "known").write_text("!/^nobody@/ yes\n")
        (folder / "access").write_text(_ACCESS)
        server = postfix.Postfix(
            folder / "postfix", port=free_port(), settings=settings, keeps_log=False
        )
        with _running(server, server.port):
            yield Mta(
                port=server.port,
                mailbox=mailbox,
                accepted="250 2.0.0 Ok: queued as ",
                unknown="User unknown in relay recipient table",
            )


@contextmanager
def an_exim(certificate: CertificateSettings) -> Iterator[Mta]:
    with _folder() as folder, a_smarthost() as mailbox:
        shown = {"tls_certificate": certificate.certificate, "tls_privatekey": certificate.key}
        tls = ["tls_advertise_hosts = *"]
        for key, file in shown.items():  # its user reads them, and pytest's folders are root's
            tls.append(f"{key} = {shutil.copy(file, folder)}")
            shutil.chown(folder / Path(file).name, "Debian-exim")
        settings = _EXIM.format(size=SIZE_LIMIT, tls="\n".join(tls), mailbox=mailbox.port)
        port = free_port()
        with _running(exim.Exim(folder / "exim", port=port, settings=settings), port):
            yield Mta(
                port=port, mailbox=mailbox, accepted="250 OK id=", unknown="Unrouteable address"
            )


@contextmanager
def _folder() -> Iterator[Path]:
    """A folder that other users can enter."""
    with tempfile.TemporaryDirectory(prefix="relayd-mta-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        yield folder


@contextmanager
def _running(server: postfix.Postfix | exim.Exim, port: int) -> Iterator[None]:
    server.start()
    try:
        eventually(lambda: _greets(port), "it greets")
        yield
    finally:
        server.stop()


def _greets(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=5) as probe:
            return probe.recv(3) == b"220"
    except OSError:
        return False
