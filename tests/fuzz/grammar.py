"""A slow reference for paths and parameters: the grammars once more, by hand, character by character.

Knows no regular expression and shares nothing with `relayd`. Where relayd departs from an RFC on
purpose, so does this, and says it.

Source: RFC 5321 §4.1.2, §4.1.3, §4.5.3.1; RFC 6531 §3.3; RFC 1870, RFC 6152, RFC 3461 §4, RFC 6533 §3,
RFC 4954 §5.
"""

import socket
from collections.abc import Callable, Collection, Mapping
from string import ascii_letters, digits, hexdigits
from unicodedata import bidirectional, category

ATEXT = frozenset(ascii_letters + digits + "!#$%&'*+-/=?^_`{|}~")
LETTERS = frozenset(ascii_letters + digits)
PRINTABLE = frozenset(map(chr, range(0x20, 0x7F)))
_DIRECTIONS = frozenset({"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"})
_MARKS = frozenset("\u200e\u200f\u061c")

Path = tuple[str, str] | None  # local part and domain; None is the null path


class Refused(Exception):
    """The grammar does not have it; the code of the reply that says so."""

    def __init__(self, code: int = 501) -> None:
        super().__init__(code)
        self.code = code


# --- paths --------------------------------------------------------------------------------------


def read_path(argument: bytes) -> tuple[Path, bytes]:
    """Return the path, and what stands behind the blank behind it. Raises Refused."""
    path, rest = (None, argument[2:]) if argument[:2] == b"<>" else _mailbox(argument)
    if rest and rest[:1] != b" ":
        raise Refused
    return path, rest[1:]


def _mailbox(argument: bytes) -> tuple[tuple[str, str], bytes]:
    text = argument.decode("utf-8", "surrogateescape")  # what is no UTF-8 stays, as surrogates
    if text[:1] != "<":
        raise Refused
    position = 1
    if text[1:2] == "@":
        colon = text.find(":")
        if colon < 0 or not all(_is_hop(hop) for hop in text[1:colon].split(",")):
            raise Refused
        position = colon + 1
    at = _end_of_quoted(text, position) if text[position : position + 1] == '"' else text.find("@")
    if text[position : position + 1] != '"':
        at = text.find("@", position)
    end = text.find(">", at)
    if at < 0 or end < 0 or text[at : at + 1] != "@":
        raise Refused
    local, domain, path = text[position:at], text[at + 1 : end], text[: end + 1]
    if not (local[:1] == '"' or all(_is_atom(atom) for atom in local.split("."))):
        raise Refused
    if not (_is_literal(domain) or _is_domain(domain)):
        raise Refused
    if any(0xD800 <= ord(char) <= 0xDFFF for char in path) or _misleads(local + domain):
        raise Refused
    if _octets(path) > 512 or not _fits_the_dns(domain):
        raise Refused
    return (local, domain), argument[_octets(path) :]


def _octets(text: str) -> int:
    return len(text.encode("utf-8", "surrogateescape"))


def _end_of_quoted(text: str, start: int) -> int:
    """Return where the quoted string that begins at `start` is over."""
    position = start + 1
    while position < len(text):
        char = text[position]
        if char == '"':
            return position + 1
        if char == "\\":
            position += 1
            if text[position : position + 1] not in PRINTABLE:
                raise Refused
        elif char not in PRINTABLE and char < "\x80":
            raise Refused
        position += 1
    raise Refused


def _is_hop(text: str) -> bool:
    return text[:1] == "@" and _is_domain(text[1:])


def _is_atom(text: str) -> bool:
    return text != "" and all(char in ATEXT or char >= "\x80" for char in text)


def _is_domain(text: str) -> bool:
    return all(_is_label(label) for label in text.split("."))


def _is_label(text: str) -> bool:
    """A label may have underscores: names with them are in use."""
    fits = all(char in LETTERS or char in "-_" or char >= "\x80" for char in text)
    return fits and text != "" and text[0] != "-" and text[-1] != "-"


def _fits_the_dns(domain: str) -> bool:
    return _octets(domain) <= 255 and all(len(label) <= 63 for label in domain.split("."))


def _is_literal(text: str) -> bool:
    """No general literal, for no tag is registered; no leading zeros, for they may mean octal."""
    if text[:1] != "[" or text[-1:] != "]":
        return False
    inner = text[1:-1]
    if inner[:5].lower() == "ipv6:":
        return _is_ip(socket.AF_INET6, inner[5:], hexdigits + ":.")
    return _is_ip(socket.AF_INET, inner, digits + ".")


def _is_ip(family: int, text: str, alphabet: str) -> bool:
    if not set(text) <= set(alphabet):
        return False
    try:
        socket.inet_pton(family, text)
    except OSError:
        return False
    return True


def _misleads(text: str) -> bool:
    """A control or a separator, or what turns the direction of text; ASCII controls never get here."""
    return any(
        category(char) in ("Cc", "Zl", "Zp") or bidirectional(char) in _DIRECTIONS or char in _MARKS
        for char in text
    )


# --- MAIL and RCPT ------------------------------------------------------------------------------


def read_mail(
    argument: bytes, *, extended: bool, takes_auth: bool
) -> tuple[Path, Mapping[str, str]]:
    """Read what stands behind `MAIL `. Raises Refused."""
    path, given = _arguments(argument, b"FROM:", extended=extended)
    known = {"SIZE": _is_size, "BODY": _is_body, "SMTPUTF8": _is_empty, "RET": _is_ret}
    known |= {"ENVID": _is_envid} | ({"AUTH": _is_submitter} if takes_auth else {})
    _judge(given, known)
    kept = {name: value for name, value in given if name != "AUTH"}
    if "SIZE" in kept:
        kept["SIZE"] = str(int(kept["SIZE"]))  # a number, however many zeros are in front of it
    return path, kept


def read_rcpt(argument: bytes, *, extended: bool, smtputf8: bool) -> tuple[Path, Mapping[str, str]]:
    """Read what stands behind `RCPT `. Raises Refused."""
    path, given = _arguments(argument, b"TO:", extended=extended)
    beyond_ascii = {name for name, value in given if not (smtputf8 or value.isascii())}
    _judge(given, {"NOTIFY": _is_notify, "ORCPT": _is_orcpt}, beyond_ascii)
    return path, dict(given)


def _arguments(
    argument: bytes, keyword: bytes, *, extended: bool
) -> tuple[Path, list[tuple[str, str]]]:
    if argument[: len(keyword)].upper() != keyword:
        raise Refused
    path, rest = read_path(argument[len(keyword) :].strip(b" "))
    if path is None and keyword == b"TO:":
        raise Refused
    if rest and not extended:
        raise Refused(555)
    given = [_parameter(word) for word in rest.split(b" ") if word]
    if len({name for name, _ in given}) < len(given):
        raise Refused
    return path, given


def _parameter(word: bytes) -> tuple[str, str]:
    try:
        name, equals, value = word.decode().partition("=")
    except UnicodeDecodeError:
        raise Refused from None
    if not (name and name[0] in LETTERS and all(char in LETTERS or char == "-" for char in name)):
        raise Refused
    if equals and (not value or any(char <= " " or char in "=\x7f" for char in value)):
        raise Refused
    return name.upper(), value


def _judge(
    given: list[tuple[str, str]],
    known: Mapping[str, Callable[[str], bool]],
    refused: Collection[str] = (),
) -> None:
    """A parameter that nobody knows is a 555, a value that does not fit a 501: the first counts.

    But AUTH, which is read apart, is looked at before the others.
    """
    for name, value in sorted(given, key=lambda one: one[0] != "AUTH" or "AUTH" not in known):
        if name not in known:
            raise Refused(555)
        if name in refused or not known[name](value):
            raise Refused


def _is_size(value: str) -> bool:
    return 1 <= len(value) <= 20 and all(char in digits for char in value)


def _is_body(value: str) -> bool:
    return value.lower() in ("7bit", "8bitmime")


def _is_empty(value: str) -> bool:
    return value == ""


def _is_ret(value: str) -> bool:
    return value.lower() in ("full", "hdrs")


def _is_envid(value: str) -> bool:
    return len(value) <= 100 and _is_xtext(value)


def _is_submitter(value: str) -> bool:
    return value == "<>" or _is_xtext(value)


def _is_notify(value: str) -> bool:
    words = value.lower().split(",")
    if words == ["never"]:
        return True
    return sorted(words) == sorted({*words} & {"success", "failure", "delay"})


def _is_orcpt(value: str) -> bool:
    kind, semicolon, address = value.partition(";")
    if not semicolon or len(value) > 500 or kind[:1] not in LETTERS or not address:
        return False
    if not all(char in LETTERS or char == "-" for char in kind):
        return False
    return _is_xtext(address) or (kind.lower() == "utf-8" and address.isprintable())


def _is_xtext(value: str) -> bool:
    position = 0
    while position < len(value):
        char = value[position]
        if char == "+":
            code = value[position + 1 : position + 3]
            if len(code) < 2 or not set(code) <= set(digits + "ABCDEF"):
                return False
            position += 2
        elif char not in PRINTABLE or char in " =":
            return False
        position += 1
    return value != ""
