"""`relayd dkim keygen`: make keys for a domain, and print what the DNS and the settings need then.

Writes key files and nothing else: mail is signed with them once the settings name them.
"""

import os
from typing import TYPE_CHECKING

import click

from relayd.cli.context import json_option, load_settings, now, settings_option
from relayd.cli.filters import DomainType
from relayd.cli.output import printable, show_json
from relayd.errors import RelaydError
from relayd.policy.dkim_rotation import (
    PEM,
    RETIRED,
    KeyKind,
    NoSelector,
    Published,
    file_name,
    next_selector,
    record_of,
)

if TYPE_CHECKING:  # pydantic, cryptography
    from relayd.settings import Settings


@click.command()
@click.argument("domain", type=DomainType())
@click.option("--rsa", "kinds", flag_value=KeyKind.RSA, multiple=True, help="Only an RSA key.")
@click.option(
    "--ed25519", "kinds", flag_value=KeyKind.ED25519, multiple=True, help="Only an Ed25519 key."
)
@json_option
@settings_option()
def keygen(*, domain: str, kinds: tuple[KeyKind, ...], as_json: bool) -> None:
    """Make an RSA and an Ed25519 key for DOMAIN, and print what the DNS and the settings need.

    The files are written beside the settings, for root and the user that runs relayd. Nothing is signed with them
    yet: publish the records first. A key that is there is not written over.
    """
    from relayd.net.dkim_keys import load_key  # noqa: PLC0415
    from relayd.net.dkim_new_key import new_key  # noqa: PLC0415

    settings = load_settings()
    made = []
    for kind in kinds or tuple(KeyKind):
        pem = new_key(kind)
        selector = _write(settings, domain, kind, pem)
        record = record_of(kind, load_key(pem.encode()).published())
        made.append((kind, Published(domain, selector, record)))
    is_first = all(each.domain != domain for each in settings.dkim)
    if as_json:
        for kind, key in made:
            show_json(
                {
                    "domain": domain,
                    "selector": key.selector,
                    "kind": kind,
                    "key_file": file_name(domain, key.selector),
                    "name": key.name,
                    "record": key.record,
                    "zone": key.zone_lines,
                }
            )
    else:
        _tell(settings, [key for _, key in made], is_first=is_first)


def _write(settings: "Settings", domain: str, kind: KeyKind, pem: str) -> str:
    """Write a key file under the next free selector, and return that. Raises RelaydError."""
    from relayd.config.dkim_files import folder_of, selectors_there, write_key  # noqa: PLC0415
    from relayd.doctor.service_user import service_user  # noqa: PLC0415

    folder = folder_of(settings.file)
    taken = {each.selector for each in settings.dkim if each.domain == domain}
    for end in (PEM, RETIRED):
        taken.update(selectors_there(folder, domain, end))
    try:
        selector = next_selector(kind, now().year, taken)
    except NoSelector as error:
        raise RelaydError(str(error)) from None
    store = settings.store
    user = service_user(store.url, store.folder) if os.geteuid() == 0 else None
    write_key(folder, domain, selector, pem, None if user is None else user.gid)
    return selector


def _tell(settings: "Settings", keys: list[Published], *, is_first: bool) -> None:
    from relayd.config.dkim_files import folder_of  # noqa: PLC0415

    folder = folder_of(settings.file)
    domain = keys[0].domain
    for key in keys:
        click.echo(f"; written: {printable(str(folder / file_name(domain, key.selector)))}")
    click.echo("; publish in the DNS:\n")
    for key in keys:
        click.echo(key.zone_lines)
    click.echo(f"\n; when `relayd dkim dns {domain}` finds them, `relayd dkim rotate {domain}`")
    click.echo("; has relayd sign with these keys")
    if is_first:
        click.echo(f"; or add to {printable(settings.file)} yourself, and `relayd reload`:")
        for key in keys:
            click.echo(
                f'\n[[dkim]]\ndomain = "{domain}"\nselector = "{key.selector}"\n'
                f'key_file = "{file_name(domain, key.selector)}"'
            )
