"""Text of mail in whatever character set it names, and the encoded words of header fields.

Only sets whose decoders are plain tables are used: no input takes long. What does not decode is
still text: nothing raises.

Source: RFC 2047, RFC 2045 §6.
"""

import base64
import binascii
import codecs
import encodings
import quopri
import re
from encodings.aliases import aliases
from pkgutil import iter_modules

_ENCODED_WORD = re.compile(
    r"=\?([\w-]{1,40})(?:\*[\w-]*)?\?([bq])\?([^?\s]{0,600})\?=", re.IGNORECASE
)
_BETWEEN_WORDS = re.compile(r"\?=\s+=\?")
# Only character sets whose decoders are plain tables: some codecs take quadratic time.
_SAFE_CHARSET = re.compile(
    r"\A(?:utf-?8|(?:us-)?ascii|iso-?8859-?\d{1,2}|latin-?1|windows-?125\d|cp\d{3,4}|koi8-[rut]|"
    r"iso-?2022-(?:jp|kr)(?:-\w+)?|shift[_-]?jis|sjis|euc-?(?:jp|kr)|gb2312|gbk|gb18030|big5|"
    r"tis-620|utf-16(?:le|be)?)",
    re.IGNORECASE,
)


def load_charsets() -> None:
    """Load every decoder that a mail may ask for, for a process that will open no more files."""
    for name in {*aliases, *(module.name for module in iter_modules(encodings.__path__))}:
        if _SAFE_CHARSET.fullmatch(name.replace("_", "-")):
            codecs.lookup(name)


def decode(octets: bytes, charset: str) -> str:
    """Read octets as text: in the charset named, else UTF-8, else Latin-1.

    A few octets that do not fit are forgiven: a part may be cut off in mid-character.
    """
    if b"\x1b$" in octets or b"\x1b(" in octets:
        charset = "iso-2022-jp"
    is_japanese = charset.lower().startswith("iso-2022-jp")
    for name in (charset, "utf-8", *(("euc-jp", "shift_jis") if is_japanese else ())):
        if _SAFE_CHARSET.fullmatch(name) and name.lower() not in ("us-ascii", "ascii"):
            try:
                text = octets.decode(name, "replace")
            except (LookupError, UnicodeError):
                continue
            if text.count("\ufffd") * 50 <= len(text):
                return text
    return octets.decode("latin-1")


def decode_words(value: str) -> str:
    """Return the value of a header field with its encoded words read (RFC 2047)."""

    def word(found: re.Match[str]) -> str:
        charset, how, content = found.groups()
        octets = content.encode("ascii", "replace")
        if how in "qQ":
            return decode(quopri.decodestring(octets.replace(b"_", b" ")), charset)
        return decode(_from_base64(octets), charset)

    if "=?" not in value:
        return value
    return " ".join(_ENCODED_WORD.sub(word, _BETWEEN_WORDS.sub("?==?", value)).split())


def _from_base64(octets: bytes) -> bytes:
    try:
        return base64.b64decode(octets + b"==")
    except (binascii.Error, ValueError):
        return octets
