"""Checks of a real daemon, started in a browser: their progress and their result, with and without scripts."""

import asyncio
import os
import shutil
from pathlib import Path

import pytest
from playwright.sync_api import Locator, expect, sync_playwright

from relayd.policy.console.roles import Role
from tests.support.console import a_console
from tests.support.daemon import a_daemon, a_smarthost
from tests.support.scripted_server import Wait

CHROMIUM = shutil.which("chromium")
AXE = next(
    (
        file
        for folder in os.environ.get("NODE_PATH", "").split(os.pathsep)
        if folder and (file := Path(folder) / "axe-core/axe.min.js").exists()
    ),
    None,
)
AUDIT = """async () => (await axe.run()).violations.map(
    each => each.id + ": " + each.nodes.map(node => node.html).join(" | "))"""
pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="no chromium"),
    pytest.mark.timeout(120),
]


@pytest.mark.parametrize(("scripts", "scheme"), [(True, "light"), (False, "dark")])
def test_checks_are_followed_to_their_result(tmp_path: Path, *, scripts: bool, scheme: str) -> None:
    gate = asyncio.Event()
    with (
        a_smarthost({"GREETING": Wait(gate, "220 mx.test ESMTP")}) as smarthost,
        a_daemon(tmp_path, smarthost.port, workers=1) as daemon,
        a_console(tmp_path, beside=daemon.file) as console,
        sync_playwright() as playwright,
    ):
        # As root there is no sandbox.
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        url = f"http://127.0.0.1:{console.port}"
        context = browser.new_context(
            base_url=url,
            java_script_enabled=scripts,
            color_scheme=scheme,  # type: ignore[arg-type]
            viewport={"width": 320, "height": 800},
        )
        context.set_default_timeout(15_000)
        context.add_cookies([{"name": "relayd", "value": console.token(Role.ADMIN), "url": url}])
        page = context.new_page()
        violations: list[str] = []

        def audit() -> None:
            if scripts and AXE is not None:
                page.evaluate(AXE.read_text())
                violations.extend(page.evaluate(AUDIT))

        def sees(found: Locator) -> None:
            """Without scripts by the link, which somebody follows again and again."""
            for _ in range(100):
                if scripts or found.count():
                    break
                page.get_by_role("link", name="See how far they are").click()
            expect(found.first).to_be_visible(timeout=20_000)

        page.goto("/doctor")
        page.get_by_role("button", name="All checks").click()
        sees(page.get_by_text("the smarthost: looking…"))
        audit()
        smarthost.open(gate)
        sees(page.get_by_role("button", name="All checks"))
        expect(page.get_by_text("takes our EHLO").first).to_be_visible(timeout=20_000)
        page.get_by_role("button", name="Quick look").click()
        sees(page.get_by_role("heading", name="Quick look"))
        expect(page.get_by_text("for admin (console)")).to_be_visible()
        audit()
        browser.close()
        assert not violations
