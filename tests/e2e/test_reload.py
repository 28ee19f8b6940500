"""A reload swaps the workers; clients and mail do not notice (F-24)."""

import signal
from pathlib import Path

from relayd.ports import Query, Status
from tests.support.daemon import a_daemon, a_smarthost, eventually


def test_a_session_outlives_a_reload_and_its_mail_is_delivered(tmp_path: Path) -> None:
    with a_smarthost({}) as smarthost, a_daemon(tmp_path, smarthost.port, workers=1) as daemon:
        client = daemon.client()
        client.ehlo()
        client.mail("app@app.test")
        rules = daemon.folder / "rules.d"
        rules.mkdir()
        (rules / "10.toml").write_text(
            '[[rule]]\nid = "own"\ncategory = "policy"\ntext = "computer says no"\n'
        )
        daemon.signal(signal.SIGHUP)
        eventually(lambda: daemon.events("reloaded"), "reloaded")
        assert client.rcpt("late@x.test")[0] == 250
        assert client.data("Subject: x\r\n\r\nx\r\n")[0] == 250
        daemon.send("new@x.test")
        for address in ("late@x.test", "new@x.test"):
            query = Query(recipient=address, status=Status.RELAYED)
            eventually(lambda query=query: daemon.rows(query), f"{address} relayed")  # type: ignore[misc]
        client.quit()
        assert daemon.stop() == 0
