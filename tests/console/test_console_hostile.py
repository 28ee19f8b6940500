"""What strangers wrote, in every field that a page shows: it is text there, and a word in a shell."""

import re
import shlex
from collections.abc import Iterator, Sequence
from html import unescape
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import quote, urlencode

import pytest

from relayd.console.render import STATIC
from relayd.console.routes import PAGES
from relayd.mail.operator import Action
from relayd.mail.suppression import ToSuppress
from relayd.mail.text import is_shown
from relayd.policy.console.roles import Role
from relayd.ports.outbox import TOLD, Subscription
from relayd.ports.people import Author, Deed
from relayd.ports.queue import QueueStore
from relayd.ports.view import Query
from tests.support.builders import a_bounce, a_deferral, a_message, a_settlement
from tests.support.cli_world import enqueue
from tests.support.clock import START
from tests.support.console import Console, a_console
from tests.support.workers import registered

EVIL = "\"'><img src=x onerror=alert(1)><script>alert(2)</script>`id`\u202e\x1b[2J"
QUOTED = '"\'><img src=x onerror=alert(1)>"@shop.example'
SHELL = "`id`$HOME|x&y'z@shop.example"
ANNA = Author(by=f"anna{EVIL} (console)", client=EVIL)


async def fill(store: QueueStore) -> None:
    message = a_message(
        SHELL,
        QUOTED,
        "later@mail.example",
        reverse_path='"\'><img src=x>"@app.test',
        message_id_header=f"<{EVIL}@app.test>",
        tag=EVIL,
        auth_user=EVIL,
        client_ip="192.0.2.1",
    )
    await enqueue(store, message)
    worker = await registered(store, "worker")
    for work in await store.claim(worker, limit=100, lease_for=START - START.replace(hour=0)):
        await store.settle(
            work.lease,
            [
                a_settlement(
                    message.id,
                    one.number,
                    a_bounce() if one.number < 2 else a_deferral(START.replace(year=2027)),
                    code=550,
                    enhanced="5.1.1",
                    reply=f"550 5.1.1 {EVIL}",
                )
                for one in work.recipients
            ],
        )
    held = Query(recipient=("later@mail.example",))
    await store.act(held, Action.HOLD, by=f"anna{EVIL}", reason=EVIL)
    for address in (SHELL, QUOTED):
        await store.suppress([ToSuppress(address=address, reason=EVIL)], by=f"anna{EVIL}")
    await store.people.note(Deed(EVIL, EVIL, EVIL), author=ANNA)
    wanted = Subscription(url="https://app.test/?a='><img>", kinds=TOLD, tags=(EVIL,))
    await store.outbox.put_endpoint(wanted, author=ANNA)


@pytest.fixture(scope="module")
def console(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Console]:
    with a_console(tmp_path_factory.mktemp("console"), fill) as console:
        yield console


class Seen(HTMLParser):
    """What a browser would make of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.links: list[str] = []
        self.texts: list[str] = []
        self.scripts = 0
        self._is_input = False
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: Sequence[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}
        self.scripts += tag == "script"
        self._is_input = tag == "textarea"  # what is typed there goes back as it came
        given = dict(attrs)
        self.links += [given[name] or "" for name in ("href", "action", "src") if name in given]

    def handle_data(self, data: str) -> None:
        if not self._is_input:
            self.texts.append(data)


def pages(console: Console) -> list[str]:
    listed = console.get("/messages", role=Role.ADMIN).text
    one = re.search(r'href="(/messages/[0-9A-Z]{13})"', listed)
    assert one is not None
    given = urlencode(dict.fromkeys(("q", "tag", "sender", "user", "since", "by", "show"), EVIL))
    return [
        *(
            "/",
            "/messages",
            "/addresses",
            "/addresses?show=suppressed",
            "/destinations",
            "/bounces",
        ),
        *(
            "/bounces?by=sender",
            "/bounces?by=domain",
            "/settings",
            "/doctor",
            "/test-mail",
            "/users",
        ),
        *("/keys", "/webhooks", "/webhooks/1", "/audit", "/password", one[1]),
        f"/addresses/{quote(SHELL)}",
        f"/addresses/{quote(QUOTED)}",
        f"/addresses/{quote(EVIL)}",
        f"/users/{quote(EVIL)}",
        f"/destinations/{quote(f'mx:{EVIL}')}",
        f"/messages?tag={quote(EVIL)}",
        f"/addresses?q={quote(SHELL)}",
        *(f"{path}?{given}" for path in ("/messages", "/addresses", "/audit", "/bounces", "/")),
    ]


def check(text: str) -> None:
    seen = Seen(text)
    assert not seen.tags & {"img", "iframe", "object", "embed", "style", "base"}
    assert seen.scripts == 1  # ours
    assert not [name for name in seen.attributes if name.startswith("on") or name == "style"]
    assert all(link.startswith(("/", "?", "#")) and link[:2] != "//" for link in seen.links)
    assert not [each for each in seen.texts if not is_shown(each.replace("\n", " "))]


def test_what_strangers_wrote_is_text_on_every_page(console: Console) -> None:
    for path in pages(console):
        page = console.get(path, role=Role.ADMIN)
        assert page.status in {200, 404}, path
        check(page.text)


@pytest.mark.parametrize(
    ("path", "form"),
    [
        ("/login", {"name": EVIL, "password": "x", "next": EVIL}),
        ("/addresses/import", {"list": f"{EVIL}\n{QUOTED}\n", "reason": EVIL}),
        ("/addresses/suppress", {"rcpt": EVIL, "reason": "x"}),
        ("/messages/act", {"row": EVIL, "action": "hold"}),
        ("/messages/act", {"all": "1", "action": "hold", "back": f"?tag={quote(EVIL)}"}),
        (
            "/messages/act",
            {"all": "1", "action": "drop", "back": f"?x={EVIL}&status=held", "reason": EVIL},
        ),
        ("/test-mail", {"to": EVIL, "from": EVIL}),
        ("/users", {"name": EVIL, "role": "viewer", "password": "12345678"}),
        ("/keys", {"name": "x", "scope": EVIL}),
        ("/keys", {"name": "x", "scope": "read", "senders": EVIL}),
        ("/keys", {"name": "x", "scope": "read", "days": EVIL}),
        ("/webhooks", {"url": EVIL, "events": "bounced"}),
        ("/webhooks", {"url": "https://x.test/", "events": EVIL}),
        ("/settings", {"to_fqdn": EVIL, "was_fqdn": "relay.example.org"}),
        ("/settings/confirm", {"to_fqdn": EVIL, "was_fqdn": "relay.example.org"}),
    ],
)
def test_what_a_form_gives_back_is_text(console: Console, path: str, form: dict[str, str]) -> None:
    role = None if path == "/login" else Role.ADMIN
    page = console.post(path, role=role, form=form)
    assert page.status < 500
    check(page.text)


def commands(text: str) -> list[list[str]]:
    found = re.findall(r'<code tabindex="0">(.*?)</code>', text, re.DOTALL)
    return [shlex.split(unescape(line)) for line in found]


@pytest.mark.parametrize(
    ("path", "words"),
    [
        (f"/addresses/{quote(SHELL)}", ["relayd", "addresses", "unsuppress", SHELL]),
        (
            f"/addresses?show=all&q={quote(SHELL)}",
            ["relayd", "addresses", "--recipient", SHELL],
        ),
        (
            f"/messages?recipient={quote(SHELL)}",
            ["relayd", "status", "--recipient", SHELL],
        ),
    ],
)
def test_a_command_has_what_strangers_wrote_as_one_word(
    console: Console, path: str, words: list[str]
) -> None:
    """It is pasted into a shell, by root perhaps: `id` in an address must not run there."""
    page = console.get(path, role=Role.ADMIN)
    assert commands(page.text) == [words]
    line = unescape(re.findall(r'<code tabindex="0">(.*?)</code>', page.text)[0])
    assert line.count("'") >= 2


def test_a_command_is_given_as_words() -> None:
    """So that there is one place that quotes."""
    templates = STATIC.parent / "templates"
    given = [
        each
        for path in sorted(templates.glob("*.html"))
        for each in re.findall(r"ui\.command\((.*?)\) *}}", Path(path).read_text())
    ]
    assert given
    assert all(each.startswith("[") or each in ("command", "filters.command") for each in given)
    assert not any("~" in each for each in given)


ODD = [
    "9" * 30,
    "9" * 5000,
    "-1",
    "0CNSP4QE20400." + "9" * 30,
    "\x00",
    "٣",
    "1e9",
    "0001-01-01",
    "%",
]
NAMES = ["before", "after", "limit", "since", "until", "q", "show", "by", "client", "done", "count"]
CLASHING = ["path", "self", "query", "request", "template", "status"]


@pytest.mark.parametrize("path", [page.path for page in PAGES if page.method == "GET"])
def test_no_value_in_an_address_is_an_error_of_ours(console: Console, path: str) -> None:
    place = re.compile(r"\{.*?\}")
    for odd in ODD:
        where = place.sub(quote(odd, safe=""), path)
        assert console.get(where, role=Role.ADMIN).status < 500, where
        given = urlencode({**dict.fromkeys((*NAMES, *CLASHING), odd[:99]), "done": "hold"})
        where = f"{place.sub('1', path)}?{given}"
        assert console.get(where, role=Role.ADMIN).status < 500, where
        for name in NAMES:
            where = f"{place.sub('1', path)}?{urlencode({name: odd})}"
            assert console.get(where, role=Role.ADMIN).status < 500, where


@pytest.mark.parametrize("odd", ODD)
def test_no_value_in_a_form_is_an_error_of_ours(console: Console, odd: str) -> None:
    names = ("name", "id", "row", "before", "changed", "per_minute", "days", "delivery", "rcpt")
    more = ("reason", "senders", "networks", "to", "from", "to_fqdn", "was_fqdn", "url", "tags")
    for page in PAGES:
        if page.method != "POST" or page.path in {
            "/logout",
            "/users/remove",
            "/webhooks/{number:count}/remove",
        }:
            continue
        back = f"?path=1&self=2&tag=none&status={odd}"
        form = {**dict.fromkeys((*names, *more), odd), "action": "hold", "back": back}
        path = re.sub(r"\{.*?\}", "1", page.path)
        for extra in ({}, {"back": "?path=1&self=1&tag=none", "reason": "x", "all": ""}):
            answer = console.post(path, role=Role.ADMIN, form={**form, **extra})
            assert answer.status < 500, path


SAME = {"Sec-Fetch-Site": "same-origin"}
URLENCODED = "application/x-www-form-urlencoded"
MULTIPART = "multipart/form-data; boundary=b"
PART = '--b\r\nContent-Disposition: form-data; name="name"\r\n\r\n{}\r\n--b--\r\n'


@pytest.mark.parametrize(
    ("kind", "status"),
    [
        (MULTIPART, 403),  # it is read, and the password is wrong
        (f"{MULTIPART}; charset=punycode", 415),
        (f"{MULTIPART}; charset=idna", 415),
        (f"{MULTIPART}; charset*=utf-8''punycode", 415),
        (f"{MULTIPART}; charset*0=puny; charset*1=code", 415),
        ("multipart/form-data; charset=unicode_escape; boundary=b", 415),
        (MULTIPART + ";" * 50_000, 415),  # the parser would take seconds
        ("multipart/form-data", 415),
        ("application/x-www-form-urlencoded; charset=utf-7", 415),
        ("application/x-www-form-urlencoded; charset=UTF-8", 403),
        ("application/json", 415),
    ],
)
def test_a_form_is_as_a_browser_sends_it(kind: str, status: int, console: Console) -> None:
    """Else a stranger names a decoder that takes minutes, and all wait for it."""
    body = PART.format("xn--" + "a" * 1000)
    page = console.request("POST", "/login", body, {**SAME, "Content-Type": kind})
    assert page.status == status


@pytest.mark.parametrize(
    "body", ["a=1&" * 300, PART.format("x").replace("name=", "nam=") + PART[:20]]
)
def test_a_broken_form_is_no_error_of_ours(body: str, console: Console) -> None:
    kind = MULTIPART if body.startswith("--b") else URLENCODED
    page = console.request("POST", "/login", body, {**SAME, "Content-Type": kind})
    assert page.status == 400
