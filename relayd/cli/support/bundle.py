"""One archive of all parts, for its owner alone."""

import io
import os
import tarfile
from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from subprocess import SubprocessError

import click

from relayd.cli.context import load_settings, now
from relayd.cli.output import printable
from relayd.cli.progress import progress
from relayd.cli.support.masking import Mask, secrets_of
from relayd.cli.support.parts import parts_of
from relayd.config.load import read
from relayd.errors import ConfigError, RelaydError
from relayd.settings import Settings

_MODE = 0o600
_TROUBLES = (RelaydError, OSError, ValueError, SubprocessError, click.ClickException)
"""What a part may fail with; the others are of use all the same."""
_ABOUT = """\
What relayd tells somebody who helps. Read it before you send it.

It has no passwords, tokens and keys: what is in the files that the settings name is replaced by ***. Nor has it the local parts of
mail addresses: a number in brackets stands for each, the same number for the same address. It has domains, IP addresses, names of
users and of files, tags, and the replies of other servers. Of messages it has neither content nor subject.
"""


def write_bundle(folder: Path, path: str) -> Path:
    """Write the archive for the settings in `path` into a folder, and return where it is. Raises OSError."""
    at = now()
    mask = Mask(_secrets(path))
    name = f"relayd-support-{at:%Y%m%dT%H%M%SZ}"
    texts = {"README.txt": _ABOUT, **_texts(path, mask)}
    target = folder / f"{name}.tar.gz"
    octets = _packed(name, texts, at)
    descriptor = os.open(
        target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, _MODE
    )
    try:
        with open(descriptor, "wb") as file:  # noqa: PTH123 -- nobody else's file
            os.fchmod(file.fileno(), _MODE)
            file.write(octets)
    except BaseException:  # a full disk, or Ctrl-C: half an archive is none
        target.unlink(missing_ok=True)
        raise
    return target


def _secrets(path: str) -> frozenset[str]:
    data: Mapping[str, object] = {}
    with suppress(ConfigError):
        data = read(path)[1]
    return secrets_of(data, Path(path).absolute().parent)


def _texts(path: str, mask: Mask) -> dict[str, str]:
    """Return the text of each part, masked; one that fails says why."""
    settings: Settings | ConfigError
    try:
        settings = load_settings(with_secrets=True)
    except ConfigError as error:
        settings = error
    texts = {}
    for name, read_part in parts_of(path, settings, mask):
        with progress() as line:
            line.show(f"  {name} …")
            try:
                text = read_part()
            except _TROUBLES as trouble:
                text = f"this cannot be told: {type(trouble).__name__}: {' '.join(str(trouble).split())}\n"
        texts[name] = "".join(f"{printable(each)}\n" for each in mask.text(text).splitlines())
    return texts


def _packed(name: str, texts: Mapping[str, str], at: datetime) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for part, text in texts.items():
            member = tarfile.TarInfo(f"{name}/{part}")
            member.size, member.mode, member.mtime = len(text.encode()), _MODE, int(at.timestamp())
            archive.addfile(member, io.BytesIO(text.encode()))
    return buffer.getvalue()
