"""A bare key as an anchor: OpenSSL wants a certificate around it."""

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import NameOID

from relayd.policy.doctor.der import issuer_of, public_key_of
from relayd.policy.tls.anchor import certificate_around


def test_a_bare_key_gets_a_certificate_around_it() -> None:
    key = ec.generate_private_key(ec.SECP256R1()).public_key()
    octets = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "anchor")]).public_bytes()
    made = certificate_around(octets, name)
    assert x509.load_der_x509_certificate(made).public_key() == key
    assert (issuer_of(made), public_key_of(made)) == (name, octets)
