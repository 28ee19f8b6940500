"""Read the operator's own rules for replies: `rules.d/*.toml` beside the settings file.

Owns which files count, in which order, and that mistakes in all of them come at once. Their form
is checked by `relayd.policy.replies.rulefile`; `docs/bounces.md` tells what they mean.

The text itself goes into the settings, so that a reload sees a changed rule by comparing them.
"""

from pathlib import Path

from relayd.errors import ConfigError, Mistake
from relayd.file_access import unreadable
from relayd.policy.replies.ruleset import RuleTexts, rules_from

FOLDER = "rules.d"


def read_rules(settings_file: str) -> RuleTexts:
    """Return name and text of every rule file, in the order of names; none without the folder.

    Raises ConfigError with every mistake in any of them.
    """
    texts: list[tuple[Path, str]] = []
    mistakes: list[Mistake] = []
    folder = Path(settings_file).parent / FOLDER
    try:
        paths = _rule_files(folder)
    except OSError as error:
        raise ConfigError((_unreadable(folder, error),)) from error
    for path in paths:
        try:
            texts.append((path, path.read_bytes().decode()))
        except OSError as error:
            mistakes.append(_unreadable(path, error))
        except UnicodeDecodeError:
            mistakes.append(_mistake(path, "expected UTF-8 text"))
    try:
        rules_from(tuple((str(path), text) for path, text in texts))
    except ConfigError as error:
        mistakes += error.mistakes
    if mistakes:
        raise ConfigError(tuple(mistakes))
    return tuple((path.name, text) for path, text in texts)


def _rule_files(folder: Path) -> list[Path]:
    """Editors keep hidden files beside those they write; they do not count."""
    try:
        names = sorted(entry.name for entry in folder.iterdir())
    except FileNotFoundError:
        return []
    return [folder / name for name in names if name.endswith(".toml") and name[0] != "."]


def _unreadable(path: Path, error: OSError) -> Mistake:
    return _mistake(path, f"the rules cannot be read: {unreadable(error, path)}")


def _mistake(path: Path, expected: str) -> Mistake:
    return Mistake(file=str(path), key="", value="", expected=expected)
