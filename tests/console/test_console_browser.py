"""The console in Chromium: readable by everybody, on every screen, with and without scripts."""

from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, expect

from relayd.policy.console.roles import Role
from tests.support.browsers import (
    AXE,
    IN_A_BROWSER,
    a_browser,
    a_context,
    fill_login,
    said_by,
    violations,
)
from tests.support.console import PASSWORD, Console, a_console, fill, fill_and_tell

PATHS = [
    "/",
    "/messages",
    "/messages?status=lost",
    "/messages?recipient=later@mail.example&tag=",
    "/messages/ONE",
    "/addresses",
    "/addresses/gone@shop.example",
    "/addresses/ok@shop.example",
    "/addresses/import",
    "/destinations",
    "/destinations/smarthost",
    "/bounces",
    "/bounces?by=sender",
    "/settings",
    "/doctor",
    "/test-mail",
    "/password",
    "/users",
    "/users/viewer",
    "/users/admin-reader",
    "/keys",
    "/webhooks",
    "/webhooks/1",
    "/audit",
    "/nothing",
]

pytestmark = IN_A_BROWSER


@pytest.fixture(scope="module")
def console(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Console]:
    with a_console(tmp_path_factory.mktemp("browser"), fill_and_tell) as console:
        yield console


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with a_browser() as browser:
        yield browser


def opened(
    browser: Browser,
    console: Console,
    *,
    role: Role | None,
    reads_content: bool = False,
    **how: Any,
) -> BrowserContext:
    """A browser of its own, in which an account is logged in."""
    token = "" if role is None else console.token(role, reads_content=reads_content)
    return a_context(browser, console.port, token=token, **how)


def one_message(console: Console) -> str:
    text = console.get("/messages?status=deferred", role=Role.VIEWER).text
    return text.partition('<th scope="row"><a href="/messages/')[2].partition('"')[0]


@pytest.mark.skipif(AXE is None, reason="no axe-core in NODE_PATH")
@pytest.mark.parametrize("width", [320, 1280])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_page_can_be_read_by_everybody(
    scheme: Any, width: int, console: Console, browser: Browser
) -> None:
    """No violation, nothing wider than the screen, and no complaint of the policy."""
    look: dict[str, Any] = {"color_scheme": scheme, "viewport": {"width": width, "height": 800}}
    found: list[str] = []
    with opened(browser, console, role=Role.ADMIN, reads_content=True, **look) as context:
        page = context.new_page()
        said = said_by(page)
        paths = [path.replace("ONE", one_message(console)) for path in PATHS]
        for path in [*paths, "/login"]:
            if path == "/login":
                context.clear_cookies()
            page.goto(path)
            for summary in page.locator("main summary").all():
                summary.click()
            found += violations(page)
    assert not found
    assert not [each for each in said if "404" not in each]


@pytest.mark.parametrize("role", [Role.VIEWER, Role.OPERATOR])
def test_a_page_has_no_button_that_an_account_may_not_use(
    role: Role, console: Console, browser: Browser
) -> None:
    with opened(browser, console, role=role) as context:
        page = context.new_page()
        page.goto(f"/messages/{one_message(console)}")
        held = page.get_by_role("button", name="Hold")
        expect(held).to_have_count(0 if role is Role.VIEWER else 1)
        expect(page.get_by_role("button", name="Download the message")).to_have_count(0)


def test_all_of_it_works_without_scripts(
    tmp_path_factory: pytest.TempPathFactory, browser: Browser
) -> None:
    with (
        a_console(tmp_path_factory.mktemp("plain"), fill) as console,
        opened(browser, console, role=None, java_script_enabled=False) as context,
    ):
        console.account("anna", Role.OPERATOR)
        page = context.new_page()
        page.goto("/messages?status=deferred")
        fill_login(page, "anna", PASSWORD)
        page.get_by_label("Select later@mail.example").check()
        page.get_by_role("button", name="Hold").click()
        expect(page.get_by_role("status")).to_have_text("Held: 1.")
        page.get_by_role("searchbox", name="Search by").fill("later@mail.example")
        page.keyboard.press("Enter")
        page.locator("tbody th a").click()
        expect(page.get_by_text("by anna (console)", exact=True)).to_be_visible()
        page.locator("summary", has_text="anna").click()
        page.get_by_role("button", name="dark").click()
        expect(page.locator("html")).to_have_attribute("data-theme", "dark")
        page.locator("summary", has_text="anna").click()
        page.get_by_role("button", name="Log out").click()
        expect(page.get_by_role("heading", name="Log in")).to_be_visible()


def test_a_search_answers_while_it_is_typed(console: Console, browser: Browser) -> None:
    with opened(browser, console, role=Role.OPERATOR) as context:
        page = context.new_page()
        page.goto("/messages")
        expect(page.locator("tbody tr")).to_have_count(4)
        page.get_by_label("Address, Message-ID or domain").press_sequentially("shop.example")
        expect(page.locator("tbody tr")).to_have_count(2)
        expect(page).to_have_url(f"http://127.0.0.1:{console.port}/messages?q=shop.example")


def test_keys_lead_through_the_pages(console: Console, browser: Browser) -> None:
    with opened(browser, console, role=Role.OPERATOR) as context:
        page = context.new_page()
        page.goto("/")
        page.keyboard.press("g")
        page.keyboard.press("m")
        expect(page).to_have_title("Messages · relayd relay.example.org")
        page.wait_for_load_state()  # the script is there
        page.keyboard.press("j")
        page.keyboard.press("x")
        expect(page.locator("tbody input:checked")).to_have_count(1)
        page.keyboard.press("/")
        expect(page.get_by_role("searchbox", name="Search by")).to_be_focused()
        page.keyboard.press("Escape")
        page.locator("tbody th a").first.focus()
        page.keyboard.press("Enter")
        expect(page.get_by_role("heading", level=1)).to_contain_text("Message")


def test_single_keys_can_be_switched_off(console: Console, browser: Browser) -> None:
    with opened(browser, console, role=Role.VIEWER) as context:
        page = context.new_page()
        page.goto("/")
        page.locator("summary", has_text="viewer").click()
        page.get_by_role("button", name="Keyboard: on").click()
        page.locator("h1").focus()
        page.keyboard.press("/")
        expect(page.get_by_role("searchbox")).not_to_be_focused()


def test_numbers_are_renewed_until_somebody_pauses_that(console: Console, browser: Browser) -> None:
    with opened(browser, console, role=Role.VIEWER) as context:
        page = context.new_page()
        page.clock.install()
        page.goto("/")
        with page.expect_request("**/"):
            page.clock.run_for(2500)
        page.get_by_role("button", name="Pause updates").click()
        asked: list[str] = []
        page.on("request", lambda request: asked.append(request.url))
        page.clock.run_for(10_000)
        assert not asked


def test_what_a_server_wrote_does_nothing(console: Console, browser: Browser) -> None:
    with opened(browser, console, role=Role.VIEWER) as context:
        page = context.new_page()
        said = said_by(page)
        for path in ("/messages", "/bounces", "/addresses/gone@shop.example"):
            page.goto(path)
            expect(page.get_by_text("<img src=x onerror=alert(1)>").first).to_be_visible()
            expect(page.locator("main img")).to_have_count(0)
        assert not said
