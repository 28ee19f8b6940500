import pytest

from relayd.mail.reply import Stage
from relayd.policy.replies.quoted import read

# Text, code of the reply itself, the reply that is quoted.
QUOTES = {
    "postfix": ("host a[192.0.2.1] said: 550 5.1.1 x", 0, "550 5.1.1 x"),
    "postfix within a reply": ("5.1.1 undeliverable: host a said: 550 x", 550, "550 x"),
    "innermost": ("host a said: 550 host b said: 451 x", 0, "451 x"),
    "qmail": ("192.0.2.1 failed. Remote host said: 554 x", 0, "554 x"),
    "sendmail": (">>> RCPT To:<k@a.example> <<< 550 x", 0, "550 x"),
    "exchange": ("5.0.350 Remote server returned an error -> 550 x", 550, "550 x"),
    "its own next line": ("local problem\r\n451-try later", 451, ""),
    "ironport within a reply": ("Unknown address error 550-'5.1.1 x'", 550, "550-'5.1.1 x'"),
    "one of the same code": ("host x said: 550-no such user", 550, "550-no such user"),
    "exchange, quoted": ("Remote server returned '550 x'", 0, "550 x'"),
    "gmail": ("The response was: 550 x", 0, "550 x"),
    "barracuda": ("permanent failure (k@a.example:550 x)", 550, "550 x)"),
    "exim": ("after RCPT TO:<k@a.example>: host a [192.0.2.1]: 550 x", 0, "550 x"),
    "exim, several lines": ("host a: 550-x\r\n550 y", 0, "550-x\r\n550 y"),
    "diagnostic code": ("smtp;550 5.1.1 x", 0, "550 5.1.1 x"),
    "ironport": ("5.1.0 - Unknown address error 550-'5.1.1 x'", 0, "550-'5.1.1 x'"),
    "exchange, last error": ("4.4.316 refused [{LED=421 x};{FQDN=a}]", 450, "421 x};{FQDN=a}]"),
    "folded after a colon": ("5.7.1 go to: 550 5.7.1 https://a.example", 550, ""),
    "none": ("user unknown", 550, ""),
    "a port is no code": ("connect to a[192.0.2.1]:2525: refused", 0, ""),
    "letters that grow in lower case": ("\u0130\u0130\u0130 said: 550 x", 0, "550 x"),
}


@pytest.mark.parametrize(("text", "code", "quoted"), QUOTES.values(), ids=QUOTES.keys())
def test_the_reply_that_is_quoted(text: str, code: int, quoted: str) -> None:
    told = read(text, code, None)
    assert told.quoted == quoted
    assert told.quoted_code == (int(quoted[:3]) if quoted else 0)


STAGES = {
    "postfix, dot": ("x (in reply to end of DATA command)", Stage.DOT),
    "postfix, data": ("x (in reply to DATA command)", Stage.DATA),
    "postfix, rcpt": ("x (in reply to RCPT TO command)", Stage.RCPT),
    "postfix, mail": ("x (in reply to MAIL FROM command)", Stage.MAIL),
    "postfix, greeting": ("host a refused to talk to me: 550 x", Stage.GREETING),
    "postfix, lost": ("lost connection while sending end of data", Stage.DOT),
    "exim, dot": ("error after end of data: host a: x", Stage.DOT),
    "exim, pipelined": ("error after pipelined end of data: x", Stage.DOT),
    "exim, pipelined mail": ("error after pipelined MAIL FROM:<m@b.example>: x", Stage.MAIL),
    "exim, connection": ("error after initial connection: x", Stage.GREETING),
    "exim, ehlo": ("error after EHLO pc: x", Stage.EHLO),
    "sendmail, data": (">>> DATA <<< 550 x", Stage.DATA),
    "sendmail, rcpt": (">>> RCPT To:<k@a.example> <<< x", Stage.RCPT),
    "qmail, dot": ("192.0.2.1 failed after I sent the message.", Stage.DOT),
    "qmail, rcpt": ("192.0.2.1 does not like recipient.", Stage.RCPT),
    "qmail, mail": ("Connected to 192.0.2.1 but sender was rejected.", Stage.MAIL),
    "in brackets": ("550 x [RCPT_TO]", Stage.RCPT),
    "a host in brackets": ("550 x [mail.a.example]", None),
    "nothing": ("550 mail from you is data", None),
}


@pytest.mark.parametrize(("text", "stage"), STAGES.values(), ids=STAGES.keys())
def test_the_command_that_the_text_names(text: str, stage: Stage | None) -> None:
    assert read(text, 0, None).stage is stage
    assert read(text, 0, Stage.RCPT).stage is (stage or Stage.RCPT)
    assert read(text, 0, Stage.DOT).stage is Stage.DOT


PIPELINED = {
    "postfix": ("550 5.1.1 x 503 5.5.1 Error: need RCPT command", 550, "550 5.1.1 x"),
    "gmail": ("550 x 503 5.5.1 RCPT first. a1 - gsmtp 550 x", 550, "550 x"),
    "exim": ("550 x 503-All RCPT commands were rejected 503-x 503 y", 550, "550 x"),
    "sendmail": (
        ">>> DATA <<< 550 x <<< 503 5.0.0 Need RCPT (recipient)",
        0,
        ">>> DATA <<< 550 x <<<",
    ),
    "no recipients": ("550 x 554 5.5.1 Error: no valid recipients", 550, "550 x"),
    "refusal after a deferral": ("450 busy 551 x 503 need RCPT", 450, "551 x"),
    "the reply itself": ("503-5.5.1 out of 503 5.5.1 sequence", 503, ""),
}


@pytest.mark.parametrize(("text", "code", "first"), PIPELINED.values(), ids=PIPELINED.keys())
def test_what_follows_a_refused_recipient_is_cut_off(text: str, code: int, first: str) -> None:
    """RFC 2920 §3.1: the commands after it were under way already."""
    for stage in (None, Stage.DATA, Stage.EHLO):
        told = read(text, code, stage)
        assert told.text == (first or text)
        assert told.stage is (Stage.RCPT if first else stage)
    assert read(text, code, Stage.DOT).stage is Stage.DOT
