"""Logging in by OpenID Connect, at a provider that behaves, and at one that does not."""

import http.client
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, quote, urlsplit

import pytest
from structlog.testing import capture_logs

from relayd.net.oidc import provider as flow
from relayd.net.oidc.fetch import ANSWER_LIMIT
from relayd.policy.console.roles import Role
from relayd.ports.people import Account, AccountChange, AuditEntry, AuditQuery, Author
from relayd.store import open_view
from tests.support.clock import START
from tests.support.console import PASSWORD, Console, Page, a_console
from tests.support.oidc_provider import (
    CLIENT,
    SECRET,
    Keys,
    OidcProvider,
    Twist,
    answer,
    answer_json,
    redirect,
    settings_for,
)

WELL_KNOWN = "/.well-known/openid-configuration"
ROOT = Author(by="root")
IN_DOUBT = "The provider could not prove who you are"


class World:
    """A console, the provider that it knows, and a browser."""

    def __init__(self, console: Console, provider: OidcProvider) -> None:
        self.console = console
        self.provider = provider

    def begin(self, wanted: str = "/") -> tuple[str, str]:
        """Follow the link to the provider and log in there; return the way back, and the cookie."""
        page = self.console.get(f"/login/oidc?next={quote(wanted)}")
        assert page.status == 303, page.text
        return self.at_provider(page.location), f"relayd_oidc={page.cookies['relayd_oidc']}"

    def at_provider(self, url: str) -> str:
        parts = urlsplit(url)
        connection = http.client.HTTPSConnection(
            "localhost", parts.port or 443, timeout=10, context=self.provider.trust
        )
        with closing(connection):
            connection.request("GET", f"{parts.path}?{parts.query}")
            location = connection.getresponse().headers["Location"]
        back = urlsplit(location)
        return f"{back.path}?{back.query}"

    def log_in(self, wanted: str = "/") -> Page:
        back, cookie = self.begin(wanted)
        return self.console.get(back, Cookie=cookie)

    def why_not(self) -> str:
        """Log in; return what the log says of it. There is no session, and no secret in page and log."""
        with capture_logs() as logs:
            page = self.log_in()
        assert page.status == 403
        assert "relayd" not in page.cookies
        [entry] = [each for each in logs if each["event"] == "oidc_login_failed"]
        for secret in ("eyJ", SECRET):
            assert secret not in str(logs) + page.text
        return str(entry["reason"])


@pytest.fixture(scope="module")
def provider(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OidcProvider]:
    with OidcProvider(tmp_path_factory.mktemp("provider"), lambda: START) as provider:
        yield provider


@pytest.fixture
def world(tmp_path: Path, provider: OidcProvider) -> Iterator[World]:
    with a_world(tmp_path, provider) as world:
        yield world


@contextmanager
def a_world(
    folder: Path, provider: OidcProvider, more: str = "", trusts: ssl.SSLContext | None = None
) -> Iterator[World]:
    provider.reset()
    text = settings_for(provider, folder)
    with a_console(folder, more=f"{text}{more}\n", trusts=trusts or provider.trust) as console:
        yield World(console, provider)


def session_of(page: Page) -> str:
    assert page.status == 200, page.text
    assert "<h1>Logged in</h1>" in page.text
    return f"relayd={page.cookies['relayd']}"


def account_of(console: Console, name: str) -> Account | None:
    with closing(open_view(console.url)) as view:
        return view.people.account(name)


def audit_of(console: Console) -> list[AuditEntry]:
    with closing(open_view(console.url)) as view:
        return list(view.people.audit(AuditQuery(), limit=9))


# Who is let in


def test_the_link_leads_to_the_provider(world: World) -> None:
    assert f"Log in with {world.provider.issuer[8:]}" in world.console.get("/login").text
    page = world.console.get("/login/oidc?next=/messages")
    parts = urlsplit(page.location)
    query = parse_qs(parts.query)
    assert f"{parts.scheme}://{parts.netloc}{parts.path}" == f"{world.provider.issuer}/authorize"
    assert query["tenant"] == ["1"]
    assert query["scope"] == ["openid profile email"]
    assert query["redirect_uri"] == [f"http://127.0.0.1:{world.console.port}/login/oidc/back"]
    given = page.headers["set-cookie"]
    assert "Max-Age=300" in given
    assert "HttpOnly" in given
    assert "SameSite=lax" in given


@pytest.mark.parametrize("algorithm", ["RS256", "ES256"])
def test_who_comes_back_is_let_in(algorithm: str, world: World) -> None:
    world.provider.signs_with = algorithm
    page = world.log_in("/messages?tag=x")
    cookie = session_of(page)
    assert page.cookies["relayd_oidc"] == ""
    assert 'url=/login?landed=1&amp;next=%2Fmessages%3Ftag%3Dx"' in page.text
    assert world.console.get("/test-mail", Cookie=cookie).status == 200
    assert world.console.get("/users", Cookie=cookie).status == 403  # an operator
    assert [(each.by, each.action, each.detail) for each in audit_of(world.console)] == [
        ("anna (console)", "logged_in", "by OIDC"),
        ("anna (console)", "account_added", f"role operator, of {world.provider.issuer} 4711"),
    ]


def test_behind_tls_the_way_back_is_https(world: World) -> None:
    page = world.console.get("/login/oidc", Host="console.example.org")
    assert "redirect_uri=https%3A%2F%2Fconsole.example.org%2Flogin" in page.location
    assert page.headers["set-cookie"].startswith("__Host-relayd_oidc=")
    assert "; Secure" in page.headers["set-cookie"]


@pytest.mark.parametrize(
    ("groups", "role"),
    [
        (["mail-viewers"], Role.VIEWER),
        ("support", Role.VIEWER),
        (["mail-viewers", "mail-admins"], Role.ADMIN),
        (["support", "mail-operators", 7, None], Role.OPERATOR),
    ],
)
def test_the_role_is_that_of_the_highest_group(groups: object, role: Role, world: World) -> None:
    world.provider.person["groups"] = groups
    session_of(world.log_in())
    account = account_of(world.console, "anna")
    assert account is not None
    assert (account.role, account.password_hash) == (role, "")


def test_the_role_follows_the_groups_at_each_log_in(world: World) -> None:
    before = session_of(world.log_in())
    world.provider.person["groups"] = ["mail-viewers"]
    after = session_of(world.log_in())
    assert world.console.get("/test-mail", Cookie=after).status == 403
    assert world.console.get("/", Cookie=before).location == "/login"  # it had the greater role


@pytest.mark.parametrize("groups", [[], ["mail-admin"], "x", None, 7, {"mail-admins": 1}])
def test_who_is_in_no_group_is_not_let_in(groups: object, world: World) -> None:
    world.provider.person["groups"] = groups
    assert world.why_not() == "role"
    assert "in no group that may use this console" in world.log_in().text
    assert account_of(world.console, "anna") is None


def test_an_account_with_a_password_is_not_the_providers(world: World) -> None:
    world.console.account("anna", Role.ADMIN)
    assert world.why_not() == "anna: the account has a password"
    assert "log in with that" in world.log_in().text
    assert world.console.post("/login", name="anna", password=PASSWORD).status == 303


def test_who_is_disabled_here_is_not_let_in(world: World) -> None:
    session_of(world.log_in())
    people = world.console.store.people
    world.console.call(people.change_account("anna", AccountChange(disabled=True), author=ROOT))
    assert world.why_not() == "anna: the account is disabled"


def test_a_name_that_somebody_else_was_given_opens_nothing(world: World) -> None:
    session_of(world.log_in())
    world.provider.person["sub"] = "4712"
    assert world.why_not() == "anna: the account is of another sub"
    assert "Somebody else had your name before you" in world.log_in().text
    world.console.call(world.console.store.people.drop_account("anna", author=ROOT))
    session_of(world.log_in())


def test_who_has_another_name_there_has_the_same_account(world: World) -> None:
    """So nobody whose account is disabled here comes back under another name."""
    session_of(world.log_in())
    world.provider.person["preferred_username"] = "anna.smith"
    page = world.console.get("/", Cookie=session_of(world.log_in()))
    assert "<summary>anna</summary>" in page.text
    people = world.console.store.people
    world.console.call(people.change_account("anna", AccountChange(disabled=True), author=ROOT))
    assert world.why_not() == "anna.smith: the account is disabled"
    assert account_of(world.console, "anna.smith") is None


@pytest.mark.parametrize(
    ("verified", "account"),
    [(True, "anna@example.org"), (False, None), (None, None), ("true", None)],
)
def test_an_email_counts_if_it_was_verified(
    verified: object, account: str | None, tmp_path: Path, provider: OidcProvider
) -> None:
    with a_world(tmp_path, provider, 'name_claim = "email"') as world:
        provider.person["email_verified"] = verified
        if account is None:
            assert world.why_not() == "email"
        else:
            session_of(world.log_in())
            assert account_of(world.console, account) is not None


@pytest.mark.parametrize("name", ["", "an na", "../x", "\u212aarl", None, ["anna"], "a" * 65])
def test_a_name_that_no_account_can_have_is_refused(name: object, world: World) -> None:
    world.provider.person["preferred_username"] = name
    assert world.why_not() == "name"


@pytest.mark.parametrize("methods", [None, ["client_secret_post"], ["client_secret_basic", "x"]])
def test_the_secret_is_shown_as_the_provider_wants_it(
    methods: list[str] | None, world: World
) -> None:
    world.provider.methods = methods
    session_of(world.log_in())


def test_a_provider_that_wants_another_proof_is_told_apart(world: World) -> None:
    world.provider.methods = ["private_key_jwt"]
    assert "takes neither" in world.why_not()


# Tokens that prove nothing


def claims(**changed: Any) -> Twist:
    return lambda _header, claims: claims.update(changed)


def header(**changed: Any) -> Twist:
    return lambda header, _claims: header.update(changed)


def without(name: str) -> Twist:
    return lambda _header, claims: claims.pop(name)


AT = int(START.timestamp())


@pytest.mark.parametrize(
    ("twist", "reason"),
    [
        (claims(nonce="other"), "nonce is not that of this log-in"),
        (without("nonce"), "nonce is not that of this log-in"),
        (claims(aud="other"), "aud is another client"),
        (claims(aud=[]), "aud is another client"),
        (without("aud"), "aud is another client"),
        (claims(aud=[CLIENT, "other"]), "azp is another client"),
        (claims(azp="other"), "azp is another client"),
        (claims(iss="https://other.test"), "iss is another issuer"),
        (without("iss"), "iss is another issuer"),
        (claims(exp=AT - 60), "exp is over"),
        (claims(exp=True), "exp is missing"),
        (without("exp"), "exp is missing"),
        (claims(iat=AT + 61), "iat is in the future"),
        (without("iat"), "iat is missing"),
        (claims(nbf=AT + 61), "nbf is in the future"),
        (without("sub"), "sub is no text"),
        (header(alg="none"), "an algorithm that is not taken"),
        (header(alg="None"), "an algorithm that is not taken"),
        (header(alg="HS256"), "an algorithm that is not taken"),
        (header(alg="HS512", kid="shared"), "an algorithm that is not taken"),
        (header(kid="unknown"), "0 keys of the provider"),
        (header(kid="shared"), "the ID token is not good"),
        (header(kid="ec"), "the ID token is not good"),
        (header(alg="ES256"), "the ID token is not good"),
        (header(crit=["b64"], b64=False), "the ID token is not good"),
    ],
)
def test_a_token_that_proves_nothing_opens_nothing(twist: Twist, reason: str, world: World) -> None:
    world.provider.twist = twist
    assert reason in world.why_not()
    assert account_of(world.console, "anna") is None
    assert [each.action for each in audit_of(world.console)] == []


def test_clocks_may_be_a_minute_apart(world: World) -> None:
    world.provider.twist = claims(exp=AT - 59, iat=AT + 59, nbf=AT + 59)
    session_of(world.log_in())


def test_a_token_for_several_says_that_it_is_ours(world: World) -> None:
    world.provider.twist = claims(aud=["other", CLIENT], azp=CLIENT)
    session_of(world.log_in())


def test_a_key_of_somebody_else_is_not_good(world: World) -> None:
    published = world.provider.keys.published()
    world.provider.instead["/keys"] = lambda it: answer_json(it, {"keys": published})
    world.provider.keys = Keys(name="somebody else")
    assert "the ID token is not good" in world.why_not()


def test_a_short_key_is_not_good(world: World) -> None:
    world.provider.keys = Keys(bits=1024)
    assert "the ID token is not good" in world.why_not()


def test_new_keys_are_fetched_once_more(world: World) -> None:
    session_of(world.log_in())
    session_of(world.log_in())
    assert world.provider.asked.count("/keys") == 1
    world.provider.keys = Keys("2")
    session_of(world.log_in())
    assert world.provider.asked.count("/keys") == 2
    world.provider.twist = header(kid="unknown")
    assert "0 keys" in world.why_not()
    assert world.provider.asked.count("/keys") == 3


# Providers that misbehave


def flood(handler: BaseHTTPRequestHandler) -> None:
    answer(handler, b"x" * (ANSWER_LIMIT + 1))


def deep(handler: BaseHTTPRequestHandler) -> None:
    answer(handler, b"[" * 200_000)


@pytest.mark.parametrize("path", [WELL_KNOWN, "/token", "/keys"])
@pytest.mark.parametrize(
    ("misbehave", "reason"),
    [
        (flood, "its answer has more than 262144 octets"),
        (deep, "the answer is no JSON object"),
        (lambda it: answer(it, b"[]"), "the answer is no JSON object"),
        (lambda it: answer(it, b"\xff"), "the answer is no JSON object"),
        (lambda it: answer(it, b"{}", 500), "answered 500"),
        (lambda it: redirect(it, "https://localhost:1/"), "answered 302"),
        (lambda it: it.connection.close(), "localhost:"),
    ],
)
def test_a_provider_that_misbehaves_lets_nobody_in(
    path: str, misbehave: Callable[[BaseHTTPRequestHandler], object], reason: str, world: World
) -> None:
    world.provider.instead[path] = misbehave
    with capture_logs() as logs:
        page = world.console.get("/login/oidc")
        if path != WELL_KNOWN:
            back, cookie = world.begin()
            page = world.console.get(back, Cookie=cookie)
    assert page.status == 403
    assert IN_DOUBT in page.text
    [entry] = [each for each in logs if each["event"] == "oidc_login_failed"]
    assert reason in entry["reason"]


def test_a_provider_that_says_nothing_is_not_waited_for(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(flow, "WITHIN", 0.3)
    over = threading.Event()
    world.provider.instead[WELL_KNOWN] = lambda _: over.wait(20)
    page = world.console.get("/login/oidc")
    over.set()
    assert (page.status, IN_DOUBT in page.text) == (403, True)


def test_a_document_of_another_issuer_is_not_believed(world: World) -> None:
    document = {**world.provider.document(), "issuer": "https://other.test"}
    world.provider.instead[WELL_KNOWN] = lambda it: answer_json(it, document)
    assert world.console.get("/login/oidc").status == 403


@pytest.mark.parametrize("url", ["http://localhost/", "javascript:alert(1)", None, "https://a@b/"])
def test_it_leads_nowhere_but_by_https(url: object, world: World) -> None:
    document = {**world.provider.document(), "authorization_endpoint": url}
    world.provider.instead[WELL_KNOWN] = lambda it: answer_json(it, document)
    assert world.console.get("/login/oidc").status == 403


def test_a_certificate_that_nobody_knows_is_not_good(
    tmp_path: Path, provider: OidcProvider
) -> None:
    with a_world(tmp_path, provider, trusts=ssl.create_default_context()) as world:
        with capture_logs() as logs:
            assert world.console.get("/login/oidc").status == 403
        assert "its certificate does not prove the name" in str(logs)


# Browsers that were not sent


def test_a_code_is_good_once(world: World) -> None:
    back, cookie = world.begin()
    session_of(world.console.get(back, Cookie=cookie))
    with capture_logs() as logs:
        again = world.console.get(back, Cookie=cookie)
    assert again.status == 403
    assert "answered 400, invalid_grant" in str(logs)


def test_a_way_back_is_for_the_browser_that_was_sent(world: World) -> None:
    """Else somebody could have others log in as him, and see what they do."""
    back, _ = world.begin()
    _, of_another = world.begin()
    for cookie in ("x=y", of_another, "relayd_oidc=a.b.c", "relayd_oidc=a.b.c.\xe4"):
        page = world.console.get(back, Cookie=cookie)
        assert page.status == 403
        assert "No log-in of this browser is under way" in page.text
    assert world.provider.asked.count("/token") == 0


def test_a_log_in_of_one_browser_is_not_anothers_nonce(world: World) -> None:
    """A code that was stolen is of no use in another log-in: verifier and nonce are another's."""
    stolen = parse_qs(urlsplit(world.begin()[0]).query)["code"][0]
    back, cookie = world.begin()
    state = parse_qs(urlsplit(back).query)["state"][0]
    page = world.console.get(f"/login/oidc/back?code={stolen}&state={state}", Cookie=cookie)
    assert page.status == 403


def test_another_providers_answer_is_not_taken(world: World) -> None:
    back, cookie = world.begin()
    page = world.console.get(back.replace("iss=https", "iss=http"), Cookie=cookie)
    assert (page.status, "Another provider than ours" in page.text) == (403, True)


@pytest.mark.parametrize(
    ("error", "told"),
    [
        ("access_denied", "did not log you in: access_denied."),
        ("<script>", "did not log you in: no code."),
        ("", "did not log you in: no code."),
    ],
)
def test_what_the_provider_refuses_is_told(error: str, told: str, world: World) -> None:
    back, cookie = world.begin()
    state = parse_qs(urlsplit(back).query)["state"][0]
    page = world.console.get(f"/login/oidc/back?error={quote(error)}&state={state}", Cookie=cookie)
    assert (page.status, told in page.text) == (403, True)
    assert page.cookies["relayd_oidc"] == ""


@pytest.mark.parametrize("path", ["//evil.test", "https://evil.test/", "/\\evil.test", "/a\tb"])
def test_it_leads_to_no_other_site(path: str, world: World) -> None:
    page = world.log_in(path)
    session_of(page)
    assert 'url=/login?landed=1&amp;next=%2F"' in page.text


def test_without_the_setting_there_is_no_such_page(tmp_path: Path) -> None:
    with a_console(tmp_path) as plain:
        assert "Log in with" not in plain.get("/login").text
        for path in ("/login/oidc", "/login/oidc/back"):
            assert plain.get(path).status == 404
