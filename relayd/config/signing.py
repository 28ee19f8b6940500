"""Find and read the keys of `[[dkim]]`.

A key that is no use is no mistake of the settings: mail goes out without its signature, or is held where
the table says so. `relayd check` names it, and so does the log of the daemon.
"""

from collections.abc import Sequence
from pathlib import Path

from relayd.config.mistakes import Report
from relayd.config.model import Document, Key
from relayd.errors import ConfigError, Mistake
from relayd.net.dkim_keys import KeyUnfit, load_key, read_key_file
from relayd.secret_files import find_secret
from relayd.settings import DkimKeySettings, Settings


def find_dkim_keys(
    document: Document, report: Report, *, reads: bool
) -> tuple[DkimKeySettings, ...]:
    """Return the keys; where they are read, each with what it holds or what is wrong with it."""
    found: list[DkimKeySettings] = []
    there: set[tuple[str, str]] = set()
    for number, table in enumerate(document.dkim):
        if (table.domain, table.selector) in there:
            key = ("dkim", number, "selector")
            report.add(key, f"expected another one: {table.domain} has a key of this name above")
        there.add((table.domain, table.selector))
        path = find_secret(table.key_file, beside=Path(report.file).parent)
        pem, problem = _read(path, ("dkim", number, "key_file"), report) if reads else (b"", "")
        found.append(
            DkimKeySettings(
                domain=table.domain,
                selector=table.selector,
                path=str(path),
                required=table.required,
                pem=pem,
                problem=problem,
            )
        )
    return tuple(found)


def require_keys(settings: Settings) -> None:
    """Raise ConfigError if nothing is signed with a key."""
    if unusable := unusable_keys(settings):
        raise ConfigError(tuple(unusable))


def unusable_keys(settings: Settings) -> Sequence[Mistake]:
    """Return what is to be said about each key that nothing is signed with."""
    return [
        Mistake(
            file=settings.file,
            key=f"dkim[{number}].key_file",
            value="",
            expected=f"nothing is signed with {each.name}: {each.problem} ({each.path})",
        )
        for number, each in enumerate(settings.dkim)
        if each.is_unusable
    ]


def _read(path: Path, key: Key, report: Report) -> tuple[bytes, str]:
    try:
        pem = read_key_file(path)
        loaded = load_key(pem)
    except KeyUnfit as unfit:
        return b"", str(unfit)
    if loaded.is_slow:
        report.warn(key, f"a key of {loaded.bits} bits takes six times as long as one of 2048")
    return pem, ""
