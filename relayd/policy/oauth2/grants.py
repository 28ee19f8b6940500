"""What a token server is asked for: the flows, what the providers have in common, and the forms.

No secret stays here: those who send a form put it in.

Sources: RFC 6749 §4.4 (client credentials), §6 (refresh tokens); RFC 7523 §2.1 (JWT bearer); RFC 8628 §3.1, §3.4
(device flow); Microsoft's and Google's pages on SMTP AUTH with OAuth2.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

JWT_BEARER = "urn:ietf:params:oauth:grant-type:jwt-bearer"
DEVICE_CODE = "urn:ietf:params:oauth:grant-type:device_code"
ASSERTION_LIVES = 3600  # seconds, the most that Google takes


class Provider(StrEnum):
    """Whose token server it is; NONE: all of it is in the settings."""

    NONE = ""
    MICROSOFT = "microsoft"
    GOOGLE = "google"


class Flow(StrEnum):
    """How we come by a token; AUTO is the usual way of the provider."""

    AUTO = "auto"
    CLIENT_CREDENTIALS = "client_credentials"  # the application has rights of its own
    REFRESH_TOKEN = "refresh_token"  # noqa: S105 -- somebody agreed once: `relayd oauth2 login`
    SERVICE_ACCOUNT = "service_account"  # Google: a key that signs for the mailbox


@dataclass(frozen=True, slots=True, kw_only=True)
class Preset:
    """What a provider has for a flow; `{tenant}` stands for the tenant of the settings."""

    token_url: str
    device_url: str
    scope: str


_MICROSOFT = "https://login.microsoftonline.com/{tenant}/oauth2/v2.0"
_OF_MICROSOFT = f"{_MICROSOFT}/token", f"{_MICROSOFT}/devicecode"
_OF_GOOGLE = "https://oauth2.googleapis.com/token", "https://oauth2.googleapis.com/device/code"
_OUTLOOK = "https://outlook.office365.com/.default"
_OUTLOOK_USER = "https://outlook.office.com/SMTP.Send offline_access"
_GMAIL = "https://mail.google.com/"
PRESETS: Mapping[Provider, Mapping[Flow, Preset]] = {
    Provider.MICROSOFT: {
        Flow.CLIENT_CREDENTIALS: Preset(
            token_url=_OF_MICROSOFT[0], device_url=_OF_MICROSOFT[1], scope=_OUTLOOK
        ),
        Flow.REFRESH_TOKEN: Preset(
            token_url=_OF_MICROSOFT[0], device_url=_OF_MICROSOFT[1], scope=_OUTLOOK_USER
        ),
    },
    Provider.GOOGLE: {
        Flow.SERVICE_ACCOUNT: Preset(
            token_url=_OF_GOOGLE[0], device_url=_OF_GOOGLE[1], scope=_GMAIL
        ),
        Flow.REFRESH_TOKEN: Preset(token_url=_OF_GOOGLE[0], device_url=_OF_GOOGLE[1], scope=_GMAIL),
    },
}


@dataclass(frozen=True, slots=True, kw_only=True)
class OAuth2Settings:
    """How one smarthost's token is come by."""

    name: str  # of the smarthost
    user: str  # the mailbox that we log in as
    flow: Flow
    token_url: str
    device_url: str  # of `relayd oauth2 login`; empty: there is none
    scope: str
    client_id: str
    secret_file: str  # with the client secret, or the service account's key; empty: a public client
    state: str  # the path of our own files, without their endings

    @property
    def token_file(self) -> str:
        """Where the access token of now is, for all workers."""
        return f"{self.state}.access"

    @property
    def refresh_file(self) -> str:
        """Where the refresh token is, which somebody got by `relayd oauth2 login`."""
        return f"{self.state}.refresh"

    @property
    def sign_in_file(self) -> str:
        """What changes when somebody agrees anew, and not when the server gives another refresh token."""
        return f"{self.state}.login"


def usual_flow(provider: Provider) -> Flow:
    """Return the flow of a provider where the settings name none."""
    return Flow.SERVICE_ACCOUNT if provider is Provider.GOOGLE else Flow.CLIENT_CREDENTIALS


def preset_of(provider: Provider, flow: Flow) -> Preset | None:
    """Return what the provider has for the flow; None: it has no such flow, or is none that we know."""
    return PRESETS.get(provider, {}).get(flow)


def client_credentials(settings: OAuth2Settings, secret: str) -> dict[str, str]:
    """Return the form of RFC 6749 §4.4.2, with the client in it (§2.3.1)."""
    return {
        "grant_type": "client_credentials",
        "scope": settings.scope,
        **_client(settings, secret),
    }


def refresh(settings: OAuth2Settings, secret: str, refresh_token: str) -> dict[str, str]:
    """Return the form of RFC 6749 §6."""
    return {
        "grant_type": "refresh_token",
        "refresh_token": refresh_token,
        **_client(settings, secret),
    }


def jwt_bearer(assertion: str) -> dict[str, str]:
    """Return the form of RFC 7523 §2.1."""
    return {"grant_type": JWT_BEARER, "assertion": assertion}


def claims(settings: OAuth2Settings, account: str, now: int) -> dict[str, object]:
    """Return what a service account signs: that it acts for the mailbox. `now` is in seconds since 1970."""
    return {
        "iss": account,
        "sub": settings.user,
        "scope": settings.scope,
        "aud": settings.token_url,
        "iat": now,
        "exp": now + ASSERTION_LIVES,
    }


def device_start(settings: OAuth2Settings) -> dict[str, str]:
    """Return the form that asks for a code to show (RFC 8628 §3.1)."""
    return {"client_id": settings.client_id, "scope": settings.scope}


def device_poll(settings: OAuth2Settings, secret: str, device_code: str) -> dict[str, str]:
    """Return the form that asks whether somebody has agreed by now (RFC 8628 §3.4)."""
    return {
        "grant_type": DEVICE_CODE,
        "device_code": device_code,
        **_client(settings, secret),
    }


def _client(settings: OAuth2Settings, secret: str) -> dict[str, str]:
    client = {"client_id": settings.client_id}
    return {**client, "client_secret": secret} if secret else client
