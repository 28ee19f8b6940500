"""`[smarthost]` and `[smarthosts.NAME]`: a server that sends our mail on, and its name.

One model for both: `[smarthost]` describes the smarthost that is called `default`.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated

from pydantic import AfterValidator, PlainValidator

from relayd.config import routes as where
from relayd.config import units
from relayd.config.fields import AsText, Hop, Table, Text, Tls, not_empty
from relayd.config.rewrite import RewriteKeys
from relayd.policy.delivery.route import DEFAULT, is_smarthost_name
from relayd.settings import AuthMechanism, HostPort, TlsMode

if TYPE_CHECKING:
    from relayd.config.model import Document, Key


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


def _fqdn_or_none(value: object) -> str:
    return "" if value == "" else units.fqdn(value)


def _ip_or_none(value: object) -> str:
    return "" if value == "" else where.ip(value)


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
    certificate: Text = ""
    key_file: Text = ""
    connections: Annotated[int, PlainValidator(units.whole(1, 1000))] = 20
    assume_8bit: bool = False
    ehlo: Annotated[str, PlainValidator(_fqdn_or_none)] = ""
    source_address: Annotated[str, PlainValidator(_ip_or_none)] = ""


class Smarthost(RewriteKeys, SmarthostKeys):
    """Its keys, then those of rewriting: the later base comes first."""


def smarthosts_of(document: "Document") -> Mapping[str, tuple["Key", Smarthost]]:
    """Return every smarthost by its name, and the table that describes it; the default is always there, and first."""
    named: dict[str, tuple[Key, Smarthost]] = {DEFAULT: (("smarthost",), document.smarthost)}
    for each, smarthost in document.smarthosts.items():
        named[each] = (("smarthosts", each), smarthost)
    return named
