"""Certificates for tests: an authority of our own, and servers that it vouches for, or not."""

import ssl
from pathlib import Path

import trustme


class Authority:
    """Signs server certificates; `cafile` makes a client trust it."""

    def __init__(self, directory: Path) -> None:
        self._authority = trustme.CA()
        self.cafile = str(directory / "authority.pem")
        self._authority.cert_pem.write_to_path(self.cafile)

    def server_context(self, *names: str) -> ssl.SSLContext:
        """A server with a good certificate for these names or addresses."""
        return _context(self._authority, *names)


def untrusted_context(*names: str) -> ssl.SSLContext:
    """A server whose certificate comes from an authority that nobody knows."""
    return _context(trustme.CA(), *names)


def _context(authority: trustme.CA, *names: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(*names).configure_cert(context)
    return context
