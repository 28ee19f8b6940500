"""The certificate and key of listeners, loaded: what a TLS server on them starts from.

The receiver uses the result; `config` and `doctor` only try whether the files fit each other.

Source: RFC 8996, RFC 9325 (TLS 1.2 is the floor); A-73.
"""

import ssl
from pathlib import Path

from relayd.settings import CertificateSettings


def load_certificate(settings: CertificateSettings) -> ssl.SSLContext:
    """Return a context with the certificate and its key. Raises OSError, ssl.SSLError among them."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= (
        ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION | ssl.OP_CIPHER_SERVER_PREFERENCE
    )
    context.load_cert_chain(Path(settings.certificate), Path(settings.key), password=_no_password)
    return context


def _no_password() -> str:
    """Stand in for a question on the terminal that would block the daemon."""
    return ""
