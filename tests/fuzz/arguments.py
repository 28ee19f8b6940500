"""The arguments of MAIL and RCPT against a slow reference: the first octet says of which, and where."""

from relayd.mail.reply import SyntaxRefused
from relayd.receiver.commands import parse_mail, parse_rcpt
from tests.fuzz.grammar import Refused, read_mail, read_rcpt

TOKENS = (
    *(b"@FROM:<a@b.test> ", b"BFROM:<> ", b"CFROM:<> ", b"ATO:<a@b.test> ", b"CTO:<a@b.test> "),
    *(b"FROM:", b"TO:", b"<>", b"<a@b.test>", b" ", b"=", b"+2B", b"+", b",", b";", b"-"),
    *(b" SIZE=", b" BODY=8BITMIME", b" BODY=7BIT", b" SMTPUTF8", b" RET=FULL", b" RET=HDRS"),
    *(b" ENVID=", b" AUTH=", b" AUTH=<>", b" X-A=", b" NOTIFY=", b"NEVER", b"SUCCESS", b"FAILURE"),
    *(b"DELAY", b" ORCPT=", b"rfc822;", b"utf-8;", b"a@b.test", b"\\x{FC}", b"x" * 100),
    *(b"9" * 20, b"\xc3\xbc", b"\xd9\xa3", b"\xff", b"\xe2\x80\xa8", b"\t", b"\x7f", b"\xc2\xa0"),
)


def check(octets: bytes) -> None:
    choices, argument = (octets[0] if octets else 0), octets[1:]
    read, parse = (_read_rcpt, _parse_rcpt) if choices & 1 else (_read_mail, _parse_mail)
    extended, further = bool(choices & 2), bool(choices & 4)
    assert parse(argument, extended, further) == read(argument, extended, further)


def _parse_mail(argument: bytes, extended: bool, takes_auth: bool) -> object:  # noqa: FBT001
    try:
        path, parameters = parse_mail(argument, extended=extended, takes_auth=takes_auth)
    except SyntaxRefused as refused:
        return refused.reply.code
    return None if path is None else (path.local, path.domain), parameters.words()


def _read_mail(argument: bytes, extended: bool, takes_auth: bool) -> object:  # noqa: FBT001
    try:
        return read_mail(argument, extended=extended, takes_auth=takes_auth)
    except Refused as refused:
        return refused.code


def _parse_rcpt(argument: bytes, extended: bool, smtputf8: bool) -> object:  # noqa: FBT001
    try:
        path, parameters = parse_rcpt(argument, extended=extended, smtputf8=smtputf8)
    except SyntaxRefused as refused:
        return refused.reply.code
    return (path.local, path.domain), parameters.words()


def _read_rcpt(argument: bytes, extended: bool, smtputf8: bool) -> object:  # noqa: FBT001
    try:
        return read_rcpt(argument, extended=extended, smtputf8=smtputf8)
    except Refused as refused:
        return refused.code
