"""Faults of whole nodes of a cluster. Each returns when the node is as before, and notes when it was not."""

import signal
import time

from tests.support.cluster import CONNECTIONS, Cluster, Fault, Node
from tests.support.daemon import eventually

_HAS_ITS_SHARE_WITHIN = 90.0  # seconds after its start: others have to know of it


def kill(cluster: Cluster, node: Node) -> None:
    """`kill -9` of all processes of a node at one instant; start it again."""
    began = time.monotonic()
    node.daemon.kill()
    _note(cluster, node, began)
    node.up()


def stop(cluster: Cluster, node: Node, seconds: float) -> None:
    """SIGSTOP of all processes of a node while it is busy, for so long; then SIGCONT."""
    _await_work(cluster, node)
    began = time.monotonic()
    node.daemon.signal_all(signal.SIGSTOP)
    time.sleep(seconds)
    node.daemon.signal_all(signal.SIGCONT)
    _note(cluster, node, began)


def stall(cluster: Cluster, node: Node, seconds: float) -> None:
    """Let no packet pass between a node that is busy and PostgreSQL, for so long."""
    _await_work(cluster, node)
    began = time.monotonic()
    cluster.places.cut(node.place, cluster.postgres.place)
    time.sleep(seconds)
    cluster.places.join(node.place, cluster.postgres.place)
    _note(cluster, node, began)


def kill_postgres(cluster: Cluster) -> None:
    """`kill -9` of PostgreSQL; start it again. It excuses no duplicate: the nodes know what they sent."""
    cluster.postgres.crash()
    cluster.postgres.start()


def _await_work(cluster: Cluster, node: Node) -> None:
    """Wait until a node uses all connections that it may have: then mail waits in its memory too."""
    most = CONNECTIONS // len(cluster.nodes)
    eventually(
        lambda: cluster.hop.open[node.fqdn] >= most,
        f"{node.name} has {most} transactions open",
        within=_HAS_ITS_SHARE_WITHIN,
    )


def _note(cluster: Cluster, node: Node, began: float) -> None:
    cluster.faults.append(Fault(node.fqdn, began, time.monotonic()))
