"""A relay under mixed load for long, with a fault every few seconds: what it needs stays flat, and all counts agree."""

import errno
import os
import random  # noqa: TID251 -- seeded
import shutil
import signal
import time
from collections import Counter
from contextlib import closing, suppress
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path

import apsw

from tests.proof.calls import ERRORS
from tests.proof.loaded_relay import CONNECTIONS, LoadedRelay, Pace, a_loaded_relay
from tests.proof.shim import Calls
from tests.support.daemon import eventually
from tests.support.ledger import Fate

_PACE = Pace(pause=0.1)
_REST = (2.0, 5.0)  # seconds between faults
_MORE_MEMORY = 1.3  # times, of the first third of the run in the last
_PAGE = os.sysconf("SC_PAGE_SIZE")
_ENDS = ("relayed", "sent", "bounced")


class _Fault(Enum):
    KILL = "kills of a worker"
    CALL = "failing system calls"
    RELOAD = "reloads"
    BACKUP = "backups"


@dataclass(slots=True)
class Found:
    """What came of it; samples are of all processes of the relay together."""

    faults: Counter[str] = field(default_factory=Counter)
    octets: list[int] = field(default_factory=list)  # resident
    descriptors: list[int] = field(default_factory=list)
    tried: str = ""
    wrong: list[str] = field(default_factory=list)


def run(place: Path, *, seconds: float, seed: int = 1) -> Found:
    """Let it run for so long, and then until its queue is empty."""
    chance, found = random.Random(seed), Found()
    with a_loaded_relay(place, chance, pace=_PACE) as loaded:
        began = time.monotonic()
        _sample(loaded, found)
        while time.monotonic() < began + seconds:
            time.sleep(chance.uniform(*_REST))
            fault = chance.choice([*_Fault])
            found.faults[fault.value] += 1
            try:
                _have(fault, loaded, chance)
            except AssertionError as error:
                found.wrong += [f"{fault.value}: {error}", *_last_lines(loaded)]
                break
            _sample(loaded, found)
        duplicates = found.faults.total() * CONNECTIONS
        counted = loaded.end(duplicates=duplicates)
        found.wrong += [*counted.wrong, *_counts(loaded, found), *_growth(found)]
        faults = ", ".join(f"{count} {name}" for name, count in found.faults.items())
        found.tried = (
            f"{(time.monotonic() - began) / 60:.0f} minutes, {counted.messages} messages, {faults};"
            f" {found.octets[-1] / 1e6:.0f} MB and {found.descriptors[-1]} descriptors at the end,"
            f" {max(found.octets) / 1e6:.0f} and {max(found.descriptors)} at most"
        )
    return found


def _have(fault: _Fault, loaded: LoadedRelay, chance: random.Random) -> None:
    relay, calls = loaded.relay, Calls(loaded.shared)
    match fault:
        case _Fault.KILL:
            with suppress(ProcessLookupError):  # it has just ended
                os.kill(chance.choice(_workers(loaded)), signal.SIGKILL)
        case _Fault.CALL:
            calls.fail(chance.randint(1, 40), chance.choice([*ERRORS, errno.EIO]))
        case _Fault.RELOAD:
            relay.write(message_size=f"{chance.randint(2, 9)}MB")
            relay.signal(signal.SIGHUP)
        case _Fault.BACKUP:
            copy = relay.folder / f"copy{time.monotonic_ns()}"
            loaded.way.back_up(relay, copy).wait(60)
            shutil.rmtree(copy, ignore_errors=True)
    before = loaded.load.acked()
    eventually(lambda: loaded.load.acked() > before + 5, "mail goes on", within=60)
    eventually(lambda: len(_workers(loaded)) >= 2, "two workers", within=60)


def _workers(loaded: LoadedRelay) -> list[int]:
    """Return the processes: the log may lack a line, where its write was the call that failed."""
    assert loaded.relay.process is not None
    pid = loaded.relay.process.pid
    return [int(each) for each in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def _last_lines(loaded: LoadedRelay) -> list[str]:
    return loaded.relay.log.read_text().splitlines()[-10:]


def _sample(loaded: LoadedRelay, found: Found) -> None:
    assert loaded.relay.process is not None
    octets = descriptors = 0
    for pid in (loaded.relay.process.pid, *_workers(loaded)[-2:]):
        try:
            octets += int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * _PAGE
            descriptors += len(os.listdir(f"/proc/{pid}/fd"))  # noqa: PTH208 -- names alone
        except (FileNotFoundError, ProcessLookupError):  # it ended meanwhile
            return
    found.octets.append(octets)
    found.descriptors.append(descriptors)


def _counts(loaded: LoadedRelay, found: Found) -> list[str]:
    """Return where the ledger, the history, webhooks, the tally, and the status log disagree."""
    acked = len(loaded.load.ledger.of(Fate.ACKED))
    unknown = len(loaded.load.ledger.of(Fate.UNKNOWN, Fate.SENT))
    with closing(apsw.Connection(str(loaded.relay.queue), flags=apsw.SQLITE_OPEN_READONLY)) as db:

        def count(sql: str) -> int:
            return int(str(db.execute(sql).get or 0))

        messages = count("SELECT count(*) FROM message WHERE reverse_path <> ''")
        ends = count(f"SELECT count(*) FROM event WHERE kind IN {_ENDS}")
        told = count("SELECT count(*) FROM delivery")
    log = [each for each in loaded.relay.log_lines() if each["event"] in _ENDS]
    stats = loaded.relay.run("stats", "--since", "2d", "--json").rows
    [total] = [row for row in stats if row["by"] == "total"]
    tallied = sum(total[kind] for kind in _ENDS)
    wrong = []
    if tallied != ends:
        wrong.append(f"{ends} ends in the history, {tallied} in relayd stats")
    if not acked <= messages <= acked + unknown:
        wrong.append(f"{acked} acknowledged, {unknown} without a reply, {messages} in the history")
    if told != ends:
        wrong.append(f"{ends} ends in the history, {told} for webhooks")
    if not ends - found.faults.total() * CONNECTIONS <= len(log) <= ends:
        wrong.append(f"{ends} ends in the history, {len(log)} in the log")
    return wrong


def _growth(found: Found) -> list[str]:
    third = max(1, len(found.octets) // 3)
    wrong = []
    for name, samples in (("octets", found.octets), ("descriptors", found.descriptors)):
        first, last = sorted(samples[:third])[third // 2], sorted(samples[-third:])[third // 2]
        if last > first * _MORE_MEMORY:
            wrong.append(f"{first} {name} at first, {last} at last")
    return wrong
