"""The arguments of EHLO, MAIL and RCPT: a name, or path and ESMTP parameters, as values or a refusal.

Unknown parameters are refused (RFC 5321 §4.1.1.11).

Source: RFC 5321 §4.1.4, §4.1.1.2, §4.1.1.3; RFC 1870 (SIZE); RFC 6152 (BODY); RFC 6531 (SMTPUTF8);
RFC 3461 §4 (RET, ENVID, NOTIFY, ORCPT); RFC 6533 §3 (ORCPT of type utf-8);
RFC 8689 (REQUIRETLS).
"""

import re
from collections.abc import Mapping
from dataclasses import replace

from relayd.mail.address import Address, PathError, parse_path
from relayd.mail.parameters import (
    MAIL_WITHOUT,
    RCPT_WITHOUT,
    MailParameters,
    RcptParameters,
    mail_parameters,
    rcpt_parameters,
)
from relayd.mail.reply import Reply, SyntaxRefused
from relayd.mail.text import replaced
from relayd.receiver.console import parse_once

_PARAMETER = re.compile(rb"([A-Za-z0-9][A-Za-z0-9-]*)(?:=([\x21-\x3c\x3e-\x7e\x80-\xff]+))?")
_XTEXT = re.compile(r"(?:[!-*,-<>-~]|\+[0-9A-F]{2})+")
_ADDRESS_TYPE = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]*")
_CONTROL = re.compile(rb"[\x00-\x1f\x7f]")
_NAME_ALONE = re.compile(rb"([Tt][Oo]: *<)([!-;=?A-~]{1,64})(>.*)")
_NAME_LIMIT = 255  # octets
_NOTIFY = frozenset({"SUCCESS", "FAILURE", "DELAY"})
_ENVID_LIMIT = 100  # characters, RFC 3461 §4.4
_ORCPT_LIMIT = 500  # characters, RFC 3461 §4.2

_BAD_SENDER = Reply(501, "5.1.7", ("5.1.7 Syntax: MAIL FROM:<address> [parameters]",))
_BAD_RECIPIENT = Reply(501, "5.1.3", ("5.1.3 Syntax: RCPT TO:<address> [parameters]",))
_BAD_PARAMETER = Reply(501, "5.5.4", ("5.5.4 Malformed parameter",))
_UNKNOWN_PARAMETER = Reply(555, "5.5.4", ("5.5.4 Parameter not recognized",))
_NO_PARAMETERS = Reply(555, "5.5.4", ("5.5.4 Parameters need EHLO",))


def parse_hello(argument: bytes) -> str | None:
    """Read the name in EHLO, HELO or a proxy's HELO: printable text; None: it is no name.

    Many clients say what their machine is called in the house, `My Computer` or `büro-pc`: a name
    that cannot be in the DNS is no reason to refuse their mail (RFC 5321 §4.1.4). UTF-8 is
    understood, and what it cannot be is ISO 8859-1; what cannot be printed becomes `?`.
    """
    name = argument.strip(b" ")
    if not 0 < len(name) <= _NAME_LIMIT or _CONTROL.search(name):
        return None
    try:
        text = name.decode()
    except UnicodeDecodeError:
        text = name.decode("latin-1")
    return replaced(text)


def parse_mail(
    argument: bytes,
    *,
    extended: bool,
    takes_auth: bool = False,
    takes_once: bool = False,
    has_tls: bool = False,
) -> tuple[Address | None, MailParameters]:
    """Read what is after `MAIL `. Raises SyntaxRefused.

    AUTH is read and left out: we trust nobody to tell who submitted a message (RFC 4954 §5). XONCE is the console's.
    REQUIRETLS needs a session that has TLS (RFC 8689 §3).
    """
    path, rest = _path(argument, b"FROM:", _BAD_SENDER)
    if not rest:
        return path, MAIL_WITHOUT
    parameters = _parameters(rest, extended=extended)
    submitter = parameters.get("AUTH") if takes_auth else None
    if submitter is not None:
        if not _is_submitter(submitter):
            raise SyntaxRefused(_BAD_PARAMETER)
        parameters = {name: value for name, value in parameters.items() if name != "AUTH"}
    once = None
    if takes_once and "XONCE" in parameters:
        once = parse_once(parameters["XONCE"])
        if once is None:
            raise SyntaxRefused(_BAD_PARAMETER)
        parameters = {name: value for name, value in parameters.items() if name != "XONCE"}
    if "REQUIRETLS" in parameters and not has_tls:
        raise SyntaxRefused(_UNKNOWN_PARAMETER)
    for name, value in parameters.items():
        if not _mail_parameter_fits(name, value):
            raise SyntaxRefused(_UNKNOWN_PARAMETER if name not in _OF_MAIL else _BAD_PARAMETER)
    read = mail_parameters(parameters)
    return path, read if once is None else replace(read, once=once)


def parse_rcpt(
    argument: bytes, *, extended: bool, smtputf8: bool = False
) -> tuple[Address, RcptParameters]:
    """Read what is after `RCPT `. Raises SyntaxRefused."""
    path, rest = _path(argument, b"TO:", _BAD_RECIPIENT)
    if path is None:
        raise SyntaxRefused(_BAD_RECIPIENT)
    if not rest:
        return path, RCPT_WITHOUT
    parameters = _parameters(rest, extended=extended)
    for name, value in parameters.items():
        if not (_rcpt_parameter_fits(name, value) and (smtputf8 or value.isascii())):
            raise SyntaxRefused(_UNKNOWN_PARAMETER if name not in _OF_RCPT else _BAD_PARAMETER)
    return path, rcpt_parameters(parameters)


def with_domain(argument: bytes, domain: str) -> tuple[str, bytes]:
    """Return the name in `TO:<name>` and the argument with a domain behind it; empty: it is something else."""
    found = _NAME_ALONE.fullmatch(argument)
    if found is None:
        return "", b""
    return found[2].decode(), b"%b%b@%b%b" % (found[1], found[2], domain.encode(), found[3])


_OF_MAIL = frozenset({"SIZE", "BODY", "SMTPUTF8", "RET", "ENVID", "REQUIRETLS"})
_OF_RCPT = frozenset({"NOTIFY", "ORCPT"})


def _mail_parameter_fits(name: str, value: str) -> bool:
    match name:
        case "SIZE":
            return value.isascii() and value.isdecimal() and len(value) <= 20
        case "BODY":
            return value.upper() in ("7BIT", "8BITMIME")
        case "SMTPUTF8" | "REQUIRETLS":
            return value == ""
        case "RET":
            return value.upper() in ("FULL", "HDRS")
        case "ENVID":
            return len(value) <= _ENVID_LIMIT and _is_xtext(value)
        case _:
            return False


def _rcpt_parameter_fits(name: str, value: str) -> bool:
    match name:
        case "NOTIFY":
            words = value.upper().split(",")
            return words == ["NEVER"] or (_NOTIFY.issuperset(words) and _are_distinct(words))
        case "ORCPT":
            kind, _, address = value.partition(";")
            fits = len(value) <= _ORCPT_LIMIT and _ADDRESS_TYPE.fullmatch(kind) is not None
            return fits and (_is_xtext(address) or (kind.lower() == "utf-8" and _is_text(address)))
        case _:
            return False


def _is_submitter(value: str) -> bool:
    return value == "<>" or _is_xtext(value)


def _is_xtext(value: str) -> bool:
    return _XTEXT.fullmatch(value) is not None


def _is_text(address: str) -> bool:
    r"""Tell whether it may be an address in UTF-8, as itself or with `\x{...}` (RFC 6533 §3)."""
    return address != "" and address.isprintable()


def _are_distinct(words: list[str]) -> bool:
    return len(set(words)) == len(words)


def _path(argument: bytes, keyword: bytes, refusal: Reply) -> tuple[Address | None, bytes]:
    if argument[: len(keyword)].upper() != keyword:
        raise SyntaxRefused(refusal)
    # A blank behind the colon is not in the grammar, but many clients put one there.
    try:
        return parse_path(argument[len(keyword) :].strip(b" "))
    except PathError:
        raise SyntaxRefused(refusal) from None


def _parameters(rest: bytes, *, extended: bool) -> Mapping[str, str]:
    if not extended:
        raise SyntaxRefused(_NO_PARAMETERS)
    parameters: dict[str, str] = {}
    for word in filter(None, rest.split(b" ")):  # a blank; no tab or other control
        found = _PARAMETER.fullmatch(word)
        if found is None:
            raise SyntaxRefused(_BAD_PARAMETER)
        name = found[1].decode().upper()
        if name in parameters:
            raise SyntaxRefused(_BAD_PARAMETER)
        try:
            parameters[name] = (found[2] or b"").decode()
        except UnicodeDecodeError:
            raise SyntaxRefused(_BAD_PARAMETER) from None
    return parameters
