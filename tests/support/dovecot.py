"""A real Dovecot in a folder of its own, as a submission server that takes OAuth2 tokens. Starting it takes root.

It asks a token server of ours who a token belongs to, and hands the mail on to another server.
"""

import asyncio
import json
import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

_CONF = """\
protocols = submission
base_dir = {folder}/run
state_dir = {folder}/state
log_path = {folder}/dovecot.log
auth_verbose = yes
first_valid_uid = 1
first_valid_gid = 1
ssl = required
ssl_cert = <{certificate}
ssl_key = <{key}
auth_mechanisms = xoauth2 oauthbearer
mail_location = maildir:{folder}/mail
passdb {{
  driver = oauth2
  mechanisms = xoauth2 oauthbearer
  args = {folder}/oauth2.conf
}}
userdb {{
  driver = static
  args = uid={user} gid={user} home={folder}/mail
}}
hostname = submission.test
submission_relay_host = 127.0.0.1
submission_relay_port = {relay}
service submission-login {{
  chroot =
  inet_listener submission {{
    address = 127.0.0.1
    port = {port}
  }}
}}
service anvil {{
  chroot =
}}
"""
_OAUTH2 = """\
tokeninfo_url = http://127.0.0.1:{tokens}/info?access_token=
username_attribute = username
active_attribute = active
active_value = yes
"""


def why_not() -> str:
    """Why it cannot be started here; empty if it can."""
    if shutil.which("dovecot") is None or not Path("/usr/lib/dovecot/submission").exists():
        return "dovecot-submissiond is not installed"
    return "" if os.geteuid() == 0 else "dovecot can be started by root only"


class Dovecot:
    """One instance; its users must be able to enter the folders above `folder`."""

    def __init__(
        self, folder: Path, *, port: int, relay: int, tokens: int, pair: tuple[str, str]
    ) -> None:
        self.log = folder / "dovecot.log"
        self._conf = folder / "dovecot.conf"
        folder.chmod(0o755)
        (folder / "mail").mkdir()
        shutil.chown(folder / "mail", "mail", "mail")
        certificate, key = pair
        self._conf.write_text(
            _CONF.format(
                folder=folder, port=port, relay=relay, user="mail", certificate=certificate, key=key
            )
        )
        (folder / "oauth2.conf").write_text(_OAUTH2.format(tokens=tokens))

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(["dovecot", "-F", "-c", str(self._conf)])
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        self._process.terminate()
        self._process.wait(20)


class TokenInfo:
    """Says whose a token is: HTTP in clear text, on loopback."""

    def __init__(self, owners: Mapping[str, str]) -> None:
        self.owners = dict(owners)
        self.port = 0

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        token = head.split()[1].partition("access_token=")[2]
        owner = self.owners.get(token)
        told = {} if owner is None else {"username": owner, "active": "yes"}
        body = json.dumps(told).encode()
        status = "200 OK" if owner else "401 Unauthorized"
        writer.write(
            f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n"
            "Connection: close\r\n\r\n".encode()
            + body
        )
        await writer.drain()
        writer.close()
