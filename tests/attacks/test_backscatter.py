"""An outsider who has a relay write to a victim: by return paths that it was given, and by senders that it forges.

What is forged, replayed or expired changes no status: `e2e/test_late_bounces.py`, `unit/policy/test_late.py`, `unit/policy/rewriting/test_srs.py`.
How many mails a return path of ours takes is counted by the store; how many a path of forwarded mail takes, and how many reports a victim
gets, by each worker.
"""

import re
from itertools import product

import pytest

from relayd.mail.ids import format_id
from relayd.ports.view import Query, RecipientRow, Status
from tests.support.besieged import Besieged
from tests.support.daemon import CONTENT, eventually

CAP = 100  # to one mailbox, at once and in each hour


def _path_of(besieged: Besieged, sender: str) -> str:
    """Have mail forwarded; return the reverse-path that it went out with, as whoever got it knows it."""
    before = len(besieged.smarthost.messages)
    besieged.daemon.send("attacker@kept.test", sender=sender)

    def found() -> list[str]:
        messages = besieged.smarthost.messages[before:]
        return [
            each.mail.partition("<")[2].partition(">")[0]
            for each in messages
            if each.mail.startswith("FROM:<SRS0")
        ]

    return eventually(found, "forwarded")[0]


def _spellings(path: str) -> list[str]:
    """The same path with its last letters in both cases: servers on the way fold it, so it stays good."""
    local, _, domain = path.partition("@")
    start, letters = local[:-7], local[-7:]
    both = product(*((each.lower(), each.upper()) for each in letters))
    return [f"{start}{''.join(each)}@{domain}" for each in both]


def test_a_path_of_forwarded_mail_floods_no_sender(besieged: Besieged) -> None:
    """Who got one forwarded mail may write to its sender for three weeks: 100 mails an hour, however the path is spelled."""
    spellings = _spellings(_path_of(besieged, "victims@forwarded.test"))
    assert len(spellings) == 128
    with besieged.at(besieged.public, "127.0.20.1") as client:
        client.mail("")
        codes = [client.rcpt(each)[0] for each in spellings]
        assert codes == [250] * CAP + [450] * 28
        client.rset()
    with besieged.at(besieged.public, "127.0.21.1") as client:  # from elsewhere
        client.mail("")
        assert client.rcpt(spellings[0]) == (
            450,
            b"4.7.1 Too much mail to this return path today, try again later",
        )
    other = _path_of(besieged, "others@forwarded.test")
    with besieged.at(besieged.public, "127.0.20.1") as client:
        client.mail("")
        assert client.rcpt(other)[0] == 250, "nobody else's bounces wait"
        assert client.data(CONTENT)[0] == 250


def test_who_may_relay_is_not_counted(besieged: Besieged) -> None:
    """It may write to that sender anyway."""
    path = _path_of(besieged, "partner@forwarded.test")
    with besieged.daemon.client() as client:
        client.ehlo()
        client.mail("a@app.test")
        assert {client.rcpt(each)[0] for each in _spellings(path)} == {250}


def test_a_return_path_takes_one_message_in_a_transaction(besieged: Besieged) -> None:
    """It is no list: neither twice, nor beside somebody else."""
    besieged.daemon.send("returns@kept.test")

    def found() -> list[str]:
        return [
            each.mail
            for each in besieged.smarthost.messages
            if each.rcpts == ("TO:<returns@kept.test>",)
        ]

    path = re.search(r"<(b\+[^>]+)>", eventually(found, "sent")[0])
    assert path is not None
    with besieged.at(besieged.public, "127.0.22.1") as client:
        client.mail("")
        assert client.rcpt(path[1])[0] == 250
        assert client.rcpt(path[1].upper())[0] == 452
        assert client.rcpt("victim@elsewhere.test")[0] == 550


@pytest.mark.parametrize("field", ["X-Relayd-Test: yes", "X-Relayd-Test: smarthost:default"])
def test_a_stranger_chooses_neither_way_nor_tag(besieged: Besieged, field: str) -> None:
    """Test mail passes by `[routes]`: whose mail comes back is no client that may ask for that."""
    path = _path_of(besieged, "staged@forwarded.test")
    content = f"{field}\r\nX-Relayd-Tag: invoices\r\nSubject: x\r\n\r\nx\r\n"
    with besieged.at(besieged.public, "127.0.23.1") as client:
        client.mail("")
        assert client.rcpt(path)[0] == 250
        code, text = client.data(content)
    assert code == 250
    queue_id = text.decode().rpartition(" ")[2]

    def known() -> list[RecipientRow]:
        found = besieged.daemon.rows(Query(recipient=("staged@forwarded.test",)))
        return [
            row
            for row in found
            if format_id(row.message_id) == queue_id and row.status is not Status.QUEUED
        ]

    [settled] = eventually(known, "it is held, or has left")
    assert (settled.status, settled.tag) == (Status.HELD, None)
    assert not [one for one in besieged.smarthost.rcpts if one == "staged@forwarded.test"]
    with besieged.daemon.client() as client:  # who may relay may ask for both
        client.ehlo()
        client.mail("a@app.test")
        client.rcpt("asked@forwarded.test")
        client.data(content.replace("smarthost:default", "yes"))
    eventually(lambda: "asked@forwarded.test" in besieged.smarthost.rcpts, "a test mail")
