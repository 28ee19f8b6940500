"""`tag=value; tag=value`: the form of DKIM and DMARC records (RFC 6376 §3.2)."""

import re
from collections.abc import Mapping

_TAG = re.compile(r"([a-z][a-z0-9_]*)\s*=\s*(.*)", re.IGNORECASE | re.DOTALL)


class TagError(ValueError):
    """Not a list of tags; the text says why."""


def parse_tags(text: str) -> Mapping[str, str]:
    """Return the values by tag, in lower case, in their order. Raises TagError."""
    tags: dict[str, str] = {}
    for part in filter(None, map(str.strip, text.split(";"))):
        found = _TAG.fullmatch(part)
        if found is None:
            raise TagError(f'"{part[:40]}" is no tag=value')
        name = found[1].lower()
        if name in tags:
            raise TagError(f"{name}= is there twice")
        tags[name] = found[2]
    return tags
