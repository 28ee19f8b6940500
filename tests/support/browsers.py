"""Chromium for tests of pages, and what `axe` says of a page.

`axe` finds what WCAG 2.2 AA forbids, as far as a program can, and what is bad practice. It runs by `evaluate`: the page's policy stops
scripts that are not ours.
"""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Dialog, Page, expect, sync_playwright

CHROMIUM = shutil.which("chromium")
AXE = next(
    (
        file
        for folder in os.environ.get("NODE_PATH", "").split(os.pathsep)
        if folder and (file := Path(folder) / "axe-core/axe.min.js").exists()
    ),
    None,
)
IN_A_BROWSER = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="no chromium"),
    pytest.mark.timeout(120),
]
_PATIENCE = 15_000  # milliseconds for what the page is to show; a quiet machine needs a few hundred
expect.set_options(timeout=_PATIENCE)  # that of a context is not for these
_AUDIT = """async () => (await axe.run())
    .violations.map(each => each.id + ": " + each.nodes.map(node => node.html).join(" | "))"""


@contextmanager
def a_browser() -> Iterator[Browser]:
    """Chromium, for the length of the block."""
    with sync_playwright() as playwright:
        # As root there is no sandbox.
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


def a_context(browser: Browser, port: int, *, token: str = "", **how: Any) -> BrowserContext:
    """A browser of its own before the console on that port; with a token, an account is logged in."""
    url = f"http://127.0.0.1:{port}"
    context = browser.new_context(base_url=url, **how)
    context.set_default_timeout(_PATIENCE)
    if token:
        context.add_cookies([{"name": "relayd", "value": token, "url": url}])
    return context


def fill_login(page: Page, name: str, password: str) -> None:
    """Type into the page of the login and send it.

    People type where the page has put the cursor. Chromium complains in the console of whoever is faster than
    it is with that.
    """
    expect(page.locator("[autofocus]")).to_be_focused()
    page.get_by_label("Name").fill(name)
    page.get_by_label("Password").fill(password)
    page.get_by_role("button", name="Log in").click()


def violations(page: Page, *, scripts: bool = True) -> list[str]:
    """What keeps people from reading the page: what `axe` finds where it is there, and what is wider than the screen.

    Where the page runs no scripts, `axe` would wait for ever. Before it is loaded it may have no style.
    """
    page.wait_for_load_state()
    found: list[str] = []
    if scripts and AXE is not None:
        page.evaluate(AXE.read_text())
        found += page.evaluate(_AUDIT)
    if page.evaluate("document.documentElement.scrollWidth > innerWidth"):
        found.append("wider than the screen")
    return [f"{page.url}: {each}" for each in found]


def said_by(page: Page) -> list[str]:
    """What the page's scripts and its policy complain about, and dialogs."""
    said: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))

    def dismiss(dialog: Dialog) -> None:
        said.append(dialog.message)
        dialog.dismiss()

    page.on("dialog", dismiss)
    return said
