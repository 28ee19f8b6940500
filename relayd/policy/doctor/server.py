"""The server that has the queue: can it be asked, does it keep what it says, does it tell others what is in mail."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta

from relayd.policy.doctor.finding import Check, Finding, Level
from relayd.policy.doctor.machine import MOVED, in_words

_CHECKPOINTS = timedelta(minutes=15)
_LOG_BETWEEN = 8 * 2**30  # octets
_OLD = timedelta(minutes=10)


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerFacts:
    name: str  # what people know it by
    problem: str = ""  # why it cannot be asked
    moved: str = ""  # why no relayd may serve its queue: `relayd.store.moved`
    version: str = ""
    schema: int = 0
    newest_schema: int = 0
    lacking: str = ""  # rights that the role lacks, as a sentence
    lacks: tuple[str, ...] = ()  # steps of the schema that this relayd needs
    waiting: tuple[str, ...] = ()  # steps that wait until no older relayd is alive
    held_by: tuple[str, ...] = ()  # machines that have one
    octets: int = 0
    logs: tuple[tuple[str, str], ...] = ()  # its settings by which parameters come into its log
    is_compressed: bool = True  # the write-ahead log
    checkpoint_timeout: timedelta = _CHECKPOINTS
    max_wal_size: int = _LOG_BETWEEN  # octets
    oldest_snapshot: timedelta = timedelta()


def judge_server(facts: ServerFacts) -> Sequence[Finding]:
    """Judge it; one finding says that all is well."""
    return tuple(_findings(facts))


def judge_nodes(alike: Sequence[str], others: Mapping[str, Sequence[str]]) -> Finding:
    """Judge the machines that are alive with the queue: those with settings as here, this one among them, and others.

    Of the others with the keys that differ; none where that is not known.
    """
    if others:
        keys = sorted({key for each in others.values() for key in each})
        which = f" ({', '.join(keys)})" if keys else ""
        return Finding(
            check=Check.STORE,
            subject=", ".join(others),
            level=Level.WARN,
            reason=f"settings are not as here{which}: mail is treated by the rules of the machine that has it in hand",
            remedy="Compare relayd config diff of both; relayd nodes shows all machines.",
        )
    many = f"{len(alike)} machines, all with settings as here"
    reason = many if len(alike) > 1 else "no other machine has the queue"
    return Finding(check=Check.STORE, subject=", ".join(alike), level=Level.OK, reason=reason)


def _findings(facts: ServerFacts) -> Iterator[Finding]:
    def found(level: Level, reason: str, remedy: str = "") -> Finding:
        return Finding(
            check=Check.STORE, subject=facts.name, level=level, reason=reason, remedy=remedy
        )

    if facts.problem:
        remedy = "See that the server runs, and lets this machine in: store.url names it."
        yield found(Level.FAIL, facts.problem, remedy)
        return
    yield from (found(Level.FAIL, *each) for each in _what_stops_relayd(facts))
    if facts.lacks:
        yield found(
            Level.WARN,
            f"schema {facts.schema}, this relayd has {facts.newest_schema}",
            "Restart relayd: it brings the database up to date.",
        )
    elif facts.held_by:
        yield found(
            Level.WARN,
            f"an upgrade is not finished: {', '.join(facts.waiting)} waits for {', '.join(facts.held_by)}",
            "Upgrade these machines too, or stop relayd there.",
        )
    elif facts.waiting:
        yield found(
            Level.WARN,
            f"an upgrade is not finished: {', '.join(facts.waiting)} is still to be applied",
            "relayd does that within a minute; where its role may not: relayd store migrate, as the owner of the tables.",
        )
    if told := [f"{name} = {value}" for name, value in facts.logs]:
        yield found(
            Level.WARN,
            f"it may write mail into its log: {', '.join(told)}",
            "Set log_statement = none, and both log_parameter_max_length to 0.",
        )
    if facts.oldest_snapshot > _OLD:
        yield found(
            Level.WARN,
            f"a transaction is open for {in_words(facts.oldest_snapshot)}: what is deleted stays, and claims slow down",
            "Look into pg_stat_activity who it is: a dump, a question, a forgotten session.",
        )
    if slow := [*_slow(facts)]:
        yield found(
            Level.WARN,
            f"it writes more than it has to: {', '.join(slow)}",
            "Set wal_compression = on, checkpoint_timeout = 15min and max_wal_size = 8GB.",
        )
    size = f"{facts.octets / 10**6:.1f} MB"
    yield found(Level.OK, f"PostgreSQL {facts.version}, schema {facts.schema}, {size}")


def _what_stops_relayd(facts: ServerFacts) -> Iterator[tuple[str, str]]:
    """Yield what keeps relayd from serving the queue, each with what to do."""
    if facts.moved:
        yield facts.moved, MOVED
    if facts.lacking:
        yield facts.lacking, "Grant it as the owner of the tables."


def _slow(facts: ServerFacts) -> Iterator[str]:
    if not facts.is_compressed:
        yield "wal_compression is off"
    if facts.checkpoint_timeout < _CHECKPOINTS:
        yield f"checkpoint_timeout is {in_words(facts.checkpoint_timeout)}"
    if facts.max_wal_size < _LOG_BETWEEN:
        yield f"max_wal_size is {facts.max_wal_size / 2**30:.0f} GB"
