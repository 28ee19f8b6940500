"""Check the certificate that listeners with TLS need, and say where its files are."""

import os
import ssl
import stat
from pathlib import Path

from relayd.config.mistakes import Report
from relayd.config.model import Document
from relayd.receiver.tls import load
from relayd.settings import CertificateSettings, ListenerTls

_NAMES = ("certificate", "key")
_OTHERS = 0o007


def read_certificate(document: Document, report: Report) -> CertificateSettings | None:
    """Return where the files are that `[tls]` names; None without any.

    Reports a listener that needs them, and files that cannot be used.
    """
    named = {name: getattr(document.tls, name) for name in _NAMES}
    if not any(named.values()):
        _check_needless(document, report)
        return None
    for name, other in zip(_NAMES, reversed(_NAMES), strict=True):
        if not named[name]:
            report.add(("tls", name), f"is missing; tls.{other} is of no use without it")
            return None
    found = CertificateSettings(
        certificate=_find(named["certificate"], report), key=_find(named["key"], report)
    )
    for name in _NAMES:
        problem = _problem_of(getattr(found, name), is_secret=name == "key")
        if problem:
            report.add(("tls", name), problem)
            return None
    try:
        load(found)
    except ssl.SSLError as error:
        report.add(("tls", "key"), f"the certificate and the key do not fit: {_words(error)}")
        return None
    return found


def _check_needless(document: Document, report: Report) -> None:
    for index, listener in enumerate(document.listen):
        if listener.tls is not ListenerTls.OFF:
            report.add(("listen", index, "tls"), "needs tls.certificate and tls.key")


def _find(name: str, report: Report) -> str:
    """Return the path: of a systemd credential, or beside the settings unless it is absolute."""
    directory = os.environ.get("CREDENTIALS_DIRECTORY", "")
    if directory and "/" not in name and (credential := Path(directory) / name).exists():
        return str(credential)
    return str(Path(report.file).parent / name)


def _problem_of(path: str, *, is_secret: bool) -> str:
    try:
        with Path(path).open("rb") as file:
            mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
            if is_secret and mode & _OTHERS:
                return f"others may use the file (mode {mode:04o}); run chmod o-rwx on it"
            return "" if b"-----BEGIN" in file.read(1 << 20) else "expected a file in PEM format"
    except OSError as error:
        return f"the file cannot be read: {error.strerror}"


def _words(error: ssl.SSLError) -> str:
    return (error.reason or "unknown").replace("_", " ").lower()
