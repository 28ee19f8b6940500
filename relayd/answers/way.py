"""How mail reaches a destination, in words: where it goes, and what its TLS setting means."""

from typing import assert_never

from relayd.policy.delivery.route import DEFAULT, OnHold, Route, ViaHost, ViaMx, ViaSmarthost
from relayd.policy.tls.ladder import TlsMode

TLS_WORDS = {
    TlsMode.OFF: "off: clear text",
    TlsMode.OPPORTUNISTIC: "opportunistic: where offered, with any certificate, else clear text",
    TlsMode.REQUIRED: "required: with any certificate, never in clear text",
    TlsMode.VERIFY: "verify: only with a certificate that proves the name",
    TlsMode.IMPLICIT: "implicit: from the first octet, only with a certificate that proves the name",
}


def where(way: Route) -> str:
    """Say where mail goes that takes this route."""
    match way:
        case ViaMx(domain):
            return f"direct, to the mail servers of {domain}"
        case ViaSmarthost(name):
            return "through the smarthost" + ("" if name == DEFAULT else f" {name}")
        case ViaHost(host):
            return f"through the host {host}"
        case OnHold():
            return "nowhere: it is held until somebody releases it"
        case _:
            assert_never(way)
