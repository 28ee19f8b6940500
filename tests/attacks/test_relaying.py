"""Relaying without a right to it, at every door of a running relay.

A stranger is let in nowhere, whatever it calls itself and however it writes an address. Negative controls: the same addresses are
taken from who may relay, and the same words from the proxy whose they are.
"""

import base64
from pathlib import Path

import pytest

from tests.support import relayd_process
from tests.support.besieged import FORWARDS, GUESSED, PASSWORD, RETURNS, USER, Besieged, replies
from tests.support.daemon import CONTENT, eventually

VICTIM = "victim@elsewhere.test"
TOKEN = "1" + "0" * 45
ADDRESSES = [
    VICTIM,
    "@relay.test:victim@elsewhere.test",  # a source route, RFC 5321 appendix C
    "@relay.test,@b.test:victim@elsewhere.test",
    f"@{RETURNS}:victim@elsewhere.test",
    "victim%elsewhere.test@relay.test",  # the percent hack
    "victim%elsewhere.test@[127.0.0.1]",
    "victim%elsewhere.test@localhost",
    f"victim%elsewhere.test@{RETURNS}",
    f"victim%elsewhere.test@{FORWARDS}",
    "victim@elsewhere.test@relay.test",
    f"victim@elsewhere.test@{RETURNS}",
    '"victim@elsewhere.test"@relay.test',  # a quoted local part
    f'"victim@elsewhere.test"@{RETURNS}',
    f'"victim@elsewhere.test"@{FORWARDS}',
    '"victim@elsewhere.test\\"@relay.test',
    "elsewhere.test!victim",  # bang paths
    "elsewhere.test!victim@relay.test",
    f"elsewhere.test!victim@{RETURNS}",
    f"b+{TOKEN}@{RETURNS}",  # made up
    f"b+{TOKEN}@{RETURNS.upper()}",
    f"b+{TOKEN}%elsewhere.test@{RETURNS}",
    f"b+@{RETURNS}",
    f"postmaster@{RETURNS}",
    f"victim@{RETURNS}.elsewhere.test",
    f"victim@elsewhere.test.{RETURNS}",
    f"SRS0=AAAAAAAA=AA=elsewhere.test=victim@{FORWARDS}",
    f"SRS0+AAAAAAAA=AA=elsewhere.test=victim@{FORWARDS}",
    f"srs0-========elsewhere.test=victim@{FORWARDS}",
    f"SRS1=AAAAAAAA=elsewhere.test==AAAAAAAA=AA=x.test=victim@{FORWARDS}",
    f"SRS0=AAAAAAAA=AA=elsewhere.test=victim@{RETURNS}",
    f"victim@{FORWARDS}",
    "victim@relay.test",
    "root@relay.test",
    "postmaster@relay.test",
    "postmaster",
    "root",
    "victim",
    "",
    "victim@[192.0.2.1]",
    "victim@[IPv6:2001:db8::1]",
    "victim@",
    "@elsewhere.test",
    "victim@elsewhere.test> <victim@elsewhere.test",
    f"b+{TOKEN}@{RETURNS}>,<victim@elsewhere.test",
    "|/bin/sh",
    '"|/bin/sh"@relay.test',
    ":include:/etc/passwd",
    '":include:/etc/passwd"@relay.test',
]
SENDERS = [
    "",
    VICTIM,
    "root@relay.test",
    f"b+{TOKEN}@{RETURNS}",
    f"SRS0=A=A=a.test=a@{FORWARDS}",
    f"app@{RETURNS}",
]


def test_no_spelling_of_an_address_relays(besieged: Besieged) -> None:
    """48 spellings from 6 senders; a return path that was made up is a refusal, too. Nothing is in the queue."""
    taken = []
    for number, sender in enumerate(SENDERS):
        for place in range(0, len(ADDRESSES), 12):
            with besieged.at(besieged.public, f"127.0.{number + 1}.{place + 1}") as client:
                assert client.mail(sender)[0] == 250
                for address in ADDRESSES[place : place + 12]:
                    code, text = client.docmd("RCPT", f"TO:<{address}>")
                    if code < 500:
                        taken.append((sender, address, code, text))
                assert client.docmd("DATA")[0] in (503, 554)
    assert not taken
    assert not [one for one in besieged.daemon.rows() if "elsewhere.test" in one.address]


def test_who_may_relay_sends_to_the_address_as_it_was_written(besieged: Besieged) -> None:
    """No address is read as another one: what has a percent or a quoted at sign goes to its domain, to the octet."""
    written = [
        "victim%elsewhere.test@kept.test",
        '"victim@elsewhere.test"@kept.test',
        "elsewhere.test!victim@kept.test",
        '"|/bin/sh"@kept.test',
        '":include:/etc/passwd"@kept.test',
    ]
    with besieged.at(besieged.daemon.port) as client:
        client.mail("app@app.test")
        assert [client.docmd("RCPT", f"TO:<{one}>")[0] for one in written] == [250] * len(written)
        assert client.docmd("RCPT", "TO:<@elsewhere.test:routed@kept.test>")[0] == 250
        assert client.data(CONTENT)[0] == 250
    wanted = {*written, "routed@kept.test"}
    eventually(lambda: wanted <= set(besieged.smarthost.rcpts), "all are relayed")


RELAY = (
    b"EHLO a.test\r\n",
    b"MAIL FROM:<app@app.test>\r\n",
    b"RCPT TO:<victim@elsewhere.test>\r\n",
)
DENIED = b"550 5.7.1 Relaying denied for your address"
PROXY = {
    "v1": b"PROXY TCP4 192.0.2.1 127.0.0.1 4000 25\r\n",
    "v1-ipv6": b"PROXY TCP6 ::1 ::1 4000 25\r\n",
    "v1-unknown": b"PROXY UNKNOWN\r\n",
    "v2": b"\r\n\r\n\x00\r\nQUIT\n\x21\x11\x00\x0c\xc0\x00\x02\x01\x7f\x00\x00\x01\x0f\xa0\x00\x19",
    "v2-local": b"\r\n\r\n\x00\r\nQUIT\n\x20\x00\x00\x00",
}


@pytest.mark.parametrize("header", PROXY)
@pytest.mark.parametrize("door", ["public", "proxied", "introduced"])
def test_who_is_no_proxy_is_not_believed(besieged: Besieged, door: str, header: str) -> None:
    """The header of the PROXY protocol comes from an address that is no proxy's."""
    with besieged.raw(getattr(besieged, door), "127.0.7.1") as sock:
        sock.sendall(PROXY[header])
        said = replies(sock, *RELAY)
    assert not [one for one in said if one.startswith(b"250 2.1.5")], said


@pytest.mark.parametrize(
    ("header", "last"),
    [
        (b"PROXY TCP4 192.0.2.1 127.0.0.1 4000 25\r\n", b"250 2.1.5 OK"),
        (b"PROXY TCP4 198.51.100.1 127.0.0.1 4000 25\r\n", DENIED),
        (b"PROXY TCP4 127.0.0.1 127.0.0.1 4000 25\r\n", DENIED),
        (b"PROXY TCP6 ::ffff:198.51.100.1 ::1 4000 25\r\n", DENIED),
        (b"PROXY UNKNOWN\r\n", DENIED),
        (PROXY["v2"], b"250 2.1.5 OK"),
        (PROXY["v2-local"], DENIED),
    ],
)
def test_a_proxy_gives_its_clients_their_own_rights(
    besieged: Besieged, header: bytes, last: bytes
) -> None:
    """Those of the address that it names; of one that it does not name, none."""
    with besieged.raw(besieged.proxied, "127.0.0.9") as sock:
        sock.sendall(header)
        assert replies(sock, *RELAY)[-1] == last


INTRODUCED = [
    (b"ADDR=192.0.2.1", b"250 2.1.5 OK"),
    (b"ADDR=198.51.100.1", DENIED),
    (b"ADDR=127.0.0.1", DENIED),
    (b"ADDR=[UNAVAILABLE]", DENIED),
    (b"NAME=localhost", DENIED),
    (b"LOGIN=app", DENIED),  # nobody can log in at that listener
    (b"ADDR=198.51.100.1 LOGIN=app", DENIED),
]


@pytest.mark.parametrize(("words", "last"), INTRODUCED)
def test_xclient_gives_the_rights_of_who_is_named(
    besieged: Besieged, words: bytes, last: bytes
) -> None:
    said = (b"EHLO a.test\r\n", b"XCLIENT " + words + b"\r\n", *RELAY)
    with besieged.raw(besieged.introduced, "127.0.0.9") as sock:
        assert replies(sock, *said)[-1] == last
    for door in (besieged.introduced, besieged.public, besieged.proxied):
        with besieged.raw(door, "127.0.7.2") as sock:  # it is no proxy
            assert not [
                one for one in replies(sock, *said) if one.startswith((b"250 2.1.5", b"220 2"))
            ]


@pytest.mark.parametrize(
    "offered",
    [
        f"\0{GUESSED}\0wrong",
        f"\0{GUESSED}\0",
        f"\0{GUESSED.upper()}\0{PASSWORD}",
        f"\0\0{PASSWORD}",
        f"\0nobody\0{PASSWORD}",
        f"root\0{GUESSED}\0{PASSWORD}",  # as somebody else
        f"\0{GUESSED}\0{PASSWORD}\0",
        f"\0{GUESSED}\0{PASSWORD}\n",
        f"\0{GUESSED} \0{PASSWORD}",
    ],
    ids=range(9),  # the name of a test is in the environment of what it starts: without a password
)
def test_no_other_words_log_in(besieged: Besieged, offered: str) -> None:
    with besieged.at(besieged.public, "127.0.8.1") as client:
        blob = base64.b64encode(offered.encode()).decode()
        code, _ = client.docmd("AUTH", f"PLAIN {blob}")
        assert code in (501, 535, 454), code
        client.mail("app@app.test")
        assert client.rcpt(VICTIM)[0] in (503, 550)


def test_who_logs_in_relays_and_loses_it_with_the_session(besieged: Besieged) -> None:
    with besieged.at(besieged.public, "127.0.8.2") as client:
        client.login(USER, PASSWORD)
        client.mail("app@app.test")
        assert client.rcpt("b@kept.test")[0] == 250
    with besieged.at(besieged.public, "127.0.8.2") as client:
        client.mail("app@app.test", ["AUTH=app"])  # RFC 4954 §5: somebody's word
        assert client.rcpt(VICTIM)[0] in (503, 550)


def test_sockets_of_the_machine_are_for_users_of_the_machine(besieged: Besieged) -> None:
    """The socket for mail is for every local user, that of operators and that of the console are not; all say so by their modes."""
    folder = besieged.daemon.folder
    modes = {
        path.name: path.stat().st_mode & 0o777 for path in folder.iterdir() if path.is_socket()
    }
    assert modes.pop("smtp.sock") == 0o666
    assert modes
    assert set(modes.values()) == {0o660}, modes


@pytest.mark.parametrize("program", ["EHLO", "HELO"])
def test_no_name_in_a_greeting_gives_a_right(besieged: Besieged, program: str) -> None:
    for name in ("relay.test", "localhost", "[127.0.0.1]", "192.0.2.1", "mx.elsewhere.test"):
        with besieged.raw(besieged.public, "127.0.7.3") as sock:
            said = replies(sock, f"{program} {name}\r\n".encode(), *RELAY[1:])
            assert said[-1] == DENIED


def test_sendmail_has_the_rights_of_its_caller(besieged: Besieged, tmp_path: Path) -> None:
    """It is a client like any other: where its caller may not relay, neither may it."""
    settings = tmp_path / "relayd.toml"
    settings.write_text(
        f'fqdn = "relay.test"\n[store]\nurl = "sqlite:{tmp_path}/queue.db"\n'
        f'[[listen]]\naddress = "127.0.0.1:{besieged.public}"\n'
    )
    for options in ((), ("-f", "root@relay.test"), ("-f", "<>"), ("-t",)):
        ran = relayd_process.run(
            "-c",
            str(settings),
            "sendmail",
            *options,
            VICTIM,
            typed=f"To: {VICTIM}\n\nx\n",
            timeout=15,
        )
        assert ran.returncode != 0
        assert "Relaying denied" in ran.stderr, ran.stderr
