"""`[[dkim]]`: a key that signs mail."""

import re
from typing import Annotated

from pydantic import PlainValidator

from relayd.config import units
from relayd.config.fields import Table
from relayd.mail.dns import DomainError, a_labels

_LABEL = "[A-Za-z0-9](?:[A-Za-z0-9_-]*[A-Za-z0-9])?"
_SELECTOR = re.compile(rf"(?=.{{1,63}}\Z){_LABEL}(?>(?:\.{_LABEL})*)")


def _domain(value: object) -> str:
    try:
        return a_labels(units.text(value)).lower()
    except DomainError as wrong:
        raise ValueError(f"expected a domain such as example.org: this is {wrong}") from None


def _selector(value: object) -> str:
    text = units.text(value)
    if not _SELECTOR.fullmatch(text):
        raise ValueError("expected a selector such as r2026a: letters, digits, - and _, at most 63")
    return text.lower()


def _file(value: object) -> str:
    text = units.text(value)
    if not text:
        raise ValueError("expected the name of a file")
    return text


class DkimTable(Table):
    domain: Annotated[str, PlainValidator(_domain)]
    selector: Annotated[str, PlainValidator(_selector)]
    key_file: Annotated[str, PlainValidator(_file)]
    required: bool = False
