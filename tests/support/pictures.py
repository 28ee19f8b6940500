"""The pictures of `docs/console.md`: each page of the console beside a relay with a day behind it (`showcase`)."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from playwright.sync_api import Browser, Page, sync_playwright

from relayd.policy.console.roles import Role
from tests.support.console import Console
from tests.support.showcase import follow

CHROMIUM = "/usr/bin/chromium"
PAGES: Mapping[str, str] = {
    "overview": "/",
    "messages": "/messages",
    "message": "/messages/{deferred}",
    "bounced": "/messages/{bounced}",
    "addresses": "/addresses",
    "address": "/addresses/gone@customer.example",
    "import": "/addresses/import",
    "destinations": "/destinations",
    "destination": "/destinations/mx:mail.example",
    "bounces": "/bounces",
    "settings": "/settings",
    "doctor": "/doctor",
    "test-mail": "/test-mail",
    "users": "/users",
    "user": "/users/ben",
    "keys": "/keys",
    "webhooks": "/webhooks",
    "webhook": "/webhooks/1",
    "audit": "/audit",
    "password": "/password",
    "nothing": "/messages?q=nobody@nowhere.example",
    "error": "/messages/0",
    "login": "/login",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """How a page is shown."""

    scheme: str = "light"
    width: int = 1280
    height: int = 800
    whole: bool = False  # not only what the window shows

    @property
    def name(self) -> str:
        return f"{self.scheme}-{self.width}"


FOR_DOCS: Sequence[tuple[Look, Sequence[str]]] = (
    (Look(height=1160), ("overview",)),
    (
        Look(height=780),
        (
            "messages",
            "bounced",
            "addresses",
            "destinations",
            "settings",
            "webhook",
            "users",
        ),
    ),
    (
        Look(height=720, scheme="dark"),
        ("message", "address", "destination", "bounces", "doctor", "test-mail", "keys", "audit"),
    ),
    (Look(height=560), ("webhooks", "import", "user", "password", "login")),
)
"""Of the docs: every page once, as much of it as a window shows."""


def take(console: Console, names: Iterable[str], look: Look, folder: Path) -> None:
    """Take a picture of each page, as FOLDER/NAME.png."""
    folder.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as playwright:
        # As root there is no sandbox.
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = _opened(browser, console, look)
        for name in names:
            follow(console)
            if name == "login":
                page.context.clear_cookies()
            page.goto(_path(console, PAGES[name]))
            page.wait_for_load_state("load")
            if name == "overview":
                page.locator("dd small", has_text="/s").first.wait_for()  # rates need two readings
            page.screenshot(path=folder / f"{name}.png", full_page=look.whole)
        browser.close()


def _opened(browser: Browser, console: Console, look: Look) -> Page:
    url = f"http://127.0.0.1:{console.port}"
    context = browser.new_context(
        base_url=url,
        color_scheme=look.scheme,  # type: ignore[arg-type]
        viewport={"width": look.width, "height": look.height},
    )
    token = console.token(Role.ADMIN)
    context.add_cookies([{"name": "relayd", "value": token, "url": url}])
    return context.new_page()


def _path(console: Console, path: str) -> str:
    for status in ("deferred", "bounced"):
        if f"{{{status}}}" in path:
            text = console.get(
                f"/messages?status={status}&domain=mail.example", role=Role.ADMIN
            ).text
            found = text.partition('<th scope="row"><a href="/messages/')[2].partition('"')[0]
            path = path.replace(f"{{{status}}}", found)
    return path
