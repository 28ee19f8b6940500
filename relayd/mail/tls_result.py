"""How far a connection to a mail host is protected: by whose policy, with which proof, or what failed.

The words are those of the status log, of metrics and of TLS reports; their spelling is stable for ever. Which word
belongs to which event is decided in `relayd.policy.tls`.

Source: RFC 8460 §4.3 (result types).
"""

from dataclasses import dataclass
from enum import StrEnum

from relayd.mail.tlsa import Tlsa


class TlsPolicy(StrEnum):
    """Whose demand counts for a host."""

    OPERATOR = "operator"  # [tls_policy], or direct.tls = "off"
    DANE = "dane"
    DANE_HOST = "dane-host"  # secure records of a host that an insecure MX answer names
    DANE_UNUSABLE = "dane-unusable"
    MTA_STS = "mta-sts"
    MTA_STS_TESTING = "mta-sts-testing"
    TLS_REQUIRED_NO = "tls-required-no"  # the sender lifted the recipient's policies
    NONE = "none"  # direct.tls


class TlsProof(StrEnum):
    """What a connection has shown, the weakest first."""

    NONE = "none"
    ENCRYPTED = "encrypted"
    PKIX = "pkix"
    DANE_EE = "dane-ee"
    DANE_TA = "dane-ta"


class TlsResultType(StrEnum):
    """What failed, as TLS reports spell it."""

    STARTTLS_NOT_SUPPORTED = "starttls-not-supported"
    CERTIFICATE_HOST_MISMATCH = "certificate-host-mismatch"
    CERTIFICATE_EXPIRED = "certificate-expired"
    CERTIFICATE_NOT_TRUSTED = "certificate-not-trusted"
    VALIDATION_FAILURE = "validation-failure"
    TLSA_INVALID = "tlsa-invalid"
    DNSSEC_INVALID = "dnssec-invalid"
    DANE_REQUIRED = "dane-required"
    STS_POLICY_FETCH_ERROR = "sts-policy-fetch-error"
    STS_POLICY_INVALID = "sts-policy-invalid"
    STS_WEBPKI_INVALID = "sts-webpki-invalid"


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """What one connection has shown, and to whom that means something."""

    kind: TlsProof = TlsProof.NONE
    name: str = ""  # that the certificate proved: for pkix and dane-ta
    record: Tlsa | None = None  # that it fitted: for dane-ee and dane-ta
    base: str = ""  # name below which that record was found


@dataclass(frozen=True, slots=True, kw_only=True)
class TlsResult:
    """What became of TLS on the way to one host."""

    policy: TlsPolicy
    proof: TlsProof = TlsProof.NONE
    result: TlsResultType | None = None  # what failed, whether or not mail goes on; None: nothing
    reason: str = ""  # of the failure: one cleaned line
