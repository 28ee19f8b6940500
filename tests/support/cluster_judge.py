"""The judgement on a cluster that had faults: what was acknowledged arrived, as it was, and once if nothing excuses more.

A message may come twice where the transaction of one copy was open when its node was killed, stopped or cut off: from MAIL until the
node has stored the result, which is a moment after the reply. So of all copies of a message at most one may be without such a fault.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from relayd.ports.view import RecipientRow
from tests.support.cluster import Cluster, Fault
from tests.support.counting_hop import Copy, digest_of
from tests.support.ledger import Fate, Ledger, judge_loss, judge_states

_STORED_WITHIN = 1.0
"""Seconds from the reply of the next hop until its result is stored, on a busy machine."""


@dataclass(slots=True)
class Outcome:
    """How a run ended."""

    ledger: Ledger
    copies: Sequence[Copy]
    faults: Sequence[Fault]
    rows: Sequence[RecipientRow]


def judge(outcome: Outcome) -> Counter[str]:
    """Return figures. Raises AssertionError, which says what is wrong."""
    by_rcpt = defaultdict[str, list[Copy]](list)
    for copy in outcome.copies:
        for rcpt in copy.rcpts:
            by_rcpt[rcpt].append(copy)
    counts = {rcpt: len(copies) for rcpt, copies in by_rcpt.items()}
    judge_loss(outcome.ledger, counts)
    _judge_content(outcome.ledger, by_rcpt)
    judge_states(outcome.rows, counts)
    found = _judge_duplicates(by_rcpt, outcome.faults)
    ledger = outcome.ledger
    return found | Counter(
        {
            "messages": len(ledger.entries),
            "acknowledged": len(ledger.of(Fate.ACKED)),
            "refused": len(ledger.of(Fate.REFUSED)),
            "without a reply": len(ledger.of(Fate.UNKNOWN)),
            "arrived": len(counts),
            "shown as possible duplicates": sum(row.possible_duplicate for row in outcome.rows),
        }
    )


def _judge_content(ledger: Ledger, by_rcpt: Mapping[str, Iterable[Copy]]) -> None:
    entries = {rcpt: entry for entry in ledger.entries for rcpt in entry.recipients}
    for rcpt, copies in by_rcpt.items():
        assert rcpt in entries, f"nobody sent anything to {rcpt}"
        wanted = digest_of(entries[rcpt].content)
        for copy in copies:
            assert copy.digest == wanted, f"{rcpt}: other octets"


def _judge_duplicates(
    by_rcpt: Mapping[str, Sequence[Copy]], faults: Sequence[Fault]
) -> Counter[str]:
    found, unexcused = Counter[str](), list[str]()
    for rcpt, copies in by_rcpt.items():
        if len(copies) == 1:
            continue
        found["came twice"] += 1
        found["extra copies"] += len(copies) - 1
        whys = [_why(copy, faults) for copy in copies]
        if whys.count(None) > 1:
            unexcused.append(rcpt)
        for why in whys:
            if why is not None:
                found[why] += 1
    assert not unexcused, f"came twice, and no fault excuses it: {len(unexcused)}, {unexcused[:5]}"
    return found


def _why(copy: Copy, faults: Sequence[Fault]) -> str | None:
    """Return why the node may not have been able to record this copy; None if it should have been."""
    mine = [each for each in faults if each.node == copy.relay]
    ended = float("inf") if copy.answered is None else copy.answered
    if any(copy.begun <= each.ended and each.began <= ended for each in mine):
        return "open at a fault"
    if any(0 < each.began - ended <= _STORED_WITHIN for each in mine):
        return "answered just before a fault"
    return None


def outcome_of(cluster: Cluster) -> Outcome:
    """Stop the nodes, and return how the run ended."""
    for node in cluster.nodes:
        status = node.daemon.stop()
        assert status == 0, f"{node.name} ended with {status}"
    entries = [entry for load in cluster.loads for entry in load.ledger.entries]
    return Outcome(Ledger(entries), cluster.hop.copies, cluster.faults, cluster.rows())
