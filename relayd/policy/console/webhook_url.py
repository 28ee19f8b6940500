"""Judge the URL of a webhook: what may be asked of relayd's network at all.

Strict on purpose. Programs read lax URLs in different ways, and what one takes for a path another takes for
a host. What is not plainly one URL is refused, with the reason. Who the name leads to is not known here: each
address is judged when it is looked up, with `relayd.policy.delivery.address_filter`.

Source: RFC 3986 §3, RFC 9110 §4.2; https://url.spec.whatwg.org/#ends-in-a-number-checker (numbers as hosts).
"""

import re
from collections.abc import Collection
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address

from relayd.mail.dns import IpAddress

PORTS = frozenset({443, 8443})
"""Those that may be used if no others are listed."""
LONGEST = 2000  # characters

_LABEL = r"[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?"
_NAME = re.compile(rf"(?:{_LABEL}\.)*{_LABEL}")
_NUMBER = re.compile(r"[0-9]+|0[xX][0-9A-Fa-f]*")
_URL = re.compile(
    r"(?P<scheme>[A-Za-z]+)://(?P<host>\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9_.-]+)(?::(?P<port>[0-9]{1,5}))?"
    r"(?P<target>(?:/[A-Za-z0-9._~!$&'()*+,;=:@%/-]*)?(?:\?[A-Za-z0-9._~!$&'()*+,;=:@%/?-]*)?)"
)


@dataclass(frozen=True, slots=True)
class UrlRules:
    """What the settings allow."""

    allow_http: bool = False
    ports: Collection[int] = PORTS


@dataclass(frozen=True, slots=True, kw_only=True)
class WebhookUrl:
    """A URL that may be asked."""

    is_https: bool
    host: str | IpAddress  # a name in lower case, or an address
    port: int
    target: str  # path and query

    @property
    def authority(self) -> str:
        """What the field Host says: the port only where it is not the usual one."""
        host = f"[{self.host}]" if isinstance(self.host, IPv6Address) else str(self.host)
        return host if self.port == (443 if self.is_https else 80) else f"{host}:{self.port}"


def read_url(text: str, rules: UrlRules) -> WebhookUrl:
    """Read a URL. Raises ValueError with what is wrong with it, as the end of a sentence."""
    if len(text) > LONGEST:
        raise ValueError(f"has more than {LONGEST} characters")
    if not text.isascii() or not text.isprintable() or " " in text or "\\" in text:
        raise ValueError("has characters that no URL has: encode them (%20), and the name as xn--")
    if "#" in text:
        raise ValueError("has a fragment (#), which is never sent")
    if "@" in text.partition("://")[2].partition("/")[0].partition("?")[0]:
        raise ValueError("has a user or password before @: the signature proves who sends")
    found = _URL.fullmatch(text)
    if found is None:
        raise ValueError("is no URL such as https://app.example.org/hook")
    scheme = found["scheme"].lower()
    if scheme != "https" and not (scheme == "http" and rules.allow_http):
        raise ValueError("does not begin with https://")
    usual = 443 if scheme == "https" else 80
    port = int(found["port"] or usual)
    if port not in rules.ports and not (scheme == "http" and port == usual):
        listed = ", ".join(map(str, sorted(rules.ports)))
        raise ValueError(f"has port {port}, which is not one of {listed}")
    target = found["target"]
    return WebhookUrl(
        is_https=scheme == "https",
        host=_host(found["host"]),
        port=port,
        target=target if target.startswith("/") else f"/{target}",
    )


def _host(text: str) -> str | IpAddress:
    try:
        if text.startswith("["):
            return IPv6Address(text[1:-1])
        if _NUMBER.fullmatch(text.removesuffix(".").rpartition(".")[2]):
            return IPv4Address(text)
    except ValueError as exc:
        raise ValueError(f"has the host {text}, which is no IP address in its usual form") from exc
    if len(text) > 253 or _NAME.fullmatch(text) is None:
        raise ValueError(f"has the host {text}, which is no host name")
    return text.lower()
