"""Check the certificate that listeners with TLS need, and say where its files are."""

import ssl
from pathlib import Path

from relayd.certificate import load_certificate
from relayd.config.mistakes import Report
from relayd.config.model import Document
from relayd.file_access import unreadable
from relayd.secret_files import SecretError, find_secret, read_private
from relayd.settings import CertificateSettings, ListenerTls

_NAMES = ("certificate", "key")
_LIMIT = 1 << 20  # octets looked at


def find_certificate(
    document: Document, report: Report, *, reads: bool
) -> CertificateSettings | None:
    """Return where the files are that `[tls]` names; None without any.

    Reports a listener that needs them, and, where they are read, files that cannot be used.
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
    return found if not reads or _is_usable(found, report) else None


def _is_usable(found: CertificateSettings, report: Report) -> bool:
    for name in _NAMES:
        problem, warning = _problem_of(Path(getattr(found, name)), is_secret=name == "key")
        report.warn(("tls", name), warning)
        if problem:
            report.add(("tls", name), problem)
            return False
    try:
        load_certificate(found)
    except ssl.SSLError as error:
        report.add(("tls", "key"), f"the certificate and the key do not fit: {_words(error)}")
        return False
    return True


def _check_needless(document: Document, report: Report) -> None:
    for index, listener in enumerate(document.listen):
        if listener.tls is not ListenerTls.OFF:
            report.add(("listen", index, "tls"), "needs tls.certificate and tls.key")


def _find(name: str, report: Report) -> str:
    """Return the path: of a systemd credential, or beside the settings unless it is absolute."""
    return str(find_secret(name, beside=Path(report.file).parent))


def _problem_of(path: Path, *, is_secret: bool) -> tuple[str, str]:
    """Return what makes the file unusable, and what is only to be said about it; both may be ""."""
    warning = ""
    try:
        if is_secret:
            read = read_private(path, limit=_LIMIT)
            octets, warning = read.octets, read.warning
        else:
            with path.open("rb") as file:
                octets = file.read(_LIMIT)
    except OSError as error:
        return f"the file cannot be read: {unreadable(error, path)}", ""
    except SecretError as error:
        return str(error), ""
    return "" if b"-----BEGIN" in octets else "expected a file in PEM format", warning


def _words(error: ssl.SSLError) -> str:
    return (error.reason or "unknown").replace("_", " ").lower()
