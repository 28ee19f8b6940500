"""Log-ins that begin elsewhere, in Chromium: at a provider, and by the word of a proxy.

The provider is on localhost and the console on 127.0.0.1, which to a browser are two sites.
"""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from relayd.policy.console.roles import Role
from tests.support.browsers import IN_A_BROWSER, a_browser, a_context
from tests.support.clock import START
from tests.support.console import Console, a_console
from tests.support.oidc_provider import OidcProvider, answer, settings_for

SECRET = "a secret of the proxy"
PROXY = """
[console.proxy]
header = "Remote-User"
networks = ["127.0.0.1"]
secret_file = "proxy-secret"
"""

pytestmark = IN_A_BROWSER


@pytest.fixture(scope="module")
def provider(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OidcProvider]:
    with OidcProvider(tmp_path_factory.mktemp("provider"), lambda: START) as provider:
        yield provider


@pytest.fixture
def console(tmp_path: Path, provider: OidcProvider) -> Iterator[Console]:
    secret = tmp_path / "proxy-secret"
    secret.touch(0o600)
    secret.write_text(SECRET)
    text = settings_for(provider, tmp_path) + PROXY
    with a_console(tmp_path, more=text, trusts=provider.trust) as console:
        yield console


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with a_browser() as browser:
        yield browser


def opened(
    browser: Browser, console: Console, *, scripts: bool = True, headers: Mapping[str, str] = {}
) -> Page:
    context = a_context(
        browser,
        console.port,
        java_script_enabled=scripts,
        ignore_https_errors=True,
        extra_http_headers=dict(headers),
    )
    return context.new_page()


def cookies_of(page: Page) -> dict[str, str]:
    found = page.context.cookies()
    return {each["name"]: each["sameSite"] for each in found if each["domain"] == "127.0.0.1"}


@pytest.mark.parametrize("scripts", [True, False])
def test_away_to_the_provider_and_back(
    scripts: bool,  # noqa: FBT001 -- a case
    browser: Browser,
    console: Console,
    provider: OidcProvider,
) -> None:
    page = opened(browser, console, scripts=scripts)
    said: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    page.goto("/messages?tag=x")
    page.get_by_role("link", name=f"Log in with {provider.issuer[8:]}").click()
    page.wait_for_url("**/messages?tag=x")
    expect(page.locator("details.account summary")).to_have_text("anna")
    assert cookies_of(page) == {"relayd": "Strict"}
    assert said == []
    page.locator("details.account summary").click()
    page.get_by_role("button", name="Log out").click()
    expect(page).to_have_url(re.compile(r"/login\?left=1$"))
    assert cookies_of(page) == {}
    page.context.close()


def test_by_the_proxy_after_a_link_on_another_site(
    browser: Browser, console: Console, provider: OidcProvider
) -> None:
    """A strict cookie is not sent with what another site began: a page of ours has to lead on."""
    console.account("berta", Role.VIEWER)
    link = f'<a href="http://127.0.0.1:{console.port}/bounces">go</a>'.encode()

    provider.instead["/link"] = lambda it: answer(it, link, kind="text/html")
    told = {"Remote-User": "berta", "X-Relayd-Secret": SECRET}
    page = opened(browser, console, headers=told)
    page.goto(f"{provider.issuer}/link")
    page.get_by_role("link", name="go").click()
    page.wait_for_url("**/bounces")
    expect(page.locator("details.account summary")).to_have_text("berta")
    page.locator("details.account summary").click()
    page.get_by_role("button", name="Log out").click()
    page.get_by_role("link", name="Log in as berta").click()
    page.wait_for_url(f"http://127.0.0.1:{console.port}/")
    page.context.close()
