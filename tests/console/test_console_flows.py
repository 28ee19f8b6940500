"""What people do at the console, in Chromium beside a real daemon: from the form to the words of the other server."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from subprocess import Popen

import pytest
from playwright.sync_api import Browser, BrowserContext, Locator, Page, expect

from relayd.cli.demo.live import CONSOLE, Entrance, console_beside
from relayd.cli.demo.relay import Relay
from relayd.cli.demo.servers import Script as DemoScript
from tests.support.browsers import (
    IN_A_BROWSER,
    a_browser,
    a_context,
    fill_login,
    said_by,
    violations,
)
from tests.support.console import PASSWORD
from tests.support.daemon import Daemon, a_smarthost, eventually
from tests.support.ports import free_port
from tests.support.scripted_server import Script
from tests.support.webhook_receiver import Receiver

pytestmark = IN_A_BROWSER

FULL = "452 4.2.2 the inbox of later is full"
GONE = "550 5.1.1 nobody of that name lives here"
TAKEN = "250 2.0.0 taken by the smarthost as 4711"
SCRIPT: Script = {
    "RCPT TO:<later@mail.test>": FULL,
    "RCPT TO:<gone@shop.test>": GONE,
    "DOT": TAKEN,
}
SETTINGS = """
[webhooks]
allow_http = true
ports = [{receiver}]
allow_networks = ["127.0.0.0/8"]
"""
Look = tuple[str, int, bool]  # the colours, the width, and if scripts run
WIDE: Look = ("light", 1280, True)
# Light and dark, wide and narrow, with and without scripts.
LOOKS: list[Look] = [WIDE, ("dark", 320, True)]
PLAIN: list[Look] = [("dark", 1280, False), ("light", 320, False)]  # slow: minutes more


class World:
    """A daemon, its smarthost, the console as a process, a receiver of webhooks, and a browser."""

    def __init__(
        self, daemon: Daemon, entrance: Entrance, receiver: Receiver, browser: Browser
    ) -> None:
        self.daemon = daemon
        self.entrance = entrance
        self.receiver = receiver
        self.browser = browser

    def context(self, look: Look = WIDE) -> BrowserContext:
        scheme, width, scripts = look
        port = int(self.entrance.url.rstrip("/").rpartition(":")[2])
        return a_context(
            self.browser,
            port,
            color_scheme=scheme,
            java_script_enabled=scripts,
            viewport={"width": width, "height": 800},
        )


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder, port = tmp_path_factory.mktemp("flows"), free_port()
    with a_smarthost(SCRIPT) as smarthost, a_receiver() as receiver, a_browser() as browser:
        more = CONSOLE.format(port=port) + SETTINGS.format(receiver=receiver.port)
        daemon = Daemon(folder, smarthost.port, workers=1, more=more)
        text = daemon.file.read_text().replace('soft_bounce = ["1s"]', 'soft_bounce = ["1h", "1h"]')
        daemon.file.write_text(text)
        try:
            daemon.up("env")
            assert isinstance(daemon.process, Popen)
            nothing = DemoScript(rcpt={}, dot={})
            relay = Relay("", (), folder, daemon.port, daemon.process, nothing)
            with console_beside(relay, port) as entrance:
                yield World(daemon, entrance, receiver, browser)
        finally:
            daemon.close()


@contextmanager
def a_receiver() -> Iterator[Receiver]:
    """One that takes all, in a thread of its own."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    receiver = Receiver()
    asyncio.run_coroutine_threadsafe(receiver.__aenter__(), loop).result(15)
    try:
        yield receiver
    finally:
        asyncio.run_coroutine_threadsafe(receiver.__aexit__(None, None, None), loop).result(15)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(15)
        loop.close()


@pytest.fixture(
    params=[*LOOKS, *(pytest.param(each, marks=pytest.mark.slow) for each in PLAIN)],
    ids=lambda look: f"{look[0]}-{look[1]}{'' if look[2] else '-plain'}",
)
def page(request: pytest.FixtureRequest, world: World) -> Iterator[Page]:
    """A page of an admin; in the end no policy was broken and no script failed."""
    context = world.context(request.param)
    page = context.new_page()
    said = said_by(page)
    log_in(page, world.entrance.name, world.entrance.password)
    yield page
    assert not violations_of(page)
    assert not said
    context.close()


def log_in(page: Page, name: str, password: str) -> None:
    page.goto("/")
    fill_login(page, name, password)
    expect(page.locator("summary", has_text=name)).to_be_visible()


def runs_scripts(page: Page) -> bool:
    return page.locator("[data-keys]").get_attribute("hidden") is None


def violations_of(page: Page) -> list[str]:
    page.wait_for_load_state()  # a script has said by then that it runs
    return violations(page, scripts=runs_scripts(page))


def see(page: Page, place: Locator) -> None:
    """Wait until it is shown: by itself, or, where no script renews the page, by loading it again."""
    page.wait_for_load_state()
    if runs_scripts(page):
        expect(place).to_be_visible()
        return

    def is_there() -> bool:
        page.reload()
        return place.count() > 0

    eventually(is_there, "it is on the page")


def message_page(page: Page, world: World, *recipients: str, status: str) -> None:
    """Send mail, and open its page once it has that status."""
    queue_id = world.daemon.send(*recipients)

    def has_it() -> bool:
        page.goto(f"/messages/{queue_id}")
        return page.locator("h2 .status", has_text=status).count() == len(recipients)

    eventually(has_it, status)


def status_of(page: Page, word: str) -> Locator:
    return page.locator("section.recipient h2 .status", has_text=word)


def test_a_test_mail_arrives_with_the_words_of_the_smarthost(page: Page) -> None:
    page.goto("/test-mail")
    assert not violations_of(page)
    page.get_by_label("To").fill("you@mail.test")
    page.get_by_role("button", name="Send").click()
    expect(page.get_by_role("status")).to_have_text("Sent. This page shows what becomes of it.")
    see(page, status_of(page, "relayed"))
    expect(page.get_by_text("This is its final status.")).to_be_visible()
    expect(page.get_by_role("list", name="History")).to_contain_text(TAKEN)


def test_a_bounced_mail_is_found_by_its_address(page: Page, world: World) -> None:
    world.daemon.send("gone@shop.test")
    eventually(lambda: world.daemon.statuses().get("gone@shop.test") == "bounced", "bounced")
    page.goto("/")
    page.get_by_role("searchbox", name="Search by").fill("gone@shop.test")
    page.keyboard.press("Enter")
    row = page.locator("tbody tr").first
    expect(row).to_contain_text("bounced")
    expect(row).to_contain_text(GONE)
    assert not violations_of(page)
    row.locator("th a").click()
    expect(page.get_by_role("list", name="History")).to_contain_text(f"rcpt: {GONE}")
    page.get_by_role("link", name="gone@shop.test").first.click()
    expect(page.get_by_role("heading", level=1)).to_have_text("gone@shop.test")
    expect(page.locator("dl.now")).to_contain_text("bounced")


def test_what_waits_is_held_released_and_bounced(page: Page, world: World) -> None:
    message_page(page, world, "later@mail.test", status="deferred")
    expect(page.locator(".waits")).to_contain_text(FULL)
    page.get_by_role("button", name="Hold").click()
    expect(page.get_by_role("status")).to_have_text("Held: 1.")
    expect(status_of(page, "held")).to_be_visible()
    assert not violations_of(page)
    page.get_by_role("button", name="Release").click()
    expect(page.get_by_role("status")).to_have_text("Released: 1.")
    see(page, status_of(page, "deferred"))
    page.get_by_label("Reason (for bounce and drop)").fill("the customer moved")
    page.get_by_role("button", name="Bounce").click()
    expect(page.get_by_role("status")).to_have_text("Bounced: 1.")
    expect(status_of(page, "bounced")).to_be_visible()
    expect(page.get_by_role("list", name="History")).to_contain_text("by demo (console)")
    expect(page.get_by_role("list", name="History")).to_contain_text("the customer moved")


def test_what_waits_is_tried_now(page: Page, world: World) -> None:
    message_page(page, world, "later@mail.test", status="deferred")
    page.get_by_role("button", name="Try now").click()
    expect(page.get_by_role("status")).to_have_text("To be tried now: 1.")
    see(page, page.get_by_text("attempt 2", exact=True))


def test_all_that_match_are_dropped_after_a_question(page: Page, world: World) -> None:
    message_page(page, world, "later@mail.test", status="deferred")
    page.goto("/messages?recipient=later%40mail.test&unfinished=1")
    page.get_by_label("all that match, not only the selected").check()
    page.get_by_role("button", name="Drop…").click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("Drop:")
    expect(page.get_by_text("This cannot be undone.")).to_be_visible()
    assert not violations_of(page)
    page.get_by_label("Reason").fill("sent by mistake")
    page.get_by_role("button", name="Drop").click()
    expect(page.get_by_role("status")).to_contain_text("Dropped:")
    assert "later@mail.test" not in {
        row.address for row in world.daemon.rows() if row.status == "deferred"
    }


def test_what_bounced_is_requeued_as_a_new_message(page: Page, world: World) -> None:
    message_page(page, world, "gone@shop.test", status="bounced")
    requeue = page.locator("form[action$='/requeue']")
    requeue.get_by_label("Reason").fill("the address is there again")
    requeue.get_by_role("button", name="Requeue what bounced").click()
    expect(page.get_by_role("status")).to_contain_text("Requeued as new messages: 1")
    expect(status_of(page, "bounced")).to_be_visible()
    page.get_by_text("requeued as").get_by_role("link").click()
    see(page, status_of(page, "bounced"))
    expect(page.get_by_role("list", name="History")).to_contain_text("requeued from")


def test_a_webhook_is_made_told_and_told_again(page: Page, world: World) -> None:
    receiver = world.receiver
    page.goto("/webhooks")
    assert not violations_of(page)
    page.get_by_label("URL").fill(f"http://127.0.0.1:{receiver.port}/hook")
    page.get_by_role("button", name="Add").click()
    expect(page.locator("main code")).to_contain_text("whsec_")
    page.get_by_role("link", name="To the webhook").click()
    before = len(receiver.requests)
    page.get_by_role("button", name="Send a test").click()
    expect(page.get_by_role("status")).to_contain_text("A test is on its way")
    eventually(lambda: len(receiver.requests) > before, "the receiver was told")
    assert receiver.requests[-1].data["type"] == "relayd.test"
    queue_id = world.daemon.send("you@mail.test")
    row = page.locator("tbody tr", has_text=queue_id).filter(has_text="relayed")

    def is_done() -> bool:
        page.reload()
        return row.locator(".status", has_text="done").count() == 1

    eventually(is_done, "its delivery is done")
    assert not violations_of(page)
    before = len(receiver.requests)
    row.get_by_role("button", name="again").click()
    expect(page.get_by_role("status")).to_have_text("To be sent again: 1.")
    eventually(lambda: len(receiver.requests) > before, "the receiver was told again")
    assert receiver.requests[-1].data["data"]["queue_id"] == queue_id
    page.locator("summary", has_text="Change it").click()
    page.get_by_role("button", name="Remove webhook").click()
    expect(page.get_by_role("status")).to_have_text("Webhooks removed: 1.")


SEEN = {
    "viewer": {"Overview", "Messages", "Addresses", "Destinations", "Bounces", "Doctor"},
    "operator": {"Overview", "Messages", "Addresses", "Destinations", "Bounces", "Doctor"}
    | {"Test mail"},
}


@pytest.mark.parametrize("role", ["viewer", "operator"])
def test_an_admin_lets_somebody_in_who_may_what_the_role_says(
    role: str, page: Page, world: World, request: pytest.FixtureRequest
) -> None:
    look: Look = request.node.callspec.params["page"]
    name = f"{role}-{look[0]}-{look[1]}"
    page.goto("/users")
    assert not violations_of(page)
    page.get_by_label("Name").fill(name)
    page.get_by_role("combobox", name="Role").select_option(role)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Add").click()
    expect(page.get_by_role("status")).to_have_text("Users added: 1.")
    queue_id = world.daemon.send("later@mail.test")
    with world.context(look) as context:
        own = context.new_page()
        log_in(own, name, PASSWORD)
        links = own.get_by_role("navigation", name="Pages").get_by_role("link").all_inner_texts()
        assert set(links) == SEEN[role]
        own.goto(f"/messages/{queue_id}")
        expect(own.get_by_role("heading", level=1)).to_contain_text(queue_id)
        for button in ("Hold", "Bounce", "Drop"):
            count = 1 if role == "operator" else 0
            expect(own.get_by_role("button", name=button, exact=True)).to_have_count(count)
        answer = own.goto("/settings")
        assert answer is not None
        assert answer.status == 403
        assert not violations_of(own)
        own.locator("summary", has_text=name).click()
        own.get_by_role("button", name="Log out").click()
        expect(own.get_by_role("heading", name="Log in")).to_be_visible()
        own.goto("/messages")
        expect(own.get_by_role("heading", name="Log in")).to_be_visible()


@pytest.mark.parametrize("page", LOOKS, indirect=True, ids=["light", "dark"])
def test_keys_do_what_the_menu_says(page: Page, world: World) -> None:
    for _ in range(2):
        world.daemon.send("you@mail.test")
    pages = {"o": "Overview", "m": "Messages", "a": "Addresses", "d": "Destinations"}
    for key, title in (pages | {"s": "Settings"}).items():
        page.wait_for_load_state()
        page.keyboard.press("g")
        page.keyboard.press(key)
        expect(page).to_have_title(f"{title} · relayd relay.test")
    page.goto("/messages")
    rows = page.locator("tbody tr")
    for key, number in (("j", 0), ("j", 1), ("k", 0)):
        page.keyboard.press(key)
        expect(rows.nth(number).locator("th a, td a").first).to_be_focused()
    for is_checked in (True, False):
        page.keyboard.press("x")
        expect(rows.first.get_by_role("checkbox")).to_be_checked(checked=is_checked)
    page.keyboard.press("?")
    expect(page.get_by_role("button", name="Log out")).to_be_visible()
    page.keyboard.press("/")
    expect(page.get_by_role("searchbox", name="Search by")).to_be_focused()
    page.goto("/messages")
    page.keyboard.press("j")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_contain_text("Message")
