"""The mode of a real daemon, switched in a browser: warnings, banner, put back."""

from pathlib import Path

import pytest
from playwright.sync_api import expect

from relayd.control import client
from relayd.policy.console.roles import Role
from tests.support.browsers import IN_A_BROWSER, a_browser, a_context, violations
from tests.support.console import a_console
from tests.support.daemon import a_daemon, a_smarthost
from tests.support.ports import free_port

NAME = "relay.firm-of-ours.com"
pytestmark = IN_A_BROWSER


@pytest.mark.parametrize(
    ("scripts", "scheme", "width"),
    [(True, "light", 1280), (False, "light", 320), (True, "dark", 320)],
)
def test_the_mode_is_switched_and_put_back(
    tmp_path: Path, *, scripts: bool, scheme: str, width: int
) -> None:
    more = f'[dns]\nnameservers = ["127.0.0.1:{free_port()}"]\ntimeout = "1s"\n'
    with (
        a_smarthost() as smarthost,
        a_daemon(tmp_path, smarthost.port, workers=1, more=more) as daemon,
        a_console(tmp_path, beside=daemon.file) as console,
        a_browser() as browser,
    ):
        socket = str(tmp_path / "control.sock")

        def mode() -> str:
            return client.running_settings(socket).values["use_remote_smtp"]

        context = a_context(
            browser,
            console.port,
            token=console.token(Role.ADMIN),
            java_script_enabled=scripts,
            color_scheme=scheme,
            viewport={"width": width, "height": 800},
        )
        page = context.new_page()
        page.goto("/settings")
        page.get_by_label("UseRemoteSMTP").select_option("true")
        page.get_by_label("FQDN").fill(NAME)
        page.get_by_role("button", name="Apply").click()
        expect(page.get_by_text("use_remote_smtp: false → true")).to_be_visible()
        expect(page.get_by_text("it is slower than the smarthost")).to_be_visible()
        assert mode() == "false"
        assert not violations(page, scripts=scripts)
        page.get_by_role("button", name="Confirm").click()
        banner = page.get_by_role("status", name="Setting updated")
        expect(banner).to_contain_text("use_remote_smtp: false → true")
        expect(banner).to_contain_text("daemon: runs with it now")
        assert mode() == "true"
        assert not violations(page, scripts=scripts)
        page.goto("/messages")
        banner.get_by_role("button", name="Put back").click()
        expect(banner).to_contain_text("use_remote_smtp: true → false")
        assert mode() == "false"
        banner.get_by_role("button", name="Dismiss").click()
        expect(banner).to_have_count(0)
