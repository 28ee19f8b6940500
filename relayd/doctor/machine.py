"""The machine below us: queue file, disk, clock, modes of files, certificate."""

import asyncio
import os
import ssl
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from relayd.certificate import load_certificate
from relayd.doctor.clock import is_synchronised
from relayd.doctor.context import CheckContext
from relayd.errors import StoreError
from relayd.policy.doctor.certificate import PairFacts, judge_certificate, judge_no_certificate
from relayd.policy.doctor.der import read_certificate
from relayd.policy.doctor.finding import Finding
from relayd.policy.doctor.machine import (
    DiskFacts,
    FileFacts,
    FileKind,
    QueueFacts,
    judge_clock,
    judge_disk,
    judge_files,
    judge_queue,
    judge_soft_bounce,
    judge_store,
)
from relayd.policy.doctor.server import judge_nodes, judge_server
from relayd.secret_files import SecretError, judge_file
from relayd.settings import CertificateSettings, Settings, SmarthostSettings
from relayd.store import examine, examine_server, nodes_of
from relayd.store.url import is_file, queue_file


async def check_certificate(context: CheckContext) -> Sequence[Finding]:
    pair = context.settings.certificate
    if pair is None:
        return [judge_no_certificate()]
    return [judge_certificate(_pair_facts(pair), context.settings.fqdn, context.clock.now())]


async def check_store(context: CheckContext) -> Sequence[Finding]:
    found, queue = await asyncio.to_thread(look, context.settings.store.url)
    if not is_file(context.settings.store.url) and queue is not None:
        found += await asyncio.to_thread(_judge_nodes, context.settings)
    if queue is not None:
        found.append(judge_queue(queue, context.settings.retry.give_up_after, context.clock.now()))
    return found


def look(store: str) -> tuple[list[Finding], QueueFacts | None]:
    """Return what is to be said of the store at this URL, and what waits in it if that can be told."""
    if is_file(store):
        facts, queue = examine(store)
        return [judge_store(facts)], queue
    server, queue = examine_server(store)
    return [*judge_server(server)], queue


def _judge_nodes(settings: Settings) -> list[Finding]:
    try:
        alive = [each for each in nodes_of(settings.store.url) if each.workers]
    except StoreError:  # what is wrong with the server is said already
        return []
    alike = [each.name for each in alive if each.settings == settings.shared_digest]
    others = {
        each.name: each.differs_in(settings.shared_keys) for each in alive if each.name not in alike
    }
    return [judge_nodes(alike, others)] if alive else []


async def check_machine(context: CheckContext) -> Sequence[Finding]:
    """Look at disks, clock and modes of files."""
    settings = context.settings
    return [
        *(judge_disk(facts, settings.limits.message_size) for facts in _disks(settings)),
        judge_clock(synchronised=is_synchronised()),
        *judge_files(tuple(_files(settings))),
        *judge_soft_bounce(is_on=settings.soft_bounce),
    ]


def state_directory(settings: Settings) -> Path:
    return Path(settings.store.folder)


def _pair_facts(pair: CertificateSettings) -> PairFacts:
    """Read the files anew: they may have changed since the settings were read."""
    path = pair.certificate
    try:
        load_certificate(pair)
        pem = Path(path).read_text(encoding="ascii", errors="replace")
        begin = pem.index("-----BEGIN CERTIFICATE-----")
        end = "-----END CERTIFICATE-----"
        first = pem[begin : pem.index(end, begin) + len(end)]
        return PairFacts(path=path, certificate=read_certificate(ssl.PEM_cert_to_DER_cert(first)))
    except ssl.SSLError as error:
        why = (error.reason or "unknown").replace("_", " ").lower()
        return PairFacts(path=path, problem=f"the certificate and the key do not fit: {why}")
    except OSError as error:
        return PairFacts(path=path, problem=f"cannot be read: {error.strerror}")
    except ValueError:  # DerError is one
        return PairFacts(path=path, problem="holds no certificate that can be read")


def _disks(settings: Settings) -> Iterator[DiskFacts]:
    """The file systems of queue and log, each once."""
    directories = [state_directory(settings)]
    if settings.log.status_log != "-":
        directories.append(Path(settings.log.status_log).parent)
    seen = set()
    for directory in directories:
        path = next(each for each in (directory, *directory.parents) if os.path.exists(each))  # noqa: PTH110 -- does not raise where we may not look
        device = path.stat().st_dev
        if device in seen:
            continue
        seen.add(device)
        room = os.statvfs(path)
        yield DiskFacts(
            path=str(path),
            free=room.f_bavail * room.f_frsize,
            inodes=room.f_favail if room.f_files else None,
            read_only=bool(room.f_flag & os.ST_RDONLY),
        )


def _secrets_of(smarthosts: Iterable[SmarthostSettings]) -> Iterator[str]:
    for each in smarthosts:
        if each.login is not None:
            yield each.login.file
        if each.certificate is not None:
            yield each.certificate.key


def _files(settings: Settings) -> Iterator[FileFacts]:
    """What is there of our files; others are refused at start, or looked at by those who may."""
    queue = queue_file(settings.store.url) if is_file(settings.store.url) else None
    candidates = [
        (settings.file, FileKind.SETTINGS),
        (str(Path(settings.file).absolute().parent), FileKind.SETTINGS_DIRECTORY),
        (settings.users_file, FileKind.SECRET),
        (settings.store.password_file, FileKind.SECRET),
        (settings.certificate.key if settings.certificate else None, FileKind.SECRET),
        *((path, FileKind.SECRET) for path in _secrets_of(settings.smarthosts.values())),
        *((each.path, FileKind.SECRET) for each in settings.dkim),
        (str(state_directory(settings)), FileKind.STATE_DIRECTORY),
    ]
    if queue is not None:
        candidates += [(f"{queue}{end}", FileKind.DATABASE) for end in ("", "-wal", "-shm")]
        candidates.append((f"{queue}.content", FileKind.STATE_DIRECTORY))
    for path, kind in candidates:
        if path:
            with suppress(OSError, SecretError):
                mode = Path(path).stat().st_mode & 0o7777
                privacy = judge_file(Path(path)) if kind is FileKind.SECRET else None
                yield FileFacts(path=path, kind=kind, mode=mode, privacy=privacy)
