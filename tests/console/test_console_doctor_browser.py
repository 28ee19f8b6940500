"""Checks of a real daemon, started in a browser: their progress and their result, with and without scripts."""

import asyncio
from pathlib import Path

import pytest
from playwright.sync_api import Locator, expect

from relayd.policy.console.roles import Role
from tests.support.browsers import IN_A_BROWSER, a_browser, a_context, violations
from tests.support.console import a_console
from tests.support.daemon import a_daemon, a_smarthost
from tests.support.scripted_server import Wait

pytestmark = IN_A_BROWSER


@pytest.mark.parametrize(("scripts", "scheme"), [(True, "light"), (False, "dark")])
def test_checks_are_followed_to_their_result(tmp_path: Path, *, scripts: bool, scheme: str) -> None:
    gate = asyncio.Event()
    with (
        a_smarthost({"GREETING": Wait(gate, "220 mx.test ESMTP")}) as smarthost,
        a_daemon(tmp_path, smarthost.port, workers=1) as daemon,
        a_console(tmp_path, beside=daemon.file) as console,
        a_browser() as browser,
    ):
        context = a_context(
            browser,
            console.port,
            token=console.token(Role.ADMIN),
            java_script_enabled=scripts,
            color_scheme=scheme,
            viewport={"width": 320, "height": 800},
        )
        page = context.new_page()

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
        assert not violations(page, scripts=scripts)
        smarthost.open(gate)
        sees(page.get_by_role("button", name="All checks"))
        expect(page.get_by_text("takes our EHLO").first).to_be_visible(timeout=20_000)
        page.get_by_role("button", name="Quick look").click()
        sees(page.get_by_role("heading", name="Quick look"))
        expect(page.get_by_text("for admin (console)")).to_be_visible()
        assert not violations(page, scripts=scripts)
