"""Four programs that verify DKIM signatures and share no code with us: what receivers run.

dkimpy is a package of the tests; opendkim, Mail::DKIM and rspamd are Debian's. Each gets the same key
records: by a function, by a file, or by a name server on loopback.
"""

import json
import re
import shutil
import subprocess
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import dkim  # type: ignore[import-untyped]

from relayd.settings import HostPort

Records = Mapping[str, str]  # the text of the TXT record, by its name
Verdicts = Mapping[str, str]
"""By selector: "pass", or what is wrong with it."""
Verify = Callable[[bytes], Verdicts]

_PERL = r"""
use strict; use warnings;
use Net::DNS::Resolver; use Mail::DKIM::DNS; use Mail::DKIM::Verifier;
Mail::DKIM::DNS::resolver(Net::DNS::Resolver->new(nameservers => ['127.0.0.1'], port => shift));
my $verifier = Mail::DKIM::Verifier->new;
binmode STDIN; local $/; my $mail = <STDIN>;
$verifier->PRINT($mail); $verifier->CLOSE;
printf "%s %s\n", $_->selector, $_->result_detail for $verifier->signatures;
"""
_OPENDKIM = re.compile(r"^\tdkim=(\w+) .*?header\.s=([\w-]+) ", re.MULTILINE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Keys:
    """Where the verifiers find the key records."""

    records: Records
    nameserver: HostPort
    rspamd: HostPort | None  # that asks that name server
    folder: Path  # for files of a run


def quoted(record: str) -> str:
    """Return a record in presentation format: strings of 255 octets at most (RFC 1035 §3.3.14)."""
    return " ".join(f'"{record[at : at + 255]}"' for at in range(0, len(record), 255))


def why_not(name: str) -> str:
    """Why a verifier cannot be used here; empty if it can."""
    if name == "opendkim" and shutil.which("opendkim") is None:
        return "opendkim is not installed"
    if name == "rspamd" and shutil.which("rspamd") is None:
        return "rspamd is not installed"
    if name == "Mail::DKIM":
        asked = subprocess.run(
            ["perl", "-MMail::DKIM::Verifier", "-e", "1"], capture_output=True, check=False
        )
        return "" if asked.returncode == 0 else "libmail-dkim-perl is not installed"
    return ""


def by_dkimpy(keys: Keys, content: bytes) -> Verdicts:
    def record_of(name: bytes, timeout: float = 0) -> bytes:  # noqa: ARG001 -- the package gives it
        return keys.records.get(name.decode().removesuffix("."), "").encode()

    found = {}
    signatures = sum(name.lower() == b"dkim-signature" for name, _ in dkim.DKIM(content).headers)
    for number in range(signatures):
        one = dkim.DKIM(content)
        try:
            verdict = "pass" if one.verify(idx=number, dnsfunc=record_of) else "fail"
        except dkim.DKIMException as error:
            verdict = str(error)
        found[one.signature_fields[b"s"].decode()] = verdict
    return found


def by_opendkim(keys: Keys, content: bytes) -> Verdicts:
    lines = [f"{name} {record}\n" for name, record in keys.records.items()]
    (keys.folder / "keys").write_text("".join(lines))
    (keys.folder / "opendkim.conf").write_text(f"TestPublicKeys {keys.folder}/keys\nSyslog no\n")
    (keys.folder / "mail.eml").write_bytes(content)
    command = ["opendkim", "-x", "opendkim.conf", "-b", "v", "-v", "-v", "-t", "mail.eml"]
    ran = subprocess.run(
        command, cwd=keys.folder, capture_output=True, text=True, errors="replace", check=True
    )
    return {selector: verdict for verdict, selector in _OPENDKIM.findall(ran.stdout)}


def by_perl(keys: Keys, content: bytes) -> Verdicts:
    ran = subprocess.run(
        ["perl", "-e", _PERL, str(keys.nameserver.port)],
        input=content,
        capture_output=True,
        check=True,
    )
    pairs = [line.partition(" ") for line in ran.stdout.decode().splitlines()]
    return {selector: verdict for selector, _, verdict in pairs}


def by_rspamd(keys: Keys, content: bytes) -> Verdicts:
    assert keys.rspamd is not None
    asked = urllib.request.Request(
        f"http://{keys.rspamd}/checkv2", data=content, headers={"Ip": "192.0.2.1"}
    )
    with urllib.request.urlopen(asked, timeout=30) as answer:
        symbols = json.load(answer)["symbols"]
    found = {}
    for symbol, verdict in {"R_DKIM_ALLOW": "pass", "R_DKIM_REJECT": "fail"}.items():
        for option in symbols.get(symbol, {}).get("options", ()):
            found[option.partition("s=")[2]] = verdict
    return found


VERIFIERS: Mapping[str, Callable[[Keys, bytes], Verdicts]] = {
    "dkimpy": by_dkimpy,
    "opendkim": by_opendkim,
    "Mail::DKIM": by_perl,
    "rspamd": by_rspamd,
}
KNOW_ED25519 = {"dkimpy", "opendkim", "rspamd"}  # RFC 8463; Debian's Mail::DKIM does not
