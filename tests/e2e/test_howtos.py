"""The how-tos work as they are written: their commands run, and print what they show."""

import base64
import os
import re
import shutil
import smtplib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from _pytest.mark.structures import ParameterSet

from relayd.policy.oauth2.grants import JWT_BEARER
from relayd.ports.view import Status
from tests.support.background import Background
from tests.support.certificates import Authority
from tests.support.daemon import ROOT, eventually
from tests.support.dns_server import DnsServer
from tests.support.howto import PAGES, Block, Howto, Users, a_howto, blocks_of
from tests.support.other_users import DAEMON, a_folder_for_all, needs_open_code
from tests.support.ports import free_port
from tests.support.scripted_server import CLOSE, InTurn, Script, ScriptedServer
from tests.support.service_account import key_file
from tests.support.steady_client import a_steady_client
from tests.support.token_server import TokenServer, granted

OF_THE_QUEUE = {"backup", "move", "upgrade"}
Servers = Mapping[str, Mapping[str, object]]
_PROGRAMS = ("curl", "jq")  # which a page may use, and not every machine has


@dataclass(slots=True)
class World:
    """The servers of one page, and what is looked at afterwards."""

    background: Background
    authority: Authority
    servers: Servers = field(default_factory=dict)
    smarthost: ScriptedServer | None = None
    tokens: TokenServer | None = None
    elsewhere: Mapping[str, str] = field(default_factory=dict)  # where the hosts of the page are

    def a_smarthost(self, script: Script | None = None, *, tls: bool = False) -> str:
        context = self.authority.server_context("127.0.0.1") if tls else None
        self.smarthost = self.background.enter(ScriptedServer(script, tls=context))
        return f"127.0.0.1:{self.smarthost.port}"


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    authority = Authority(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", authority.cafile)  # whom the daemon trusts
    monkeypatch.setenv("HOME", str(tmp_path))
    with Background() as background:
        yield World(background, authority)


def _smarthost(world: World) -> None:
    world.servers = {"smarthost": {"hosts": [world.a_smarthost(_auth("PLAIN"), tls=True)]}}


def _auth(mechanism: str, **more: str) -> Script:
    return {"EHLO": ["STARTTLS", f"AUTH {mechanism}"], **more}


def _logged_in(world: World) -> None:
    assert world.smarthost is not None
    login = base64.b64encode(b"\0app@example.org\0the password").decode()
    assert f"AUTH PLAIN {login}" in world.smarthost.dialog


def _oauth2(world: World) -> None:
    world.servers = {"smarthost": {"hosts": [world.a_smarthost(_auth("XOAUTH2"), tls=True)]}}


def _token(token: str) -> str:
    text = f"user=app@example.org\1auth=Bearer {token}\1\1"
    return f"AUTH XOAUTH2 {base64.b64encode(text.encode()).decode()}"


def _both_tokens(world: World) -> None:
    assert world.smarthost is not None
    logins = [line for line in world.smarthost.dialog if line.startswith("AUTH ")]
    assert logins == [_token("ya29.the-first-token"), _token("ya29.the-second-token")]


def _several(world: World) -> None:
    newsletter = world.a_smarthost(_auth("PLAIN"), tls=True)
    world.elsewhere = {
        "smtp.newsletter.example:587": newsletter,
        "mail.example.org:25": world.a_smarthost(),
        "relay.partner.example:25": world.a_smarthost(),
    }


def _token_server(world: World) -> None:
    """Who gives tokens, and a smarthost that takes them."""
    context = world.authority.server_context("127.0.0.1")
    world.tokens = world.background.enter(TokenServer(context, [granted("the-token")]))
    _oauth2(world)
    smarthost = {**world.servers["smarthost"], "oauth2_token_url": world.tokens.url}
    world.servers = {"smarthost": smarthost}
    (Path(os.environ["HOME"]) / "google-key.json").write_text(key_file())


def _as_the_application(world: World) -> None:
    _with_its_token(world, "client_credentials")
    assert world.tokens is not None
    assert world.tokens.forms[0]["client_secret"] == "the-value-of-the-secret"


def _as_the_service_account(world: World) -> None:
    _with_its_token(world, JWT_BEARER)


def _with_its_token(world: World, grant: str) -> None:
    assert world.tokens is not None
    assert world.smarthost is not None
    assert [form["grant_type"] for form in world.tokens.forms] == [grant]
    assert _token("the-token") in world.smarthost.dialog


def _direct(world: World) -> None:
    zones = {"example.net": {"MX": ["10 mx.example.net."]}, "mx.example.net": {"A": ["127.0.0.1"]}}
    dns = world.background.enter(DnsServer(zones))
    mx = world.background.enter(ScriptedServer())
    world.servers = {
        "dns": {"nameservers": [str(dns.endpoint)]},
        "direct": {"port": mx.port, "allow_networks": ["127.0.0.0/8"]},
    }


def _plain(world: World) -> None:
    world.servers = {"smarthost": {"hosts": [world.a_smarthost()]}}


def _redirected(world: World) -> None:
    assert world.smarthost is not None
    rcpts = [message.rcpts for message in world.smarthost.messages]
    assert [len(each) for each in rcpts] == [1, 1]
    assert "<staging-inbox@example.org>" in rcpts[0][0]
    assert "<qa@example.org>" in rcpts[1][0]
    assert all(
        b"\r\nX-Environment: staging\r\n" in each.content for each in world.smarthost.messages
    )


def _by_ses(world: World) -> None:
    assert world.smarthost is not None
    login = base64.b64encode(b"\0AKIAIOSFODNN7EXAMPLE\0the password").decode()
    assert f"AUTH PLAIN {login}" in world.smarthost.dialog
    [message] = world.smarthost.messages
    assert message.mail.startswith("FROM:<app@example.org>")
    assert b"\r\nX-SES-CONFIGURATION-SET: relay\r\n" in message.content


def _refusing(world: World) -> None:
    script: Script = {"RCPT TO:<gone@example.com>": "550 5.1.1 No such user here"}
    world.servers = {"smarthost": {"hosts": [world.a_smarthost(script)]}}


def _down(world: World) -> None:
    world.servers = {"smarthost": {"hosts": [world.a_smarthost({"GREETING": "421 4.3.2 Later"})]}}


def _a_day(world: World) -> None:
    """A smarthost at which a day has all that the page asks about, and the one of tomorrow."""
    relaying = InTurn(*["550 5.7.1 Relaying denied"] * 200, "250 2.1.5 Ok")
    script: Script = {
        "RCPT TO:<gone@example.com>": "550 5.1.1 No such user here",
        "RCPT TO:<cara@example.net>": InTurn("451 4.7.1 Come back later", "250 2.1.5 Ok"),
        "RCPT TO:<customer": relaying,
        "DOT": InTurn(CLOSE, "250 2.0.0 Ok"),
    }
    world.servers = {"smarthost": {"hosts": [world.a_smarthost(script)]}}
    world.elsewhere = {
        "mail.example.org:587": world.a_smarthost(_auth("PLAIN"), tls=True),
        "127.0.0.1:9725": f"127.0.0.1:{free_port()}",
    }


def _mail_of_the_day(howto: Howto) -> None:
    """Two apps send; the smarthost hangs up at the first dot, and refuses to relay 200 mails."""
    with smtplib.SMTP("127.0.0.1", howto.port) as client:

        def send(sender: str, *recipients: str, name: str = "") -> None:
            header = f"Message-ID: <{name or recipients[0]}>\r\nSubject: Your order\r\n\r\n"
            client.sendmail(sender, recipients, f"{header}Thank you for your order.\r\n")

        send("shop@example.org", "ben@example.com", name="order-1002@example.org")
        eventually(lambda: _statuses(howto) == {Status.DEFERRED: 1}, "it was tried")
        howto.run("relayd queue expedite --recipient ben@example.com", [])
        eventually(lambda: _statuses(howto) == {Status.RELAYED: 1}, "it was tried again")
        send("shop@example.org", "ann@example.com", name="order-1001@example.org")
        send("shop@example.org", "cara@example.net", name="order-1003@example.org")
        send("news@example.org", "gone@example.com", name="order-1004@example.org")
        for hundred in (0, 100):
            customers = (f"customer{hundred + n}@example.org" for n in range(100))
            send("news@example.org", *customers)
    done = {Status.BOUNCED: 201, Status.DEFERRED: 1, Status.RELAYED: 5}  # with three reports
    eventually(lambda: _statuses(howto) == done, "all was tried")


def _statuses(howto: Howto) -> Mapping[Status, int]:
    return Counter(row.status for row in howto.every_row())


def _nothing(_: World) -> None: ...


@contextmanager
def _clients(howto: Howto) -> Iterator[None]:
    """Mail comes in all the time: none is refused, and none is lost."""
    with a_steady_client(howto.port) as client:
        yield
    assert client.accepted
    assert set(client.accepted) <= {row.address for row in howto.every_row()}


MEANWHILE: Mapping[str, Callable[[Howto], AbstractContextManager[None]]] = {"upgrade": _clients}
_BY_ROOT, _BY_ITSELF = Users(daemon=DAEMON), Users(daemon=DAEMON, commands=DAEMON)


def _cases() -> Iterator[ParameterSet]:
    """Each page; those about the queue file with a daemon that is not root, where the tests may do that."""
    for page in PAGES:
        commands = "".join(block.text for block in blocks_of(page))
        marks = [
            pytest.mark.skipif(shutil.which(name) is None, reason=f"{name} is not installed")
            for name in _PROGRAMS
            if f"{name} -" in commands
        ]
        if page.stem in OF_THE_QUEUE and os.geteuid() == 0:
            marks.append(needs_open_code)
            yield pytest.param(page, _BY_ROOT, id=f"{page.stem}-as-root", marks=marks)
            if page.stem == "backup":
                yield pytest.param(page, _BY_ITSELF, id=f"{page.stem}-as-relayd", marks=marks)
        else:
            yield pytest.param(page, Users(), id=page.stem, marks=marks)


Step = Callable[[World], None]
STEPS: Mapping[str, tuple[Step, Step]] = {
    "amazon-ses": (_smarthost, _by_ses),
    "backup": (_down, _nothing),
    "bounce": (_refusing, _nothing),
    "container": (_plain, _nothing),
    "day": (_a_day, _nothing),
    "direct": (_direct, _nothing),
    "dkim": (_plain, _nothing),
    "google-workspace": (_token_server, _as_the_service_account),
    "microsoft-365": (_token_server, _as_the_application),
    "move": (_down, _nothing),
    "oauth2": (_oauth2, _both_tokens),
    "several-smarthosts": (_several, _nothing),
    "smarthost": (_smarthost, _logged_in),
    "socket": (_plain, _nothing),
    "staging": (_plain, _redirected),
    "troubleshooting": (_plain, _nothing),
    "upgrade": (_plain, _nothing),
}


@pytest.mark.timeout(120)
@pytest.mark.parametrize(("page", "users"), [*_cases()])
def test_a_howto_works_as_written(page: Path, users: Users, world: World) -> None:
    begin, end = STEPS[page.stem]
    filling = {"day": _mail_of_the_day}  # once the daemon runs
    begin(world)
    meanwhile = MEANWHILE.get(page.stem, nullcontext)
    with (
        a_folder_for_all() as folder,
        a_howto(page, folder / "host", users, world.elsewhere) as howto,
        meanwhile(howto),
    ):
        for number, block in enumerate(howto.blocks):
            following = howto.blocks[number + 1 : number + 2]
            prints = _lines(following[0]) if following and following[0].kind == "prints" else []
            match block.kind:
                case "settings":
                    howto.settle(block.text, world.servers)
                case "run":
                    howto.run(block.text, prints)
                    if fill := filling.pop(page.stem, None):
                        fill(howto)
                case "terminal":
                    howto.on_a_terminal(block.text, prints)
                case "look":
                    howto.look(block.text, prints)
                case _:
                    pass  # what the block before prints
        end(world)
        if users.daemon is not None:
            owners = {path.stat().st_uid for path in howto.state.rglob("*")}
            assert owners == {users.daemon.uid}


def _lines(block: Block) -> list[str]:
    return block.text.splitlines()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_howto_has_settings_and_commands(page: Path) -> None:
    kinds = [block.kind for block in blocks_of(page)]
    assert kinds[0] == "settings"
    assert kinds.count("settings") == 1
    assert "run" in kinds


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_relay_that_runs_already_is_made_to_read_its_settings(page: Path) -> None:
    """`start` would do nothing then; it is for what was stopped before."""
    verbs = re.findall(r"^systemctl (\S+) relayd$", page.read_text(), re.MULTILINE)
    for number, verb in enumerate(verbs):
        assert verb != "start" or "stop" in verbs[:number]


def test_the_socket_unit_gives_the_commands_of_its_page_in_their_order() -> None:
    """Its comment is what people read first; the order is tried above."""
    comment = (ROOT / "systemd/relayd.socket").read_text().partition("[Unit]")[0]
    told = [line.removeprefix("#").split() for line in comment.splitlines()]
    page = (ROOT / "docs/howto/socket.md").read_text()
    there = [line.split() for line in page.partition("systemctl stop relayd\n")[2].splitlines()[:5]]
    orders = [words for words in told if words[:1] in (["systemctl"], ["relayd"], ["install"])]
    assert [words[:4] for words in orders[1:]] == [words[:4] for words in there]
    assert orders[0] == ["systemctl", "stop", "relayd"]
