"""What is kept of sites on SQLite does not grow with what strangers say."""

from contextlib import closing
from pathlib import Path

import apsw

from relayd.policy.accounts.limits import AccountLimits
from relayd.policy.pace import Saw, Seen
from relayd.ports.sites import SiteKey
from tests.support.stores import open_sqlite


async def test_the_permits_of_a_site_go_with_its_state(tmp_path: Path) -> None:
    box = open_sqlite(tmp_path)
    old, new = SiteKey("a.test", "192.0.2.1"), SiteKey("b.test")
    for key in (old, new):
        await box.store.sites.note_site(key, Seen(saw=Saw.SLOW))
        await box.store.permits.book(key.account, AccountLimits(per_second=0.01), 1)
        box.advance(13 * 3600)
    await box.store.permits.book("smarthost", AccountLimits(per_second=1), 1)
    await box.store.sites.note_site(SiteKey("c.test"), Seen(saw=Saw.SLOW))
    with closing(apsw.Connection(str(tmp_path / "queue.db"))) as db:
        kept = {name for (name,) in db.execute("SELECT account FROM permit")}
    assert old.account not in kept
    assert "smarthost" in kept
    await box.close()
