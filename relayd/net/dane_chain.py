"""The certificates that a server has shown in a handshake, as it sent them.

The one place that reads private parts of `ssl`: before Python 3.13 there is no public name for it. The chain is not
verified by anybody; `relayd.policy.tls.dane` and `relayd.net.trust_anchor` judge it.

Source: https://docs.python.org/3/library/ssl.html#ssl.SSLSocket.get_unverified_chain
"""

import _ssl
import ssl
import sys
from typing import Any


def chain_of(tls: ssl.SSLObject) -> tuple[bytes, ...]:
    """Return the certificates as DER, the server's own being the first; empty if it showed none."""
    if sys.version_info >= (3, 13):
        return tuple(tls.get_unverified_chain())
    inner: Any = tls._sslobj  # type: ignore[attr-defined]  # noqa: SLF001 -- see above
    shown = inner.get_unverified_chain() or ()
    return tuple(one.public_bytes(_ssl.ENCODING_DER) for one in shown)
