"""Where the queue is: what the keys of `[store]` mean to each other, and as one value."""

from importlib.util import find_spec
from pathlib import Path

from relayd.config.mistakes import Report
from relayd.config.model import Document, Key, Store
from relayd.secret_files import SecretError, find_secret, read_secret
from relayd.settings import StoreSettings
from relayd.store.url import is_file, state_folder, with_password_file

_TABLE: Key = ("store",)
_URL: Key = (*_TABLE, "url")
_PASSWORD: Key = (*_TABLE, "password_file")


def check_store(document: Document, report: Report, *, reads: bool) -> None:
    """Note what has no effect, and what a server could not be asked with."""
    store = document.store
    if not report.is_sound(_TABLE):
        return
    if is_file(store.url):
        for name in ("password_file", "folder"):
            if getattr(store, name):
                report.add((*_TABLE, name), "is of no use with a queue that is a file")
        return
    if not reads:
        return
    if find_spec("asyncpg") is None:
        report.add(_URL, "needs the extra `postgres`, as in pip install 'relayd[postgres]'")
    if store.password_file:
        try:
            report.warn(_PASSWORD, read_secret(_password(store, report.file))[1])
        except SecretError as error:
            report.add(_PASSWORD, str(error))


def store_settings(store: Store, file: str) -> StoreSettings:
    """Return the value; `file` is that of the settings."""
    secret = str(_password(store, file)) if store.password_file else ""
    return StoreSettings(
        url=with_password_file(store.url, secret) if secret else store.url,
        password_file=secret,
        folder=str(state_folder(store.url, store.folder)),
        history=store.history,
        keep_bounced=store.keep_bounced,
        keep_subject=store.keep_subject,
    )


def _password(store: Store, file: str) -> Path:
    return find_secret(store.password_file, beside=Path(file).absolute().parent)
