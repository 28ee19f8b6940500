"""`[smarthost]` and `[smarthosts.NAME]`: a server that sends our mail on, and its name.

One model for both: `[smarthost]` describes the smarthost that is called `default`.
"""

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, PlainValidator

from relayd.config import routes as where
from relayd.config import units
from relayd.config.fields import AsText, Hop, LimitOrOff, Table, Text, Tls, not_empty
from relayd.config.rewrite import RewriteKeys
from relayd.policy.delivery.route import DEFAULT, is_smarthost_name
from relayd.policy.oauth2.grants import Flow, Provider
from relayd.settings import AuthMechanism, HostPort, TlsMode

if TYPE_CHECKING:
    from relayd.config.model import Document, Key

_TENANT = re.compile(r"[A-Za-z0-9][A-Za-z0-9.-]{0,254}")


def smarthost_name(value: object) -> str:
    """Read the name of a smarthost."""
    text = units.text(value)
    if not is_smarthost_name(text):
        raise ValueError(
            "expected a name such as newsletter: lower-case letters, digits and -, at most 40,"
            " a letter among them"
        )
    return text


def name_or_none(value: object) -> str:
    return "" if value == "" else smarthost_name(value)


def fqdn_or_none(value: object) -> str:
    return "" if value == "" else units.fqdn(value)


def _ip_or_none(value: object) -> str:
    return "" if value == "" else where.ip(value)


def _https_url(value: object) -> str:
    """Read the URL of a server that gets secrets; empty: none."""
    text = units.text(value)
    if text and not _is_https(text):
        raise ValueError('expected "https://HOST/PATH"')
    return text


def _is_https(text: str) -> bool:
    try:
        found = urlsplit(text)
        is_server = found.scheme == "https" and bool(found.hostname) and found.port != 0
    except ValueError:
        return False
    return is_server and text.isascii() and " " not in text and "@" not in found.netloc


def _tenant(value: object) -> str:
    """Read the name of a tenant, which becomes a part of a URL; empty: none."""
    text = units.text(value)
    if text and not _TENANT.fullmatch(text):
        raise ValueError("expected the tenant's id, or a domain of it")
    return text


SmarthostName = Annotated[str, PlainValidator(name_or_none)]
"""How another table names a smarthost; empty: it names none."""


class SmarthostKeys(Table):
    """What is a smarthost's own."""

    hosts: Annotated[list[Hop], AfterValidator(not_empty)] = [HostPort(host="127.0.0.1", port=25)]
    tls: Tls = TlsMode.OPPORTUNISTIC
    username: Text = ""
    auth: Annotated[AuthMechanism, PlainValidator(units.word(AuthMechanism)), AsText] = (
        AuthMechanism.AUTO
    )
    password_file: Text = ""
    token_file: Text = ""
    oauth2_provider: Annotated[Provider, PlainValidator(units.word(Provider)), AsText] = (
        Provider.NONE
    )
    oauth2_flow: Annotated[Flow, PlainValidator(units.word(Flow)), AsText] = Flow.AUTO
    oauth2_tenant: Annotated[str, PlainValidator(_tenant)] = ""
    oauth2_client_id: Text = ""
    oauth2_client_secret_file: Text = ""
    oauth2_key_file: Text = ""
    oauth2_scope: Text = ""
    oauth2_token_url: Annotated[str, PlainValidator(_https_url)] = ""
    oauth2_device_url: Annotated[str, PlainValidator(_https_url)] = ""
    certificate: Text = ""
    key_file: Text = ""
    connections: Annotated[int, PlainValidator(units.whole(1, 1000))] = 20
    messages_per_second: LimitOrOff = 0
    messages_per_minute: LimitOrOff = 0
    messages_per_hour: LimitOrOff = 0
    messages_per_day: LimitOrOff = 0
    messages_per_connection: LimitOrOff = 0
    recipients_per_message: Annotated[int, PlainValidator(units.whole(1, 100))] = 100
    assume_8bit: bool = False
    ehlo: Annotated[str, PlainValidator(fqdn_or_none)] = ""
    source_address: Annotated[str, PlainValidator(_ip_or_none)] = ""


class Smarthost(RewriteKeys, SmarthostKeys):
    """Its keys, then those of rewriting: the later base comes first."""


def smarthosts_of(document: "Document") -> Mapping[str, tuple["Key", Smarthost]]:
    """Return every smarthost by its name, and the table that describes it; the default is always there, and first."""
    named: dict[str, tuple[Key, Smarthost]] = {DEFAULT: (("smarthost",), document.smarthost)}
    for each, smarthost in document.smarthosts.items():
        named[each] = (("smarthosts", each), smarthost)
    return named
