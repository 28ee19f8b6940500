"""Mail that goes out under another name: the smarthost is given what the rules say, and nothing else changes."""

from pathlib import Path

from tests.support.daemon import CONTENT, Daemon, a_daemon, a_smarthost, eventually

MAIL = (
    'From: "Shop, Inc" <shop@app.internal>\r\nX-Mailer: old\r\nSubject: Hello\r\n\r\nFrom: body\r\n'
)
FIXED = """\
[senders."*.internal"]
envelope_from = "relay@example.com"
header_from = "relay@example.com"
add_headers = { X-Environment = "test" }
remove_headers = ["X-Mailer"]
always_bcc = ["archive@example.com"]
[senders."forwarded.example"]
srs_domain = "srs.example.com"
[senders."long.example"]
envelope_domains = { "long.example" = "FAR.example" }
""".replace("FAR", ".".join(["a" * 60] * 4))


def told(relay: Daemon, event: str, recipient: str) -> dict[str, object]:
    """Return the line of the status log, which is written after the commit."""

    def find() -> dict[str, object] | None:
        return next(
            (
                each
                for each in relay.log_lines()
                if (each["event"], each["rcpt"]) == (event, recipient)
            ),
            None,
        )

    found = eventually(find, f"{event} is logged")
    assert found is not None
    return found


def test_sender_and_from_are_those_of_the_rule(tmp_path: Path) -> None:
    with a_smarthost() as smarthost, a_daemon(tmp_path, smarthost.port, more=FIXED) as relay:
        queue_id = relay.send("a@x.test", content=MAIL, sender="shop@app.internal")
        eventually(lambda: set(relay.statuses().values()) == {"relayed"}, "relayed")
        assert relay.statuses().keys() == {"a@x.test", "archive@example.com"}
        [message] = smarthost.messages
        assert message.mail.startswith("FROM:<relay@example.com>")
        header, _, body = message.content.partition(b"\r\n\r\n")
        assert b'\r\nFrom: "Shop, Inc" <relay@example.com>' in header
        assert b'\r\nReply-To: "Shop, Inc" <shop@app.internal>' in header
        assert b"\r\nX-Environment: test" in header
        assert b"X-Mailer" not in header
        assert header.startswith(b"Received: ")
        assert body == b"From: body\r\n"
        relayed = told(relay, "relayed", "a@x.test")
        assert relayed["from"] == "shop@app.internal"
        assert relayed["rewritten"] == (
            "sender shop@app.internal to relay@example.com; From shop@app.internal to relay@example.com;"
            " X-Mailer removed; X-Environment added"
        )
        shown = relay.run("status", "show", queue_id)
        assert "rewritten: sender shop@app.internal to relay@example.com" in shown.out


def test_large_content_is_rewritten_as_well(tmp_path: Path) -> None:
    body = "x" * 70 + "\r\n"
    with a_smarthost() as smarthost, a_daemon(tmp_path, smarthost.port, more=FIXED) as relay:
        relay.send("a@x.test", content=MAIL + body * 6000, sender="shop@app.internal")
        [message] = smarthost.received(1)
        assert message.content.endswith(f"\r\n\r\nFrom: body\r\n{body * 6000}".encode())
        assert b"\r\nX-Environment: test\r\n" in message.content[:2000]


def test_a_sender_that_gets_too_long_waits_for_somebody(tmp_path: Path) -> None:
    """It is held with the reason, and goes out when the rule is mended and it is released."""
    with a_smarthost() as smarthost, a_daemon(tmp_path, smarthost.port, more=FIXED) as relay:
        relay.send("a@x.test", sender="somebody@long.example")
        eventually(lambda: relay.statuses() == {"a@x.test": "held"}, "held")
        assert "longer than 254 octets" in str(told(relay, "held", "a@x.test")["reason"])
        assert not smarthost.messages
        relay.write(more="")
        assert relay.run("reload").status == 0
        assert relay.run("queue", "release", "--all", "--yes").status == 0
        [message] = smarthost.received(1)
        assert message.mail.startswith("FROM:<somebody@long.example>")


def test_a_bounce_of_forwarded_mail_finds_its_way_back(tmp_path: Path) -> None:
    """Without rights, with the null reverse-path; nobody else gets anywhere by such an address."""
    with a_smarthost() as smarthost, a_daemon(tmp_path, smarthost.port, more=FIXED) as relay:
        relay.send("a@x.test", sender="ann@forwarded.example")
        [message] = smarthost.received(1)
        path = message.mail.partition("<")[2].partition(">")[0]
        assert path.endswith("=forwarded.example=ann@srs.example.com")
        with relay.client() as client:
            client.ehlo()
            client.mail("")
            assert client.rcpt(path)[0] == 250
            assert client.rcpt(path.replace("=ann@", "=bob@"))[0] == 550
            assert client.data(CONTENT)[0] == 250
        smarthost.received(2)
        assert smarthost.rcpts == ["a@x.test", "ann@forwarded.example"]
        assert smarthost.messages[1].mail.startswith("FROM:<>"), (
            "the null reverse-path is never rewritten"
        )
