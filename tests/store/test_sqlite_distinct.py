"""Which clients a network has: by a part of an index, however the network is written."""

from contextlib import closing
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import apsw
import pytest

from relayd.policy.intake.admit import is_among
from relayd.store.sqlite import distinct
from relayd.store.sqlite.connection import open_reader, open_writer, prepare

_CLIENTS = (
    "",
    "10.1.2.3",
    "10.1.2.30",
    "10.1.20.3",
    "10.15.255.255",
    "10.16.0.1",
    "10.31.0.1",
    "10.32.0.1",
    "100.64.0.1",
    "127.0.0.1",
    "192.0.2.7",
    "::ffff:10.1.2.3",
    "::ffff:10.16.9.9",
    "::1",
    "2001::5",
    "2001:0:1::5",
    "2001:d::7",
    "2001:db8::7",
    "2001:db8:0:1::7",
    "2001:db8:1::7",
    "2001:db80::7",
    "fe80::1",
    "fe81::1",
)
_NETWORKS = (
    *("0.0.0.0/0", "0.0.0.0/1", "10.0.0.0/8", "10.16.0.0/12", "10.1.0.0/16", "10.1.2.0/23"),
    *(
        "10.1.2.0/24",
        "10.1.2.0/28",
        "10.1.2.3/32",
        "203.0.113.0/24",
        "::/0",
        "::1/128",
        "2001::/16",
    ),
    *("2001::/32", "2001:db8::/32", "2001:db8::/64", "2001:db8::7/128", "2001:d::/32", "fe80::/10"),
)


@pytest.fixture(scope="module")
def queue(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("queue") / "queue.db"
    prepare(str(path))
    with closing(open_writer(str(path))) as db:
        db.executemany(
            "INSERT INTO message (id, received_at, reverse_path, size, flags, client_ip, helo, listener)"
            " VALUES (?, 0, '', 0, 0, ?, '', '')",
            list(enumerate(_CLIENTS)),
        )
    return path


@pytest.mark.parametrize("network", _NETWORKS)
def test_a_network_has_the_clients_whose_addresses_are_in_it(queue: Path, network: str) -> None:
    networks = [ip_network(network)]
    with closing(open_reader(str(queue))) as db:
        found = distinct.clients(db, networks)
    assert found == sorted(client for client in _CLIENTS if is_among(client, networks))


def test_few_others_are_read(queue: Path) -> None:
    """The clients of a small network, beside those of all the world."""
    seen: list[Any] = []
    with closing(apsw.Connection(str(queue))) as db:

        def note(_: apsw.Cursor, row: tuple[Any, ...]) -> tuple[Any, ...]:
            seen.extend(row)
            return row

        db.row_trace = note
        distinct.clients(db, [ip_network("10.16.0.0/12"), ip_network("2001:db8:1::/48")])
    assert sorted(seen) == ["10.16.0.1", "10.31.0.1", "2001:db8:1::7", "::ffff:10.16.9.9"]
