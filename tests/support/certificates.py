"""Certificates for tests: an authority of our own, and servers that it vouches for, or not."""

import ssl
from pathlib import Path

import trustme

from relayd.settings import CertificateSettings


class Authority:
    """Signs server certificates; `cafile` makes a client trust it."""

    def __init__(self, directory: Path) -> None:
        self._authority = trustme.CA()
        self.cafile = str(directory / "authority.pem")
        self._authority.cert_pem.write_to_path(self.cafile)

    def server_context(self, *names: str) -> ssl.SSLContext:
        """A server with a good certificate for these names or addresses."""
        return _context(self._authority, *names)

    def write_pair(self, directory: Path, *names: str) -> CertificateSettings:
        """A certificate and its key as files, as a listener takes them."""
        issued = self._authority.issue_cert(*names)
        certificate, key = directory / "certificate.pem", directory / "key.pem"
        certificate.write_bytes(b"".join(blob.bytes() for blob in issued.cert_chain_pems))
        key.touch(0o600)
        issued.private_key_pem.write_to_path(str(key))
        return CertificateSettings(certificate=str(certificate), key=str(key))


def untrusted_context(*names: str) -> ssl.SSLContext:
    """A server whose certificate comes from an authority that nobody knows."""
    return _context(trustme.CA(), *names)


def shown_with(authority: trustme.CA, *names: str) -> tuple[ssl.SSLContext, bytes]:
    """A server, and its certificate as DER."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    issued = authority.issue_cert(*names)
    issued.configure_cert(context)
    return context, ssl.PEM_cert_to_DER_cert(issued.cert_chain_pems[0].bytes().decode())


def _context(authority: trustme.CA, *names: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(*names).configure_cert(context)
    return context
