"""Check certificates with their keys, and say where their files are: that of listeners, those of ours for smarthosts."""

import ssl
from pathlib import Path

from relayd.certificate import load_certificate
from relayd.config.mistakes import Report
from relayd.config.model import Document, Key, dotted
from relayd.file_access import unreadable
from relayd.secret_files import SecretError, find_secret, read_private
from relayd.settings import CertificateSettings, ListenerTls

_LIMIT = 1 << 20  # octets looked at
Names = tuple[str, str]


def find_certificate(
    document: Document, report: Report, *, reads: bool
) -> CertificateSettings | None:
    """Return where the files are that `[tls]` names; None without any.

    Reports a listener that needs them, and, where they are read, files that cannot be used.
    """
    if not (document.tls.certificate or document.tls.key):
        _check_needless(document, report)
        return None
    written = (document.tls.certificate, document.tls.key)
    return find_pair(written, ("tls",), ("certificate", "key"), report, reads=reads)


def find_pair(
    written: Names, table: Key, names: Names, report: Report, *, reads: bool
) -> CertificateSettings | None:
    """Return where a certificate and its key are, which the keys `names` of a table name; None if one cannot be used.

    Reports what is missing, and, where they are read, files that cannot be used.
    """
    for name, other, value in zip(names, reversed(names), written, strict=True):
        if not value:
            missing = f"is missing; {dotted((*table, other))} is of no use without it"
            report.add((*table, name), missing)
            return None
    certificate, key = (_find(each, report) for each in written)
    found = CertificateSettings(certificate=certificate, key=key)
    return found if not reads or _is_usable(found, table, names, report) else None


def _is_usable(found: CertificateSettings, table: Key, names: Names, report: Report) -> bool:
    certificate, key = ((*table, name) for name in names)
    for name, path, is_secret in ((certificate, found.certificate, False), (key, found.key, True)):
        problem, warning = _problem_of(Path(path), is_secret=is_secret)
        report.warn(name, warning)
        if problem:
            report.add(name, problem)
            return False
    try:
        load_certificate(found)
    except ssl.SSLError as error:
        report.add(key, f"the certificate and the key do not fit: {_words(error)}")
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
