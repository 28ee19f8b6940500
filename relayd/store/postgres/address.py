"""Where a line leads to, in the words of the library: hosts, who asks, TLS, and the password, read anew each time."""

import ssl
from pathlib import Path
from typing import Any

from relayd.errors import StoreUnavailable
from relayd.secret_files import SecretError, read_secret
from relayd.store.postgres_url import PostgresUrl, read_url


def arguments(url: str, *, writes: bool) -> list[dict[str, Any]]:
    """Return the arguments of a connection to each host: to one that `writes`, or to a standby too.

    Raises StoreUnavailable for files that cannot be read.
    """
    told = read_url(url)
    same = {
        "user": told.user or None,
        "database": told.database,
        "password": _password(told),
        "ssl": _tls(told),
        "target_session_attrs": "read-write" if writes else "any",
    }
    return [{"host": host, "port": port, **same} for host, port in told.hosts]


def _password(told: PostgresUrl) -> str:
    """Return the password; empty where there is none, lest the library looks for that of another program."""
    if not told.password_file:
        return ""
    try:
        return read_secret(Path(told.password_file))[0]
    except SecretError as error:
        raise StoreUnavailable(f"store.password_file: {error}") from error


def _tls(told: PostgresUrl) -> ssl.SSLContext | bool:
    """Return how the server proves itself; False: it need not."""
    if not told.has_tls:
        return False
    try:
        return ssl.create_default_context(cafile=told.root_certificate or None)
    except (OSError, ssl.SSLError) as error:
        why = getattr(error, "strerror", None) or error
        raise StoreUnavailable(f"sslrootcert of store.url cannot be read: {why}") from error
