"""Judge what came of a knock at a mail server: a stranger's, to see if port 25 is open, or the smarthost."""

from collections.abc import Sequence
from dataclasses import dataclass

from relayd.mail.attempt import TlsFacts
from relayd.mail.reply import Reply, Stage
from relayd.mail.words import Category, Fault
from relayd.policy.doctor.dns import LATER
from relayd.policy.doctor.finding import Check, Finding, Level


@dataclass(frozen=True, slots=True, kw_only=True)
class Trouble:
    """Why there was no session."""

    stage: Stage
    reason: str  # one cleaned line
    reply: Reply | None = None  # None: it ended without one
    category: Category | None = None  # of what ended without a reply
    fault: Fault = Fault.PEER
    login_refused: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Knock:
    """One host."""

    host: str  # HOST:PORT, and from where
    tls: TlsFacts | None = None
    logged_in: bool = False
    trouble: Trouble | None = None


def judge_no_reach() -> Finding:
    return Finding(
        check=Check.PORT,
        subject="",
        level=Level.SKIPPED,
        reason="no host to try was named",
        remedy="Name a mail server that lets you try with --reach HOST.",
    )


def judge_reach(knock: Knock) -> Finding:
    """Judge whether connections leave this machine for a mail server's port."""
    trouble = knock.trouble
    level, remedy = Level.OK, ""
    if trouble is None:
        reason = "takes connections, and our EHLO"
    elif trouble.stage is not Stage.CONNECT:
        level, reason = Level.WARN, f"the port is open, but that host says no at {trouble.reason}"
        remedy = "Read its words: they are about our address or name, or try another host."
    elif trouble.category is Category.DNS_FAILURE:
        level, reason, remedy = Level.UNKNOWN, trouble.reason, "Name another host, or ask later."
    elif trouble.fault is Fault.LOCAL:
        level, reason = Level.FAIL, trouble.reason
        remedy = "Look at the sources in [direct], and at the firewall of this machine."
    else:
        level, reason = Level.FAIL, f"no connection: {trouble.reason}"
        remedy = (
            "Have the provider open port 25 outward, or send by a smarthost;"
            " if another host answers, this one was down."
        )
    return Finding(check=Check.PORT, subject=knock.host, level=level, reason=reason, remedy=remedy)


def judge_smarthosts(
    knocks: Sequence[Knock], table: str = "smarthost", *, is_needed: bool
) -> tuple[Finding, ...]:
    """Judge the hosts of a smarthost together: one that works stands in for the others.

    `table` of the settings describes it; `is_needed`: other mail than test mail goes by it.
    """
    one_works = any(knock.trouble is None for knock in knocks)
    worst = Level.FAIL if is_needed and not one_works else Level.WARN
    return tuple(_judge_smarthost(knock, table, worst) for knock in knocks)


def _judge_smarthost(knock: Knock, table: str, worst: Level) -> Finding:
    trouble = knock.trouble
    level, remedy = worst, ""
    if trouble is None:
        level = Level.OK
        how = "in clear text" if knock.tls is None else f"with {knock.tls.version}"
        proof = "" if knock.tls is None or knock.tls.verified else ", certificate not verified"
        reason = f"takes our {'login' if knock.logged_in else 'EHLO'} {how}{proof}"
    elif trouble.category is Category.DNS_FAILURE:
        level, reason, remedy = Level.UNKNOWN, trouble.reason, LATER
    elif trouble.login_refused:
        reason = f"refuses our login: {trouble.reason}"
        remedy = f"Correct {table}.username, {table}.auth or the secret in its file."
    elif trouble.category is Category.TLS_FAILURE or trouble.stage is Stage.STARTTLS:
        reason = f"no TLS as {table}.tls wants it: {trouble.reason}"
        remedy = "Have the smarthost's certificate put right, or name it by the name it has."
    elif trouble.stage is Stage.CONNECT:
        reason = f"no connection: {trouble.reason}"
        remedy = f"Look at {table}.hosts, at the network, and whether that server runs."
    elif trouble.stage is Stage.GREETING and trouble.reply is None:
        reason = f"does not greet: {trouble.reason}"
        remedy = (
            "If it waits for TLS from the first octet on, as on port 465, set"
            f' {table}.tls = "implicit"; else ask who runs it.'
        )
    elif trouble.reply is not None and trouble.reply.is_transient:
        level, reason = Level.WARN, f"not now: {trouble.reason}"
        remedy = "Ask again later; mail waits until then."
    else:
        reason = f"turns us away at {trouble.reason}"
        remedy = "Ask its administrator to let this machine relay, with the words of the reply."
    name = table.rpartition("smarthosts.")[2] if "." in table else ""
    subject = f"{name}: {knock.host}" if name else knock.host
    return Finding(
        check=Check.SMARTHOST, subject=subject, level=level, reason=reason, remedy=remedy
    )
