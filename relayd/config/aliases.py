"""Reading `[aliases]`: names of this machine, and where their mail goes."""

import re

from relayd.config import units
from relayd.mail.address import Address, PathError, parse_address
from relayd.mail.dns import DomainError, a_labels
from relayd.policy.intake.aliases import CATCH_ALL

_NAME = re.compile(r"[A-Za-z0-9_]+(?:[.+-]+[A-Za-z0-9_]+)*")


def name(value: object) -> str:
    """Read a key of `[aliases]`."""
    text = units.text(value)
    if text != CATCH_ALL and not _is_name(text):
        raise ValueError(
            'expected the name of a local user as key, such as root, or "*" for every other one'
        )
    return text


def targets(value: object) -> list[str]:
    """Read a value of `[aliases]`: an address or another name, or a list of them."""
    if isinstance(value, dict):  # a name with a dot, without quotes
        raise ValueError("expected an address in quotes; a name with a dot needs quotes too")  # noqa: TRY004 -- as elsewhere
    written = value if isinstance(value, list) else [value]
    if not written:
        raise ValueError("expected at least one address")
    return [_target(each) for each in written]


def written(targets: list[str]) -> str | list[str]:
    """Return a value as it may be written in the file, in the shortest way."""
    return targets[0] if len(targets) == 1 else targets


def _target(value: object) -> str:
    text = units.text(value)
    if _is_name(text):
        return text
    try:
        address = parse_address(text)
        if address.local.isascii() and not address.is_literal:
            return str(Address(address.local, a_labels(address.domain)))
    except (PathError, DomainError):
        pass
    raise ValueError(
        "expected an address such as you@example.org, or another name of [aliases];"
        " programs, files and address literals get no mail"
    )


def _is_name(text: str) -> bool:
    return _NAME.fullmatch(text) is not None
