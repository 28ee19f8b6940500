"""The command lines that programs call sendmail with, and what they mean."""

import os
from collections.abc import Sequence
from typing import Any

import pytest

from relayd.cli.sendmail.options import Options, UsageError, parse_options
from relayd.cli.sendmail.program import main
from relayd.mail.address import Address

A, B, C = Address("a", "x.test"), Address("b", "x.test"), Address("c", "x.test")
READ: dict[str, tuple[Sequence[str], dict[str, Any]]] = {
    "nothing": ([], {}),
    "php": (["-t", "-i"], {"reads_recipients": True, "dot_ends": False}),
    "php with a sender": (["-t", "-i", "-fa@x.test"], {"reads_recipients": True, "dot_ends": False, "sender": A}),
    "cron": (
        ["-FCronDaemon", "-i", "-B8BITMIME", "-oem", "a@x.test"],
        {"name": "CronDaemon", "dot_ends": False, "recipients": (A,)},
    ),
    "cron to a user": (["-FCronDaemon", "-odi", "-oem", "-oi", "-t"], {"name": "CronDaemon", "dot_ends": False, "reads_recipients": True}),
    "git send-email": (["-f", "c@x.test", "-i", "a@x.test", "b@x.test"], {"sender": C, "dot_ends": False, "recipients": (A, B)}),
    "mailx": (["-i", "-r", "c@x.test", "--", "a@x.test"], {"sender": C, "dot_ends": False, "recipients": (A,)}),
    "mutt": (["-oem", "-oi", "-N", "failure,delay", "-R", "hdrs", "--", "a@x.test"], {"dot_ends": False, "notify": " NOTIFY=FAILURE,DELAY", "parameters": " RET=HDRS", "recipients": (A,)}),
    "joined letters": (["-ti", "a@x.test"], {"reads_recipients": True, "dot_ends": False, "recipients": (A,)}),
    "letters joined with a value": (["-tifa@x.test"], {"reads_recipients": True, "dot_ends": False, "sender": A}),
    "comma list": (["a@x.test, b@x.test", "Ann <c@x.test>"], {"recipients": (A, B, C)}),
    "local user": (["root"], {"recipients": (Address("root", ""),)}),
    "hyphen after --": (["-i", "--", "-f@x.test"], {"dot_ends": False, "recipients": (Address("-f", "x.test"),)}),
    "options end at an address": (["a@x.test", "b@x.test"], {"recipients": (A, B)}),
    "-o with a blank": (["-o", "i"], {"dot_ends": False}),
    "ignored": (["-v", "-n", "-m", "-U", "-G", "-q15m", "-q", "-em", "-d8.1", "-h", "5", "-O", "Timeout=1", "-oTrue", "-Am", "-L", "tag", "-bm"], {"is_verbose": True, "is_idle": True}),
    "queue": (["-bp"], {"shows_queue": True}),
    "aliases": (["-bi"], {"builds_aliases": True}),
    "aliases, long ago": (["-I", "-v"], {"builds_aliases": True, "is_verbose": True}),
    "smtp": (["-bs"], {"speaks_smtp": True}),
    "null sender": (["-f", ""], {"is_null_sender": True}),
    "null sender in brackets": (["-f", "<>"], {"is_null_sender": True}),
    "sender with a name": (["-f", "Ann <a@x.test>"], {"sender": A}),
    "last one counts": (["-f", "a@x.test", "-r", "b@x.test"], {"sender": B}),
    "notify": (["-N", "never"], {"notify": " NOTIFY=NEVER"}),
    "notify twice the same": (["-N", "success,SUCCESS"], {"notify": " NOTIFY=SUCCESS"}),
    "ret and envid": (["-Rfull", "-Va+b=c d"], {"parameters": " RET=FULL ENVID=a+2Bb+3Dc+20d"}),
}  # fmt: skip
WRONG = {
    "unknown": (["-Z"], "unknown option -Z"),
    "long": (["--help"], "unknown option --"),
    "no value": (["-f"], "-f needs a value"),
    "verify": (["-bv", "a@x.test"], "`relayd route ADDRESS`"),
    "test": (["-bt"], "`relayd route ADDRESS`"),
    "daemon": (["-bd"], "`relayd serve`"),
    "unknown mode": (["-bz"], "-bz is not supported"),
    "traffic log": (["-X", "/tmp/x"], "-X is not supported"),
    "settings": (["-C/etc/passwd"], "-C is not supported"),
    "log": (["-D", "/tmp/x"], "-D is not supported"),
    "no address": (["a b@x.test"], "'a b@x.test'"),
    "a group": (["a:b@x.org"], "cannot read an address"),
    "two senders": (["-f", "a@x.test,b@x.test"], "-f needs one address"),
    "sender that is none": (["-f", "a@b@x.test"], "'a@b@x.test'"),
    "line break in a sender": (["-f", "a@x.test>\r\nRCPT TO:<b@x.test"], "cannot read"),
    "notify": (["-N", "always"], "-N needs"),
    "notify never and more": (["-N", "never,delay"], "-N needs"),
    "ret": (["-R", "all"], "-R needs"),
    "envid": (["-V", "a\r\nRCPT TO:<b@x.test>"], "-V needs"),
    "envid too long": (["-V", "=" * 34], "-V needs"),
    "no envid": (["-V", ""], "-V needs"),
    "body": (["-B", "BINARYMIME"], "-B needs"),
}


@pytest.mark.parametrize(("arguments", "meaning"), READ.values(), ids=READ)
def test_a_command_line_means(arguments: Sequence[str], meaning: dict[str, Any]) -> None:
    assert parse_options(arguments) == Options(**meaning)


@pytest.mark.parametrize(("arguments", "text"), WRONG.values(), ids=WRONG)
def test_what_cannot_be_done_is_named(arguments: Sequence[str], text: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_options(arguments)
    assert text in str(caught.value)


@pytest.mark.parametrize(
    "arguments",
    [["-q"], ["-q15m"], ["-qf"], ["-qRx.test"], ["-v", "-q"], ["-bm", "-q"]],
)
def test_running_the_queue_is_nothing_to_do(arguments: Sequence[str]) -> None:
    """No daemon is needed for that, and nothing is read."""
    assert main(arguments, settings="/nowhere") == os.EX_OK


@pytest.mark.parametrize("arguments", [["-bv", "-q"], ["-bd", "-q15m"]])
def test_what_else_has_no_message_is_still_told_so(arguments: Sequence[str]) -> None:
    assert main(arguments, settings="/nowhere") == os.EX_USAGE
