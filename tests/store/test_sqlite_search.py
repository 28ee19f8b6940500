"""Which index a question to the queue uses."""

from pathlib import Path

import pytest

from relayd.mail.words import BounceClass
from relayd.ports.view import Query, Status
from relayd.store.sqlite.connection import open_reader, prepare
from relayd.store.sqlite.search import conditions

FEW, ADDRESS = "recipient_notable", "recipient_by_address"


@pytest.mark.parametrize(
    ("query", "index"),
    [
        (Query(status=Status.BOUNCED), FEW),
        (Query(status=Status.HELD), FEW),
        (Query(status=Status.DROPPED, sender="app@app.test"), FEW),
        (Query(bounce_class=BounceClass.HARD), FEW),
        (Query(recipient="a@x.test"), ADDRESS),
        (Query(recipient="a@x.test", status=Status.BOUNCED), ADDRESS),
        (Query(domain="x.test", bounce_class=BounceClass.HARD), ADDRESS),
        (Query(tag="news", status=Status.HELD), "message_by_tag"),
        (Query(message_id_header="1@app.test", status=Status.HELD), "message_by_header"),
    ],
)
def test_the_index_that_leaves_fewest(tmp_path: Path, query: Query, index: str) -> None:
    path = str(tmp_path / "queue.db")
    prepare(path)
    db = open_reader(path)
    where, bound = conditions(query)
    sql = (
        "SELECT r.number, m.size FROM recipient r JOIN message m ON m.id = r.message_id"
        f" WHERE {where} ORDER BY r.message_id DESC, r.number LIMIT 9"
    )
    plan = " ".join(row[3] for row in db.execute(f"EXPLAIN QUERY PLAN {sql}", bound))
    assert f"INDEX {index}" in plan, plan
    db.close()
