"""The DANE vectors of OpenSSL, `test/danetest.in`: chains with TLSA records, and what OpenSSL makes of them.

They are not copied here. They come from the source package of the system that the tests run on.
"""

import re
import ssl
import subprocess
import tarfile
from dataclasses import dataclass
from pathlib import Path

from relayd.mail.tlsa import Tlsa, parse_tlsa

_APT = Path("/etc/apt")
_CERTIFICATE = re.compile(r"-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----", re.DOTALL)
_HEAD = re.compile(r"(?m)^(\d+) (\d+) ([01]) (\d+) (-?\d+)$")


class NotToBeHad(Exception):
    """Why there are no vectors here."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Vector:
    records: tuple[Tlsa, ...]
    chain: tuple[bytes, ...]
    names_count: bool  # also for a record of the host's own certificate
    is_good: bool


def read_vectors(text: str) -> dict[int, Vector]:
    """By their number in the file."""
    found = {}
    for block in re.split(r"(?m)^# (?=\d+$)", text)[1:]:
        number, _, rest = block.partition("\n")
        head = _HEAD.search(rest)
        assert head is not None
        count = int(head[1])
        records = tuple(map(parse_tlsa, rest[head.end() :].strip().splitlines()[:count]))
        chain = tuple(map(ssl.PEM_cert_to_DER_cert, _CERTIFICATE.findall(rest)))
        assert len(chain) == int(head[2])
        found[int(number)] = Vector(
            records=records, chain=chain, names_count=head[3] == "0", is_good=head[4] == "0"
        )
    return found


def fetch(folder: Path) -> str:
    """Return the file, by way of `apt-get source`. Raises NotToBeHad."""
    system = dict(
        line.split("=", 1)
        for line in Path("/etc/os-release").read_text().splitlines()
        if "=" in line
    )
    if system.get("ID") != "debian":
        raise NotToBeHad("only Debian's source package is known")
    (folder / "parts").mkdir()
    name, text = _with_sources(system["VERSION_CODENAME"])
    (folder / "parts" / name).write_text(text)
    for each in ("lists/partial", "cache/archives/partial"):
        (folder / each).mkdir(parents=True)
    options = {
        "Dir::Etc::SourceList": "/dev/null",
        "Dir::Etc::SourceParts": folder / "parts",
        "Dir::State::Lists": folder / "lists",
        "Dir::Cache": folder / "cache",
        "Acquire::Retries": 1,
        "Acquire::http::Timeout": 20,
    }
    apt = ["apt-get", *(f"-o{name}={value}" for name, value in options.items())]
    for step in (["update"], ["source", "--download-only", "openssl"]):
        done = subprocess.run(
            [*apt, *step], cwd=folder, capture_output=True, text=True, check=False, timeout=180
        )
        if done.returncode:
            raise NotToBeHad(f"apt-get {step[0]}: {done.stderr.strip()[-300:]}")
    with tarfile.open(next(folder.glob("openssl_*.orig.tar.gz"))) as source:
        member = next(one for one in source if one.name.endswith("/test/danetest.in"))
        octets = source.extractfile(member)
        assert octets is not None
        return octets.read().decode()


def _with_sources(suite: str) -> tuple[str, str]:
    """Return a file for apt that names the sources where this machine has the packages of a suite from. Raises NotToBeHad."""
    for path in sorted(_APT.glob("sources.list.d/*.sources")):
        for stanza in path.read_text().split("\n\n"):
            suites = re.search(r"(?m)^Suites:(.*)$", stanza)
            if suites is not None and suite in suites[1].split():
                return "src.sources", re.sub(r"(?m)^Types:.*$", "Types: deb-src", stanza)
    for path in (_APT / "sources.list", *sorted(_APT.glob("sources.list.d/*.list"))):
        for line in path.read_text().splitlines() if path.exists() else ():
            if line.startswith("deb ") and suite in line.split():
                return "src.list", f"deb-src{line.removeprefix('deb')}\n"
    raise NotToBeHad(f"no file of {_APT} names the suite {suite}")
