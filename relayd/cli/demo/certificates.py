"""The certificates of `relayd demo --trust`, made anew each time: an authority and a mail server's certificate under it.

The private keys are in the demo's temporary folder as long as it runs, and nobody else trusts the authority.
"""

import ssl
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

_VALID_FOR = timedelta(days=1)  # before and after now


class Certificate:
    """One for all `names`, under an authority of its own."""

    def __init__(self, folder: Path, title: str, names: Sequence[str]) -> None:
        """Make both, and write them to files of the folder that are called after `title`."""
        above, key = (
            ec.generate_private_key(ec.SECP256R1()),
            ec.generate_private_key(ec.SECP256R1()),
        )
        issuer = _name(f"relayd demo: {title}")
        hosts = x509.SubjectAlternativeName([x509.DNSName(name) for name in names])
        identity = x509.SubjectKeyIdentifier.from_public_key(above.public_key())
        authority = (
            _begun(issuer, issuer, above.public_key())
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(identity, critical=False)
            .sign(above, hashes.SHA256())
        )
        certificate = (
            _begun(issuer, _name("mail host"), key.public_key())
            .add_extension(hosts, critical=False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identity),
                critical=False,
            )
            .sign(above, hashes.SHA256())
        )
        self.authority = folder / f"{title}-authority.pem"
        self.authority.write_bytes(authority.public_bytes(serialization.Encoding.PEM))
        shown = folder / f"{title}.pem"
        shown.touch(0o600)
        shown.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
            + certificate.public_bytes(serialization.Encoding.PEM)
        )
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(shown)
        whole_key = key.public_key().public_bytes(
            serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        self.digest = sha256(whole_key).hexdigest()  # as in a TLSA record 3 1 1


def _name(common: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)])


def _begun(
    issuer: x509.Name, subject: x509.Name, key: ec.EllipticCurvePublicKey
) -> x509.CertificateBuilder:
    """Return a certificate that lacks its extensions and the signature."""
    now = datetime.now(UTC)  # noqa: TID251 -- real servers show it
    return (
        x509.CertificateBuilder()
        .issuer_name(issuer)
        .subject_name(subject)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _VALID_FOR)
        .not_valid_after(now + _VALID_FOR)
    )
