"""Key files of DKIM beside the settings: those that commands make, and notes about those that were replaced.

A key is `dkim-DOMAIN-SELECTOR.pem`; nothing here writes over one. A note is `dkim-DOMAIN-SELECTOR.retired` with one
instant: until then the record of that key has to stay in the DNS.
"""

import os
from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime
from pathlib import Path

from relayd.errors import StartError
from relayd.file_access import unwritable
from relayd.files import alone_in, replace
from relayd.mail.words import format_instant
from relayd.policy.dkim_rotation import RETIRED, file_name, selector_in
from relayd.policy.doctor.dkim_keys import Replaced

_NOTE_MODE = 0o644  # no secret: the record is public


def folder_of(settings_file: str) -> Path:
    """Return where key files without a path are."""
    return Path(settings_file).absolute().parent


def selectors_there(folder: Path, domain: str, end: str) -> list[str]:
    """Return the selectors of the files of a domain, in order; none where the folder cannot be read."""
    try:
        names = os.listdir(folder)  # noqa: PTH208 -- names are all that is wanted
    except OSError:
        return []
    return sorted(each for name in names if (each := selector_in(name, domain, end)))


def write_key(folder: Path, domain: str, selector: str, pem: str, group: int | None) -> Path:
    """Write a key file that is there for its group, or for us alone. Raises StartError, also if it exists."""
    path = folder / file_name(domain, selector)

    def dress(descriptor: int, fresh: Path) -> None:  # noqa: ARG001 -- `replace` gives both
        if group is not None:
            os.fchown(descriptor, -1, group)
            os.fchmod(descriptor, 0o640)

    try:
        with alone_in(folder):
            if os.path.lexists(path):
                raise StartError(f"{path} exists: a key is not written over")
            replace(path, pem, dress)
    except OSError as error:
        raise StartError(f"{path} cannot be written: {unwritable(error, path)}") from error
    return path


def note_replaced(folder: Path, replaced: Replaced) -> None:
    """Write down until when the record of a key has to stay. Raises StartError."""
    path = folder / file_name(replaced.domain, replaced.selector, RETIRED)
    text = f"{format_instant(replaced.stays_until)}\n"
    try:
        replace(path, text, lambda descriptor, _: os.fchmod(descriptor, _NOTE_MODE))
    except OSError as error:
        raise StartError(f"{path} cannot be written: {unwritable(error, path)}") from error


def replaced_keys(folder: Path, domain: str) -> Iterator[Replaced]:
    """Give the keys of a domain that were replaced; a note that cannot be read is none."""
    for selector in selectors_there(folder, domain, RETIRED):
        try:
            text = (folder / file_name(domain, selector, RETIRED)).read_text(encoding="ascii")
            until = datetime.fromisoformat(text.strip())
        except (OSError, ValueError):
            continue
        if until.tzinfo is not None:
            yield Replaced(domain=domain, selector=selector, stays_until=until)


def drop_note(folder: Path, replaced: Replaced) -> None:
    """Forget a note of a key that signs after all."""
    with suppress(OSError):
        (folder / file_name(replaced.domain, replaced.selector, RETIRED)).unlink()
