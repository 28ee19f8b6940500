"""Webhooks through the running daemon and the running console: what bounces is told, with a signature."""

import asyncio
import sys
from pathlib import Path

from standardwebhooks.webhooks import Webhook

from tests.support.daemon import ROOT, Daemon, SmarthostThread, a_daemon, a_smarthost, eventually
from tests.support.scripted_server import Message
from tests.support.webhook_receiver import Receiver, Reply

SCRIPT = {"RCPT TO:<gone": "550 5.1.1 No such user"}
MORE = """\
[webhooks]
allow_http = true
allow_networks = ["127.0.0.1/32"]
ports = [{receiver}]
[console]
address = "unix:{folder}/http.sock"
"""


async def test_a_bounce_is_told(tmp_path: Path) -> None:
    async with Receiver(script=[Reply(204, body=b"")]) as receiver:
        more = MORE.format(receiver=receiver.port, folder=tmp_path)
        with (
            a_smarthost(SCRIPT) as smarthost,
            a_daemon(tmp_path, smarthost.port, more=more) as daemon,
        ):
            words = (sys.executable, "-m", "relayd", "console", "-c", str(daemon.file))
            console = await asyncio.create_subprocess_exec(*words, cwd=ROOT)
            try:
                queue_id, secret = await asyncio.to_thread(_add_and_send, daemon, receiver.port)
                [first, bounce] = await receiver.got(2)
                body = Webhook(secret).verify(bounce.body, bounce.fields)
            finally:
                console.terminate()
                async with asyncio.timeout(15):
                    assert await console.wait() == 0
            rows = (
                await asyncio.to_thread(daemon.run, "console", "webhook", "deliveries", "--json")
            ).rows
            assert daemon.stop() == 0
    assert first.data["type"] == "relayd.test"
    assert body["type"] == "recipient.bounced"
    assert (body["data"]["queue_id"], body["data"]["rcpt"]) == (queue_id, "gone@x.test")
    assert (body["data"]["code"], body["data"]["suppress"]) == (550, True)
    assert [(row["state"], row["status"]) for row in rows] == [("done", 204)] * 2
    assert rows[0]["id"] == bounce.fields["webhook-id"]


async def test_a_webhook_that_is_gone_is_mailed(tmp_path: Path) -> None:
    async with Receiver(script=[Reply(410, body=b"")]) as receiver:
        more = MORE.format(receiver=receiver.port, folder=tmp_path)
        more += 'alerts_to = ["ops@example.org", "night@x.test"]\n'
        with (
            a_smarthost() as smarthost,
            a_daemon(tmp_path, smarthost.port, more=more) as daemon,
        ):
            words = (sys.executable, "-m", "relayd", "console", "-c", str(daemon.file))
            console = await asyncio.create_subprocess_exec(*words, cwd=ROOT)
            try:
                mails = await asyncio.to_thread(_be_gone, daemon, smarthost, receiver.port)
            finally:
                console.terminate()
                async with asyncio.timeout(15):
                    assert await console.wait() == 0
            assert daemon.stop() == 0
        logged = [each for each in daemon.log_lines() if each["event"] == "received"]
    [mail] = mails
    assert mail.mail.startswith("FROM:<>")
    assert mail.rcpts == ("TO:<ops@example.org>", "TO:<night@x.test>")
    assert b"webhook 1" in mail.content
    assert b"Receiver:      127.0.0.1\r\n" in mail.content
    assert b"s3cr3t" not in mail.content
    assert len(logged) == 3


def _be_gone(daemon: Daemon, smarthost: SmarthostThread, port: int) -> list[Message]:
    """Have a webhook told of a mail; return the mails about the webhook."""
    url = f"http://127.0.0.1:{port}/hook/s3cr3t"
    added = daemon.run("console", "webhook", "add", url, "--events", "relayed")
    assert added.status == 0, added.err
    daemon.send("a@x.test")

    def mails() -> list[Message]:
        return [each for each in smarthost.messages if b"disabled" in each.content]

    return eventually(mails, "the mail about the webhook")


def _add_and_send(daemon: Daemon, port: int) -> tuple[str, str]:
    """Add a webhook, try it, and send a mail that bounces."""
    url = f"http://127.0.0.1:{port}/hook"
    added = daemon.run("console", "webhook", "add", url, "--events", "bounced", "--json")
    assert added.status == 0, added.err
    tried = daemon.run("console", "webhook", "test", "1")
    assert (tried.status, tried.err) == (0, ""), tried
    return daemon.send("gone@x.test"), added.rows[0]["secret"]
