"""What `relayd import` does, in its order: read, judge, write, judge what was written."""

from collections.abc import Callable, Mapping
from pathlib import Path

import click

from relayd.cli.context import NoSuch
from relayd.cli.first.drafting import HEAD, group_of, places_beside
from relayd.cli.output import printable
from relayd.config import units
from relayd.config.fresh import Draft, judged, refuse_replacing, write_fresh
from relayd.config.peek import DEFAULT_SETTINGS, LOCAL_SOCKET
from relayd.config.toml_text import toml_of
from relayd.elsewhere import exim, msmtp, nullmailer, postfix, ssmtp
from relayd.elsewhere.found import Found
from relayd.elsewhere.telling import tell
from relayd.errors import ConfigError, Mistake

_SOURCES: Mapping[str, tuple[str, Callable[[Path], Found]]] = {
    "postfix": (postfix.PLACE, postfix.read_postfix),
    "msmtp": (msmtp.PLACE, msmtp.read_msmtp),
    "ssmtp": (ssmtp.PLACE, ssmtp.read_ssmtp),
    "nullmailer": (nullmailer.PLACE, nullmailer.read_nullmailer),
    "exim-smarthost": (exim.PLACE, exim.read_exim),
}


def carry_over(
    kind: str, path: Path | None, settings: str, *, fqdn: str | None, dry_run: bool, force: bool
) -> None:
    """Carry it out. Raises NoSuch, UsageError, ConfigError, OSError."""
    usual, read = _SOURCES[kind]
    place = (path or Path(usual)).absolute()
    if not place.exists():
        raise NoSuch(f"there is no {place}: name the file or folder with the settings of {kind}")
    if not (force or dry_run):
        refuse_replacing(Draft(values={}, about=""), settings)
    try:
        found = read(place)
    except FileNotFoundError as missing:
        raise NoSuch(f"there is no {missing.filename}: is {place} of {kind}?") from None
    if flaws := found.flaws():
        _tell_notes(found)
        raise ConfigError(
            tuple(Mistake(file=each.place, key="", value="", expected=each.told) for each in flaws)
        )
    found.fqdn = _name(fqdn or found.fqdn)
    draft = _draft(found, kind, place, settings)
    result = judged(draft, settings)
    _tell_notes(found)
    if dry_run:
        click.echo(printable_text(toml_of(draft.values, draft.about)), nl=False)
        return
    files = write_fresh(draft, settings, group=group_of(result), replaces=force)
    click.echo(printable(f"written: {', '.join(map(str, files))}"))


def _name(name: str) -> str:
    try:
        return units.fqdn(name)
    except ValueError as wrong:
        told = "they do not say the full name of this machine" if not name else str(wrong)
        raise click.UsageError(f"{told}: add --fqdn NAME") from None


def _draft(found: Found, kind: str, place: Path, settings: str) -> Draft:
    folder = Path(settings).absolute().parent
    is_usual = folder == Path(DEFAULT_SETTINGS).parent
    told = tell(found, local_socket=LOCAL_SOCKET if is_usual else str(folder / "smtp.sock"))
    about = HEAD.format(by=f"relayd import {kind}, of {printable(str(place))}")
    return Draft(values=told.values | places_beside(settings), about=about, secrets=told.secrets)


def _tell_notes(found: Found) -> None:
    """Print a line for each thing that is not as it was; there is no secret in them."""
    for note in found.notes:
        click.echo(printable(f"differs: {note.place}: {note.told}"), err=True)


def printable_text(text: str) -> str:
    return "".join(f"{printable(line)}\n" for line in text.splitlines())
