"""What leaves a real relay is signed so that dkimpy finds it right; a key that is no use stops no mail."""

import signal
from pathlib import Path

from tests.support.daemon import Daemon, a_daemon, a_smarthost, eventually
from tests.support.dkim import ed25519_pem, records, rsa_pem, signatures, verified, write_key

RECORDS = {
    **records("shop.test", r=rsa_pem(), e=ed25519_pem()),
    **records("brand.test", b=ed25519_pem()),
    **records("test", f=ed25519_pem()),
}
TABLE = '[[dkim]]\ndomain = "{}"\nselector = "{}"\nkey_file = "{}"\n'
REWRITE = '[senders."intern.test"]\nheader_from = "news@brand.test"\n'
MAIL = "From: Shop <app@{}>\r\nSubject: Hello \r\n\r\n.\r\n..\r\nHello \r\n"


def test_all_mail_that_leaves_has_signatures_that_hold(tmp_path: Path) -> None:
    """In memory, on a file, rewritten, and a report; dots are stuffed on the way, and twice."""
    rsa = write_key(tmp_path / "r.pem", rsa_pem())
    ed25519 = write_key(tmp_path / "e.pem", ed25519_pem())
    tables = (("shop.test", "r", rsa), ("shop.test", "e", ed25519), ("brand.test", "b", ed25519))
    more = "".join(TABLE.format(*each) for each in (*tables, ("test", "f", ed25519)))
    script = {"RCPT TO:<bad@y.test>": "550 5.1.1 no such user"}
    with (
        a_smarthost(script) as smarthost,
        a_daemon(tmp_path, smarthost.port, more=more + REWRITE) as relay,
    ):
        small = MAIL.format("shop.test")
        for content, sender in (
            (small, "app@shop.test"),
            (small + "x\r\n.\r\n" * 60_000 + "\r\n\r\n", "app@shop.test"),
            (MAIL.format("intern.test"), "app@intern.test"),
        ):
            relay.send("a@y.test", content=content, sender=sender)
        relay.send("bad@y.test", content=small, sender="app@shop.test")
        sent = [each.content for each in smarthost.received(4)]
        found = {
            tuple((each["d"], each["s"]) for each in signatures(content)): verified(
                content, RECORDS
            )
            for content in sent
        }
        assert found == {
            (("shop.test", "r"), ("shop.test", "e")): [True, True],
            (("brand.test", "b"),): [True],
            (("test", "f"),): [True],  # the report, of the relay's own domain
        }
        told = {"d=shop.test s=r,e", "d=test s=f"}
        eventually(lambda: logged(relay) == told, "the log is written a moment after the commit")


def logged(relay: Daemon) -> set[str]:
    return {each["dkim"] for each in relay.log_lines() if each["event"] == "received"}


def test_a_reload_signs_on_with_the_key_that_it_has(tmp_path: Path) -> None:
    """The file is no use by then; what has no other key is sent unsigned, or held where it must not be."""
    key = write_key(tmp_path / "r.pem", ed25519_pem())
    more = TABLE.format("shop.test", "e", key)
    more += TABLE.format("none.test", "n", tmp_path / "none.pem")
    more += TABLE.format("held.test", "n", tmp_path / "none.pem") + "required = true\n"
    with a_smarthost() as smarthost, a_daemon(tmp_path, smarthost.port, more=more) as relay:
        assert {each["key"] for each in relay.events("dkim_key_unusable")} == {
            "n._domainkey.none.test",
            "n._domainkey.held.test",
        }
        key.chmod(0o644)
        checked = relay.run("check")
        assert checked.status == 78
        assert "e._domainkey.shop.test: others may" in checked.err
        relay.signal(signal.SIGHUP)
        eventually(lambda: relay.events("reloaded"), "reloaded")
        for domain in ("shop.test", "none.test", "held.test"):
            relay.send(f"a@{domain}", content=MAIL.format(domain))
        sent = [each.content for each in smarthost.received(2)]
        assert sorted(verified(each, RECORDS) for each in sent) == [[], [True]]
        assert relay.statuses()["a@held.test"] == "held"
