"""The settings that answers make."""

import os
from pathlib import Path

from relayd.cli.first.asking import Answers
from relayd.config.fresh import Draft
from relayd.config.peek import DEFAULT_SETTINGS
from relayd.doctor.service_user import service_user
from relayd.policy.first_way import Way
from relayd.settings import HostPort, Settings

PASSWORD = "smarthost-password"  # noqa: S105 -- the name of its file
HEAD = "Written by {by}. `relayd explain KEY` explains a key, `relayd config set KEY VALUE` changes it."


def draft_of(answers: Answers, way: Way | None, path: str, *, with_login: bool = True) -> Draft:
    """Return the settings for a smarthost by `way`, or for direct mode."""
    values: dict[str, object] = {"fqdn": answers.fqdn}
    secrets = {}
    if answers.smarthost is None or way is None:
        values["use_remote_smtp"] = True
    else:
        host = HostPort(host=answers.smarthost.host, port=way.port)
        table = {"hosts": [str(host)], "tls": way.tls.value}
        if answers.username and with_login:
            table |= {"username": answers.username, "password_file": PASSWORD}
            secrets[PASSWORD] = answers.password
        values["smarthost"] = table
    return Draft(
        values=values | places_beside(path), secrets=secrets, about=HEAD.format(by="relayd init")
    )


def places_beside(path: str) -> dict[str, object]:
    """Return where the daemon keeps its files: those of the unit, or beside settings that are elsewhere."""
    folder = Path(path).absolute().parent
    if folder == Path(DEFAULT_SETTINGS).parent:
        return {}
    return {
        "store": {"url": f"sqlite:{folder}/queue.db"},
        "control": {"socket": f"{folder}/control.sock"},
        "status_log": {"path": f"{folder}/status.log"},
    }


def group_of(settings: Settings) -> int | None:
    """Return the group that may read the settings and their secrets; None: nobody but us."""
    if os.geteuid() != 0:
        return None
    user = service_user(settings.store.url, settings.store.folder)
    return os.getegid() if user is None else user.gid
