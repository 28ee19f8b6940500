"""Real programs and libraries as clients of a relay, all called the same way.

Each takes a letter whose lines end in CRLF and submits it from app@app.test; it fails if the relay
does not take it. A certificate must prove `localhost` to whoever can check that.
"""

import base64
import json
import shutil
import smtplib
import ssl
import subprocess
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from tests.support import exim, postfix
from tests.support.daemon import eventually
from tests.support.ports import free_port

SENDER = "app@app.test"
_HELO = "app.test"
_CEILING = 30.0  # seconds


class Security(StrEnum):
    PLAIN = "plain"
    STARTTLS = "starttls"
    IMPLICIT = "implicit"


@dataclass(frozen=True, slots=True, kw_only=True)
class Login:
    name: str
    password: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Submission:
    """What is to be sent, and to which port."""

    letter: bytes
    recipient: str
    port: int
    security: Security
    cafile: str
    login: Login | None
    folder: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Client:
    submit: Callable[[Submission], None]
    why_not: Callable[[], str]  # why it cannot be used here; empty if it can


def _smtplib(job: Submission) -> None:
    context = ssl.create_default_context(cafile=job.cafile)
    client: smtplib.SMTP
    if job.security is Security.IMPLICIT:
        client = smtplib.SMTP_SSL("localhost", job.port, _HELO, timeout=_CEILING, context=context)
    else:
        client = smtplib.SMTP("localhost", job.port, _HELO, timeout=_CEILING)
    with client:
        if job.security is Security.STARTTLS:
            client.starttls(context=context)
        if job.login is not None:
            client.login(job.login.name, job.login.password)
        client.sendmail(SENDER, [job.recipient], job.letter, ["BODY=8BITMIME"])


def _curl(job: Submission) -> None:
    scheme = "smtps" if job.security is Security.IMPLICIT else "smtp"
    command = ["curl", "-sS", "--cacert", job.cafile, "--mail-from", SENDER]
    command += ["--mail-rcpt", job.recipient, "--upload-file", str(_file(job, job.letter))]
    if job.security is Security.STARTTLS:
        command.append("--ssl-reqd")
    if job.login is not None:
        command += ["--user", f"{job.login.name}:{job.login.password}"]
    _run([*command, f"{scheme}://localhost:{job.port}/{_HELO}"])


def _swaks(job: Submission) -> None:
    command = ["swaks", "--server", "localhost", "--port", str(job.port), "--ehlo", _HELO]
    command += ["--from", SENDER, "--to", job.recipient]
    letter = _with_lf(job.letter).removesuffix(b"\n")  # it adds a line end of its own
    command += ["--data", f"@{_file(job, letter)}"]
    if job.security is not Security.PLAIN:
        command.append("--tls" if job.security is Security.STARTTLS else "--tls-on-connect")
        command += ["--tls-verify", "--tls-ca-path", job.cafile]
    if job.login is not None:
        command += ["--auth", "--auth-user", job.login.name, "--auth-password", job.login.password]
    _run(command)


def _msmtp(job: Submission) -> None:
    settings = {
        "host": "localhost",
        "port": job.port,
        "domain": _HELO,
        "tls": "off" if job.security is Security.PLAIN else "on",
        "tls_starttls": "on" if job.security is Security.STARTTLS else "off",
        "tls_trust_file": job.cafile,
        "auth": "off" if job.login is None else "on",
    }
    if job.login is not None:
        settings |= {"user": job.login.name, "password": job.login.password}
    file = job.folder / "msmtprc"
    file.write_text("account default\n" + "".join(f"{k} {v}\n" for k, v in settings.items()))
    file.chmod(0o600)
    _run(["msmtp", "-C", str(file), "-f", SENDER, job.recipient], _with_lf(job.letter))


_NODEMAILER = """
const {letter, sender, recipient, helo, options} = JSON.parse(process.argv[1]);
require('nodemailer').createTransport({...options, name: helo}).sendMail({
  envelope: {from: sender, to: [recipient]}, raw: Buffer.from(letter, 'base64'),
}).catch(error => { console.error(error); process.exit(1); });
"""


def _nodemailer(job: Submission) -> None:
    options = {
        "host": "localhost",
        "port": job.port,
        "secure": job.security is Security.IMPLICIT,
        "requireTLS": job.security is Security.STARTTLS,
        "ignoreTLS": job.security is Security.PLAIN,
        "tls": {"ca": Path(job.cafile).read_text()},
    }
    if job.login is not None:
        options["auth"] = {"user": job.login.name, "pass": job.login.password}
    words = {
        "letter": base64.b64encode(job.letter).decode(),
        "sender": SENDER,
        "recipient": job.recipient,
        "helo": _HELO,
        "options": options,
    }
    _run(["node", "-e", _NODEMAILER, json.dumps(words)])


def _postfix(job: Submission) -> None:
    """Its own queue takes the mail; the relay is its relayhost."""
    settings: dict[str, object] = {
        "myhostname": _HELO,
        "relayhost": f"[localhost]:{job.port}",
        "smtp_host_lookup": "native",
        "smtp_tls_security_level": "none" if job.security is Security.PLAIN else "secure",
        "smtp_tls_secure_cert_match": "nexthop",
        "smtp_tls_wrappermode": "yes" if job.security is Security.IMPLICIT else "no",
    }
    with tempfile.TemporaryDirectory(prefix="relayd-client-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        if job.login is not None:
            login = f"[localhost]:{job.port} {job.login.name}:{job.login.password}\n"
            (folder / "login").write_text(login)
            settings |= {
                "smtp_sasl_auth_enable": "yes",
                "smtp_sasl_password_maps": f"texthash:{folder}/login",
                "smtp_sasl_security_options": "noanonymous",
            }
        cafile = Path(shutil.copy(job.cafile, folder))
        cafile.chmod(0o644)
        settings["smtp_tls_CAfile"] = cafile
        server = postfix.Postfix(
            folder / "postfix", port=free_port(), settings=settings, keeps_log=False
        )
        server.start()
        try:
            command = ["sendmail", "-C", str(server.config), "-i", "-f", SENDER, job.recipient]
            _run(command, _with_lf(job.letter))
            _until_sent(server)
        finally:
            server.stop()


def _until_sent(server: postfix.Postfix) -> None:
    try:
        eventually(lambda: not server.queue(), "Postfix has sent it")
    except AssertionError:
        raise AssertionError(f"Postfix has not sent it: {server.queue()}") from None


_EXIM = """\
primary_hostname = {helo}
begin routers
relay:
  driver = manualroute
  route_list = * localhost byname
  self = send
  transport = relay
begin transports
relay:
  driver = smtp
  port = {port}
  allow_localhost
{options}
begin authenticators
{login}
"""
_EXIM_TLS = """\
  hosts_require_tls = *
  tls_verify_certificates = {cafile}
  tls_verify_hosts = *
  tls_verify_cert_hostnames = *
"""
_EXIM_LOGIN = """\
plain:
  driver = plaintext
  public_name = PLAIN
  client_send = ^{name}^{password}
"""


def _exim(job: Submission) -> None:
    """It delivers at once to the relay, by a route of its own."""
    with tempfile.TemporaryDirectory(prefix="relayd-client-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        cafile = Path(shutil.copy(job.cafile, folder))
        cafile.chmod(0o644)
        options = "" if job.security is Security.PLAIN else _EXIM_TLS.format(cafile=cafile)
        if job.security is Security.IMPLICIT:
            options += "  protocol = smtps\n"
        login = ""
        if job.login is not None:
            options += "  hosts_require_auth = *\n"
            login = _EXIM_LOGIN.format(name=job.login.name, password=job.login.password)
        settings = _EXIM.format(helo=_HELO, port=job.port, options=options, login=login)
        client = exim.Exim(folder / "exim", port=free_port(), settings=settings)
        _run(client.sends(SENDER, job.recipient), _with_lf(job.letter))
        log = client.log.read_text()
        assert f"=> {job.recipient} " in log, log


def _with_lf(letter: bytes) -> bytes:
    return letter.replace(b"\r\n", b"\n")


def _file(job: Submission, letter: bytes) -> Path:
    file = job.folder / "letter"
    file.write_bytes(letter)
    return file


def _run(command: list[str], stdin: bytes = b"") -> None:
    done = subprocess.run(command, input=stdin, capture_output=True, timeout=_CEILING, check=False)
    said = (done.stdout + done.stderr).decode("utf-8", "backslashreplace")
    assert done.returncode == 0, f"{command[0]} says {done.returncode}:\n{said[-2000:]}"


def _program(name: str) -> Callable[[], str]:
    return lambda: "" if shutil.which(name) else f"{name} is not installed"


def _why_not_nodemailer() -> str:
    if shutil.which("node") is None:
        return "node is not installed"
    found = subprocess.run(
        ["node", "-e", "require('nodemailer')"], capture_output=True, check=False
    )
    return "nodemailer is not installed (NODE_PATH)" if found.returncode else ""


CLIENTS: Mapping[str, Client] = {
    "smtplib": Client(submit=_smtplib, why_not=str),
    "curl": Client(submit=_curl, why_not=_program("curl")),
    "swaks": Client(submit=_swaks, why_not=_program("swaks")),
    "msmtp": Client(submit=_msmtp, why_not=_program("msmtp")),
    "nodemailer": Client(submit=_nodemailer, why_not=_why_not_nodemailer),
    "postfix": Client(submit=_postfix, why_not=postfix.why_not),
    "exim": Client(submit=_exim, why_not=exim.why_not),
}
