"""Check the users file that listeners with logins need, and say where it is."""

from pathlib import Path

from relayd.accounts.users_file import read_users
from relayd.config.mistakes import Report, read_document
from relayd.config.model import Document
from relayd.errors import ConfigError, UsersError
from relayd.secret_files import SecretError, read_private
from relayd.settings import ListenerAuth

_KEY = ("auth", "users_file")


def find_users_file(document: Document, report: Report, *, reads: bool) -> str | None:
    """Return where the file is; None if no listener takes logins. Reports one that is read and is no use."""
    if all(listener.auth is ListenerAuth.OFF for listener in document.listen):
        return None
    path = _path(document, report)
    if reads and report.is_sound(_KEY):
        try:
            read_users(path)
            report.warn(_KEY, read_private(path, limit=0).warning)
        except (UsersError, OSError, SecretError) as error:
            report.add(_KEY, str(error))
    return str(path)


def find_users(report: Report) -> Path:
    """Return where the file is, or will be. Raises ConfigError, of no other mistake than its name's."""
    document = read_document(report)
    if not report.is_sound(_KEY):
        mine = [each for each in report.mistakes if each.key.startswith(_KEY[0])]
        raise ConfigError(tuple(mine))
    return _path(document, report)


def _path(document: Document, report: Report) -> Path:
    return Path(report.file).parent / document.auth.users_file
