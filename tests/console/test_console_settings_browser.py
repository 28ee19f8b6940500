"""The mode of a real daemon, switched in a browser: warnings, banner, put back."""

import shutil
from pathlib import Path

import pytest
from playwright.sync_api import expect, sync_playwright

from relayd.control import client
from relayd.policy.console.roles import Role
from tests.support.console import a_console
from tests.support.daemon import a_daemon, a_smarthost
from tests.support.ports import free_port

CHROMIUM = shutil.which("chromium")
NAME = "relay.firm-of-ours.com"
pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="no chromium"),
    pytest.mark.timeout(120),
]


@pytest.mark.parametrize(("scripts", "scheme"), [(True, "light"), (False, "dark")])
def test_the_mode_is_switched_and_put_back(tmp_path: Path, *, scripts: bool, scheme: str) -> None:
    more = f'[dns]\nnameservers = ["127.0.0.1:{free_port()}"]\ntimeout = "1s"\n'
    with (
        a_smarthost() as smarthost,
        a_daemon(tmp_path, smarthost.port, workers=1, more=more) as daemon,
        a_console(tmp_path, beside=daemon.file) as console,
        sync_playwright() as playwright,
    ):
        socket = str(tmp_path / "control.sock")

        def mode() -> str:
            return client.running_settings(socket).values["use_remote_smtp"]

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
        page.goto("/settings")
        page.get_by_label("UseRemoteSMTP").select_option("true")
        page.get_by_label("FQDN").fill(NAME)
        page.get_by_role("button", name="Apply").click()
        expect(page.get_by_text("use_remote_smtp: false → true")).to_be_visible()
        expect(page.get_by_text("it is slower than the smarthost")).to_be_visible()
        assert mode() == "false"
        page.get_by_role("button", name="Confirm").click()
        banner = page.get_by_role("status", name="Setting updated")
        expect(banner).to_contain_text("use_remote_smtp: false → true")
        expect(banner).to_contain_text("daemon: runs with it now")
        assert mode() == "true"
        page.wait_for_load_state()  # until then there may be no style
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        page.goto("/messages")
        banner.get_by_role("button", name="Put back").click()
        expect(banner).to_contain_text("use_remote_smtp: true → false")
        assert mode() == "false"
        banner.get_by_role("button", name="Dismiss").click()
        expect(banner).to_have_count(0)
        browser.close()
