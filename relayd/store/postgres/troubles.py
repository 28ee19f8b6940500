"""What a server or the way to it refuses, in words that say what to do.

Source: PostgreSQL manual, appendix A, error codes.
"""

import errno
import os
import socket
import ssl

_REMEDIES = {
    "3D000": "create it, or correct store.url",
    "28P01": "store.password_file has another password than the server",
    "28000": "see the roles of the server, and its pg_hba.conf",
    "42501": "grant that to the role of store.url (docs/howto/cluster.md)",
    "08P01": "is a pooler in between? name the server itself in store.url",
    "26000": "is a pooler in between? name the server itself in store.url",
    "53300": "raise max_connections of the server, or the limit of the role",
    "3F000": "grant USAGE on the schema of the tables, and have the search_path of the role lead there",
    "42P01": "has somebody changed the tables? see relayd store status",
    "42703": "has somebody changed the tables? see relayd store status",
}
"""By SQLSTATE."""


def in_words(exc: BaseException) -> str:
    """Return one line for an error of the library, of the system, or of TLS."""
    words, remedy = _told(exc)
    return f"the database cannot be used: {words}{'; ' if remedy else ''}{remedy}"


def _told(exc: BaseException) -> tuple[str, str]:
    """Return what happened, and what to do, which may be empty."""
    first = str(exc).partition("\n")[0] or type(exc).__name__
    told = first, _REMEDIES.get(getattr(exc, "sqlstate", None) or "", "")
    match exc:
        case ssl.SSLCertVerificationError():
            told = (
                f"its certificate does not prove its name: {exc.verify_message}",
                "name the authority that vouches for it with sslrootcert in store.url",
            )
        case ssl.SSLError():
            told = (
                f"no TLS with it: {getattr(exc, 'reason', '') or first}",
                "see ssl in its settings",
            )
        case socket.gaierror():
            told = f"its host is not found: {exc.strerror}", "correct store.url, or see the DNS"
        case ConnectionError() if "SSL" in first:
            told = "it offers no TLS", "switch ssl on in its settings, with a certificate"
        case OSError() if exc.errno == errno.ECONNREFUSED:
            told = f"{os.strerror(exc.errno)}{_where(exc)}", "does it run, and listen there?"
        case OSError() if exc.errno == errno.ENOENT:
            told = "it has no such socket", "does it run, with its socket in that folder?"
        case OSError() if exc.errno:
            told = f"{os.strerror(exc.errno)}{_where(exc)}", ""
    return told


def _where(exc: OSError) -> str:
    """Return the address, as asyncio tells it in its words."""
    _, opens, address = (exc.strerror or "").partition("('")
    return (
        f" by {address.rstrip(')').replace(chr(39), '').replace(', ', ' port ')}" if opens else ""
    )
