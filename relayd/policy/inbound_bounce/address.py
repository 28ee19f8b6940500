"""Find addresses in text that people and programs wrote.

Owns the one pattern for a mailbox inside free text, and the reading of typed recipient fields.
Looser than `relayd.mail.address` on purpose: a report may name an address that we would refuse.

Source: RFC 5322 §3.4.1; RFC 3464 §2.3.1 and §2.3.2 (typed fields); RFC 3461 §4 (xtext);
RFC 6533 §3 (utf-8 addresses).
"""

import re

# An apostrophe in front is a quotation mark, and so is a grave accent anywhere.
_LOCAL = r"""(?:"[^"\s]{1,512}+"|[\w!#$%&*+/=?^{|}~.-][\w!#$%&'*+/=?^{|}~.-]{0,511}+)"""
DOMAIN = r"(?:\[[0-9A-Fa-f:.]{3,45}\]|[^\W_](?:[\w.-]{0,252}[^\W_])?)"
# For patterns that say what is in front, which may be `=` or an apostrophe.
ADDRESS = rf"""(?<![\w!#$%&*+/?^{{|}}~.@-])({_LOCAL}@{DOMAIN})(?![\w@])"""
# Anywhere: every try is at the head of a run of such characters, which keeps long runs linear.
ANY = re.compile(rf"""(?<![\w!#$%&'*+/=?^{{|}}~.@-])'*+({_LOCAL}@{DOMAIN})(?![\w@])""")
_TYPED = re.compile(r"\A[ \t]{0,20}([A-Za-z][\w-]{0,30})[ \t]{0,20};[ \t]{0,20}(.*)", re.DOTALL)
_ROUTE = re.compile(r"(?:^|(?<=<))@[\w.-]{1,255}(?:,@[\w.-]{1,255})*:")  # RFC 5321 §C
_XTEXT = re.compile(r"\+([0-9A-F]{2})")
_UTF8 = re.compile(r"\\x\{([0-9A-Fa-f]{2,6})\}")
_X400 = re.compile(r"(?:dda:smtp=|DDA:SMTP=|SMTP=|dda:rfc-822=)([^;/\s]{3,200})", re.IGNORECASE)
# Exchange wraps a foreign address into one of its own, in a coding of its own.
_IMCEA = re.compile(r"\AIMCEA(?:SMTP|INVALID)-([\w+.-]{3,500})@[\w.-]{1,255}\Z", re.IGNORECASE)
_LIMIT = 1000  # characters of a field looked at


def find_addresses(text: str) -> list[str]:
    """All mailboxes in `text`, in order, each once (compared without case)."""
    seen: dict[str, str] = {}
    for match in ANY.finditer(text):
        seen.setdefault(match.group(1).lower(), match.group(1))
    return list(seen.values())


def read_typed(value: str) -> str | None:
    """The address in a field such as `rfc822; <user@example.org>`.

    A local name without a domain comes back as it is, and so does an illegal domain: the one who wrote it
    names what failed. None when there is nothing usable, as in an X.400 address that carries no
    SMTP one.
    """
    value = value[:_LIMIT]
    typed = _TYPED.match(value)
    kind, rest = (typed.group(1).lower(), typed.group(2)) if typed else ("", value)
    rest = _ROUTE.sub("", rest.strip())
    untyped_x400 = rest.lower().startswith(("/c=", "c=")) and not ANY.fullmatch(rest.strip("<>"))
    if kind in ("x400", "x.400") or untyped_x400:
        inside = _X400.search(rest)
        return _one(inside.group(1).replace("(a)", "@")) if inside else None
    if kind == "utf-8":
        rest = _UTF8.sub(_point, rest)
    if "@" not in rest and "+40" in rest.upper():
        rest = _decoded(rest)
    return _one(rest)


def _decoded(text: str) -> str:
    """Undo xtext and Exchange's coding, which agree on all that is in addresses."""
    return _XTEXT.sub(lambda found: chr(int(found.group(1), 16)), text)


def _one(text: str) -> str | None:
    found = ANY.search(text)
    if found:
        address = found.group(1).rstrip(".")
        wrapped = _IMCEA.match(address)
        return _decoded(wrapped.group(1)) if wrapped else address
    name = text.strip("<>\"' \t").partition(" ")[0].rstrip(">")
    usable = name.isprintable() and "/" not in name and not name.startswith("@")
    return name if name and usable else None


def _point(found: re.Match[str]) -> str:
    point = int(found.group(1), 16)
    usable = point < 0xD800 or 0xDFFF < point <= 0x10FFFF
    return chr(point) if usable else "\ufffd"
