"""What PostgreSQL cannot hold in a text, and peers and clients may send all the same."""

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from relayd.mail.outcome import Outcome, Relayed
from relayd.store.values import from_ms
from tests.support import postgres
from tests.support.builders import a_bounce, a_deferral, a_message, settlements_of
from tests.support.stores import Box, open_postgres
from tests.support.workers import registered

pytestmark = postgres.needs_postgres


@pytest.fixture
async def box(tmp_path: Path) -> AsyncIterator[Box]:
    opened = open_postgres(tmp_path)
    yield opened
    await opened.close()


@pytest.mark.parametrize("outcome", [Relayed(), a_deferral(from_ms(0)), a_bounce()])
async def test_mail_with_a_nul_in_its_header_or_its_reply_is_stored(
    box: Box, outcome: Outcome
) -> None:
    """It would be answered with 451 for ever, and its result would never be written."""
    worker = await registered(box.store, "worker")
    message = a_message(message_id_header="<a\0b@x.test>", tag="t\0")
    for each in (message, a_message(message_id_header="<c\0d@x.test>")):
        [work] = await box.put(each, worker=worker, leased=True)
        [settlement] = settlements_of(work, outcome)
        said = replace(settlement, reply="no\0t", remote_host="mx\0")
        assert len(await box.store.settle(work.lease, [said])) == 1
    row = box.row(message)
    assert (row.message_id_header, row.tag) == ("<a\ufffdb@x.test>", "t\ufffd")
    assert (row.reply, row.remote_host) == ("no\ufffdt", "mx\ufffd")
