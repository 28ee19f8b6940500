"""The keys of a smarthost that begin with `oauth2_`: how they are written, what they need, and what they come to.

A provider knows most of it; without one, `oauth2_token_url` says whom to ask. A key that has no effect is a mistake.
"""

from collections.abc import Sequence
from pathlib import Path

from relayd.config.mistakes import Report
from relayd.config.model import Document, Key
from relayd.config.smarthosts import Smarthost
from relayd.net.oauth2.signing import KeyUnfit, read_account
from relayd.policy.oauth2.grants import (
    Flow,
    OAuth2Settings,
    Preset,
    Provider,
    preset_of,
    usual_flow,
)
from relayd.secret_files import NoSecretFile, SecretError, find_secret, read_private, read_secret
from relayd.settings import AuthMechanism
from relayd.store.url import state_folder

OAUTH2_KEYS = (
    "provider",
    "flow",
    "tenant",
    "client_id",
    "client_secret_file",
    "key_file",
    "scope",
    "token_url",
    "device_url",
)
_KEY_LIMIT = 64 * 1024
_NEEDED = {
    Flow.CLIENT_CREDENTIALS: ("client_id", "client_secret_file"),
    Flow.REFRESH_TOKEN: ("client_id",),
    Flow.SERVICE_ACCOUNT: ("key_file",),
}
_USELESS = {
    Flow.CLIENT_CREDENTIALS: ("key_file", "device_url"),
    Flow.REFRESH_TOKEN: ("key_file",),
    Flow.SERVICE_ACCOUNT: ("client_id", "client_secret_file", "device_url"),
}


def check_oauth2(smarthost: Smarthost, table: Key, report: Report) -> None:
    """Note what is missing, and what has no effect."""
    written = _written(smarthost)
    if smarthost.auth is not AuthMechanism.OAUTH2:
        for name in written:
            report.add((*table, f"oauth2_{name}"), 'is set, and auth is not "oauth2"')
        return
    for name in ("password_file", "token_file"):
        if getattr(smarthost, name):
            report.add(
                (*table, name), 'is set, but with auth = "oauth2" relayd gets the token itself'
            )
    if not smarthost.username:
        report.add((*table, "username"), "is missing: the mailbox that sends")
    _check_flow(smarthost, written, table, report)


def _check_flow(smarthost: Smarthost, written: Sequence[str], table: Key, report: Report) -> None:
    provider, flow = smarthost.oauth2_provider, flow_of(smarthost)
    if provider is not Provider.NONE and preset_of(provider, flow) is None:
        report.add((*table, "oauth2_flow"), f"{provider} has no {flow}")
        return
    for name in _needed(provider, flow):
        if not getattr(smarthost, f"oauth2_{name}"):
            whose = f'oauth2_provider = "{provider}"' if provider is not Provider.NONE else "OAuth2"
            report.add((*table, f"oauth2_{name}"), f"is missing: {whose} with {flow} needs it")
    for name in _useless(provider, flow):
        if name in written:
            report.add((*table, f"oauth2_{name}"), f"is set, but {flow} has no use for it")


def flow_of(smarthost: Smarthost) -> Flow:
    """Return the flow that counts."""
    flow = smarthost.oauth2_flow
    return usual_flow(smarthost.oauth2_provider) if flow is Flow.AUTO else flow


def find_oauth2(
    name: str, table: Key, smarthost: Smarthost, document: Document, report: Report, *, reads: bool
) -> OAuth2Settings | None:
    """Return how the token of a smarthost is come by; None if relayd does not do that. Reports a secret that is no use."""
    if smarthost.auth is not AuthMechanism.OAUTH2:
        return None
    flow, provider = flow_of(smarthost), smarthost.oauth2_provider
    preset = preset_of(provider, flow) or Preset(token_url="", device_url="", scope="")
    is_account = flow is Flow.SERVICE_ACCOUNT
    key = "oauth2_key_file" if is_account else "oauth2_client_secret_file"
    written = smarthost.oauth2_key_file if is_account else smarthost.oauth2_client_secret_file
    path = find_secret(written, beside=Path(report.file).parent) if written else None
    if reads and path is not None:
        _try(path, written, (*table, key), report, is_account=is_account)
    return OAuth2Settings(
        name=name,
        user=smarthost.username,
        flow=flow,
        token_url=smarthost.oauth2_token_url
        or preset.token_url.replace("{tenant}", smarthost.oauth2_tenant),
        device_url=smarthost.oauth2_device_url
        or preset.device_url.replace("{tenant}", smarthost.oauth2_tenant),
        scope=smarthost.oauth2_scope or preset.scope,
        client_id=smarthost.oauth2_client_id,
        secret_file="" if path is None else str(path.absolute()),
        state=str(state_folder(document.store.url, document.store.folder) / "oauth2" / name),
    )


def _needed(provider: Provider, flow: Flow) -> tuple[str, ...]:
    by_provider = {Provider.MICROSOFT: ("tenant",), Provider.NONE: ("token_url",)}
    return (*by_provider.get(provider, ()), *_NEEDED[flow])


def _useless(provider: Provider, flow: Flow) -> tuple[str, ...]:
    return (*_USELESS[flow], *(() if provider is Provider.MICROSOFT else ("tenant",)))


def _written(smarthost: Smarthost) -> Sequence[str]:
    """Return which of the keys say something."""
    fields = type(smarthost).model_fields
    return [
        name
        for name in OAUTH2_KEYS
        if getattr(smarthost, f"oauth2_{name}") != fields[f"oauth2_{name}"].default
    ]


def _try(path: Path, written: str, key: Key, report: Report, *, is_account: bool) -> None:
    """Read the secret as it will be read for a token."""
    try:
        if is_account:
            read = read_private(path, limit=_KEY_LIMIT)
            read_account(read.octets.decode("utf-8", "replace"))
            report.warn(key, read.warning)
        else:
            report.warn(key, read_secret(path)[1])
    except FileNotFoundError:
        report.add(key, "there is no such file")
    except OSError as error:
        report.add(key, f"the file cannot be read: {error.strerror}")
    except (SecretError, KeyUnfit) as error:
        bare = isinstance(error, NoSecretFile) and "/" not in written
        where = " among the systemd credentials or beside the settings" if bare else ""
        report.add(key, f"{error}{where}")
