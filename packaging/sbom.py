#!/usr/bin/env python3
"""Write what relayd is made of: `packaging/sbom.py LOCK FOLDER`, run by a Python that has exactly that installed.

`relayd.cdx.json` is a bill of materials in the form of CycloneDX 1.6, `THIRD-PARTY-LICENSES.txt` has the licences
with their texts. Both depend on the environment and on SOURCE_DATE_EPOCH alone, so they can be made again. Without
SOURCE_DATE_EPOCH, the time of the commit, the bill has no date.

It ends with 1 if a package is not as locked, or if its licence is not known to be one that lets us hand it on.
"""

import hashlib
import json
import os
import re
import sys
import uuid
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import Distribution, distribution, distributions
from pathlib import Path
from typing import Any

import apsw
from cryptography.hazmat.backends.openssl import backend

# Licences that ask for no more than that their text goes along; MPL covers the files of its own package.
WELCOME = {
    "0BSD", "Apache-2.0", "BSD-2-Clause", "BSD-3-Clause", "ISC", "MIT", "MIT-0", "MPL-2.0", "PSF-2.0",
    "Python-2.0", "Unlicense", "Zlib", "any-OSI", "blessing",
}  # fmt: skip
_CLASSIFIERS = {
    "Apache Software License": "Apache-2.0",
    "BSD License": "BSD-3-Clause",
    "ISC License (ISCL)": "ISC",
    "MIT License": "MIT",
    "Mozilla Public License 2.0 (MPL 2.0)": "MPL-2.0",
    "Python Software Foundation License": "PSF-2.0",
}
_IN_WORDS = {
    "mit": "MIT",
    "mit license": "MIT",
    "apache 2.0": "Apache-2.0",
    "apache license 2.0": "Apache-2.0",
}
_REQUIREMENT = re.compile(r"([A-Za-z0-9._-]+)(?:\[([^\]]*)\])?")
_EXTRA = re.compile(r"extra *== *['\"]([^'\"]+)['\"]")
_TOOLS = {"pip", "setuptools", "wheel"}  # of the environment
_TEXT = re.compile(r"(?i)(^|/)(licen[cs]es?|copying|notice|authors)[^/]*$|\.dist-info/licenses/")


def main(lock: Path, folder: Path) -> int:
    pinned = read_lock(lock.read_text(encoding="utf-8"))
    found = {canonical(each.name): each for each in distributions()}
    extra = sorted(found.keys() - pinned.keys() - _TOOLS - {"relayd"})
    wrong = [f"{name}: installed, and not in {lock}" for name in extra]
    for name, (version, _) in pinned.items():
        installed = found[name].version if name in found else None
        if installed != version:
            wrong.append(f"{name}: locked as {version}, installed as {installed}")
    licences = {name: licence_of(found[name]) for name in pinned if name in found}
    wrong += [
        f"{name}: licence {licence!r}"
        for name, licence in licences.items()
        if not is_welcome(licence)
    ]
    if wrong:
        print("\n".join(wrong), file=sys.stderr)
        return 1
    folder.mkdir(parents=True, exist_ok=True)
    document = bill(pinned, licences, found)
    (folder / "relayd.cdx.json").write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    texts = "\n".join(texts_of(licences, found))
    (folder / "THIRD-PARTY-LICENSES.txt").write_text(texts, encoding="utf-8")
    print(f"{len(licences)} packages: {', '.join(sorted(set(licences.values())))}")
    return 0


def canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def read_lock(text: str) -> dict[str, tuple[str, list[str]]]:
    """Return the version and the SHA-256 hashes of each package of a lock file."""
    pinned = {}
    for entry in re.split(r"(?m)^(?=[A-Za-z0-9])", text):
        if head := re.match(r"([A-Za-z0-9._-]+)==(\S+)", entry):
            pinned[canonical(head[1])] = (head[2], re.findall(r"sha256:([0-9a-f]{64})", entry))
    return pinned


def licence_of(found: Distribution) -> str:
    """Return the SPDX expression of a package's licence, or what it says in other words; "" if nothing."""
    metadata = found.metadata
    if expression := metadata.get("License-Expression"):
        return str(expression)
    names = [
        each.rpartition(" :: ")[2]
        for each in metadata.get_all("Classifier", [])
        if each.startswith("License ::")
    ]
    spdx = sorted({_CLASSIFIERS.get(name, name) for name in names} - {"OSI Approved"})
    if spdx:
        return " OR ".join(spdx)
    said = str(metadata.get("License") or "").strip()
    return _IN_WORDS.get(said.lower(), said)


def is_welcome(licence: str) -> bool:
    """Whether each licence that an expression names is among those that let us hand the package on."""
    names = set(re.split(r"[\s()]+", licence)) - {"", "AND", "OR", "WITH", "LLVM-exception"}
    return bool(names) and names <= WELCOME


def needs(found: Distribution, extras: Sequence[str] = ()) -> Iterator[str]:
    """Yield the packages that one needs, with those of the extras that are asked for."""
    for line in found.requires or ():
        wanted = _EXTRA.search(line)
        if (wanted is None or wanted[1] in extras) and (head := _REQUIREMENT.match(line)):
            yield canonical(head[1])


def bill(
    pinned: Mapping[str, tuple[str, list[str]]],
    licences: Mapping[str, str],
    found: Mapping[str, Distribution],
) -> dict[str, Any]:
    ours = found["relayd"]
    root = component("relayd", ours.version, licence_of(ours), kind="application")
    parts = []
    for name, licence in sorted(licences.items()):
        version, hashes = pinned[name]
        part = component(name, version, licence)
        part["properties"] = [{"name": "relayd:locked:sha256", "value": each} for each in hashes]
        if inside := list(bundled(name)):
            part["components"] = inside
        parts.append(part)
    extras = ours.metadata.get_all("Provides-Extra", [])
    graph = {"relayd": needs(ours, extras), **{name: needs(found[name]) for name in licences}}
    metadata: dict[str, Any] = {"lifecycles": [{"phase": "build"}], "component": root}
    if epoch := os.environ.get("SOURCE_DATE_EPOCH"):
        time = datetime.fromtimestamp(int(epoch), tz=UTC)
        metadata["timestamp"] = time.isoformat().replace("+00:00", "Z")
    document = {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": metadata,
        "components": parts,
        "dependencies": [
            {"ref": ref(name, found[name].version), "dependsOn": sorted(ref(each, found[each].version) for each in {*below} if each in licences)}
            for name, below in sorted(graph.items())
        ],
    }  # fmt: skip
    digest = hashlib.sha256(json.dumps(document, sort_keys=True).encode()).hexdigest()
    return {"serialNumber": f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_OID, digest)}", **document}


def component(name: str, version: str, licence: str, kind: str = "library") -> dict[str, Any]:
    purl = ref(name, version)
    licences = [{"expression": licence}] if licence else []
    return {"type": kind, "bom-ref": purl, "name": name, "version": version, "licenses": licences, "purl": purl}  # fmt: skip


def ref(name: str, version: str) -> str:
    return f"pkg:pypi/{name}@{version}"


def bundled(name: str) -> Iterator[dict[str, Any]]:
    """Yield the libraries in C inside of a package that a report of a weakness may name."""
    if name == "apsw":
        yield library("sqlite", apsw.sqlite_lib_version(), "blessing")
    if name == "cryptography":
        version = backend.openssl_version_text().split()[1]
        yield library("openssl", version, "Apache-2.0")


def library(name: str, version: str, licence: str) -> dict[str, Any]:
    purl = f"pkg:generic/{name}@{version}"
    return {"type": "library", "bom-ref": purl, "name": name, "version": version, "licenses": [{"expression": licence}], "purl": purl}  # fmt: skip


def texts_of(licences: Mapping[str, str], found: Mapping[str, Distribution]) -> Iterator[str]:
    yield "relayd is under Apache-2.0. What it comes with:\n"
    for name, licence in sorted(licences.items()):
        yield f"{name} {found[name].version}: {licence}"
    for name in sorted(licences):
        for path in found[name].files or ():
            if _TEXT.search(str(path)) and path.suffix not in {".py", ".pyc"}:
                text = Path(str(path.locate())).read_text(encoding="utf-8", errors="replace")
                yield f"\n{'=' * 78}\n{name} {found[name].version}: {path.name}\n{'=' * 78}\n\n{text.rstrip()}"
    yield ""


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    distribution("relayd")  # says so if it is not installed here
    sys.exit(main(Path(sys.argv[1]), Path(sys.argv[2])))
