"""A disk that forgets what was not synced: follows a record, and tells what it may hold after a power cut.

What was synced is there. Of the rest: any of it, in any order, in pieces of 512 or 4,096 octets; the size of a file is the old
one or one of those since; a name that was made, moved or removed may be, or not. A sync of a file is none of its name.
POSIX promises no more: fsync(2), https://pubs.opengroup.org/onlinepubs/9799919799/functions/fsync.html.
"""

import random  # noqa: TID251 -- seeded
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum
from pathlib import PurePath
from typing import TypeVar

from tests.proof.record import Kind, Step

T = TypeVar("T")


class Loss(Enum):
    """What a cut does to what was not synced."""

    ALL = "nothing of it is there"
    NONE = "all of it is there"
    LAST = "what came last is missing"
    SOME = "any of it is there, torn and in any order"


@dataclass(slots=True)
class _File:
    durable: bytearray = field(default_factory=bytearray)
    pending: list[Step] = field(default_factory=list)  # WRITE and SIZE


@dataclass(frozen=True, slots=True)
class _Name:
    """A change in a folder."""

    kind: Kind
    path: str
    target: str = ""
    file: _File | None = None  # None: a folder

    @property
    def folder(self) -> str:
        return str(PurePath(self.target or self.path).parent)


State = Mapping[str, bytes | bytearray | None]
"""What a disk holds: content by path; None for a folder. To be used before the next change."""


class Disk:
    """What is durable, and what is not yet."""

    def __init__(self, folder: str, files: Mapping[str, tuple[int, bytes]] | None = None) -> None:
        """A folder that is there, with files that are durable: inode and content by path."""
        self._files: dict[int, _File] = {}  # by the inode as it is now
        self._names: dict[str, _File | None] = {folder: None}  # durable
        for path, (inode, content) in (files or {}).items():
            self._names[path] = self._files[inode] = _File(bytearray(content))
        self._pending: list[_Name] = []
        self._now = dict(self._names)
        self._syncs: dict[int, tuple[_File | str, int | list[_Name]]] = {}

    def follow(self, step: Step) -> None:
        match step.kind:
            case Kind.WRITE | Kind.SIZE:
                self._file(step.inode).pending.append(step)
            case Kind.SYNC_BEGINS:
                file = self._file(step.inode)
                self._syncs[step.offset] = (file, len(file.pending))
            case Kind.NAMES_SYNC_BEGINS:
                seen = [name for name in self._pending if name.folder == step.path]
                self._syncs[step.offset] = (step.path, seen)
            case Kind.SYNC_ENDS:
                self._end(*self._syncs.pop(step.offset))
            case Kind.MARK:
                pass
            case _:
                self._follow_name(step)

    def _follow_name(self, step: Step) -> None:
        file: _File | None = None
        if step.kind is Kind.CREATE:
            self._files[step.inode] = file = _File()
        elif step.kind is Kind.LINK:
            file = self._file(step.inode)
        elif step.kind is Kind.RENAME:
            file = self._now.get(step.path)
        if step.path:  # else it has none yet
            name = _Name(step.kind, step.path, step.target, file)
            self._pending.append(name)
            _apply(name, self._now)

    def after_a_cut(self, loss: Loss, chance: random.Random) -> State:
        """Return what the disk may hold if it is cut off now."""
        names = dict(self._names)
        kept = _chosen(self._pending, loss, chance)
        if loss is Loss.SOME and chance.random() < 0.5:
            chance.shuffle(kept)
        for name in kept:
            _apply(name, names)
        contents: dict[int, bytearray] = {}
        for file in names.values():
            if file is not None and id(file) not in contents:
                contents[id(file)] = _content(file, loss, chance)
        return {path: None if file is None else contents[id(file)] for path, file in names.items()}

    @property
    def unsynced(self) -> int:
        """How many changes are not durable yet."""
        return len(self._pending) + sum(
            len(file.pending) for file in self._now.values() if file is not None
        )

    def _file(self, inode: int) -> _File:
        return self._files.setdefault(inode, _File())

    def _end(self, what: _File | str, seen: int | list[_Name]) -> None:
        if isinstance(what, _File):
            assert isinstance(seen, int)
            done, what.pending = what.pending[:seen], what.pending[seen:]
            for step in done:
                _write(what.durable, step)
            for number, (other, count) in tuple(self._syncs.items()):
                if other is what:  # it began before, and sees less now
                    assert isinstance(count, int)
                    self._syncs[number] = (what, max(0, count - seen))
        else:
            assert isinstance(seen, list)
            for name in seen:
                if any(name is each for each in self._pending):
                    self._pending = [each for each in self._pending if each is not name]
                    _apply(name, self._names)


def _apply(name: _Name, names: dict[str, _File | None]) -> None:
    if name.kind is Kind.UNLINK:
        names.pop(name.path, None)
    elif name.kind is Kind.RENAME:
        names.pop(name.path, None)
        names[name.target] = name.file
    else:
        names[name.path] = name.file


def _write(content: bytearray, step: Step) -> None:
    if step.kind is Kind.SIZE:
        del content[step.offset :]
        content.extend(bytes(step.offset - len(content)))
        return
    content.extend(bytes(max(0, step.offset - len(content))))
    content[step.offset : step.offset + len(step.data)] = step.data


def _chosen(pending: list[T], loss: Loss, chance: random.Random) -> list[T]:
    if loss is Loss.ALL or not pending:
        return []
    if loss is Loss.NONE:
        return list(pending)
    if loss is Loss.LAST:
        return pending[: chance.randint(0, len(pending))]
    share = chance.choice((0.1, 0.5, 0.9))
    return [each for each in pending if chance.random() < share]


def _content(file: _File, loss: Loss, chance: random.Random) -> bytearray:
    """Return what is left of it: the log of a queue has 36 MB, so what is as it was is not copied."""
    if loss is not Loss.SOME:
        kept = _chosen(file.pending, loss, chance)
        return _written(file.durable, kept) if kept else file.durable
    size = len(file.durable)
    sizes = [size]
    pieces: list[Step] = []
    sector = chance.choice((512, 4096))
    for step in file.pending:
        if step.kind is Kind.SIZE:
            size = step.offset
        else:
            size = max(size, step.offset + len(step.data))
            pieces.extend(_torn(step, sector))
        sizes.append(size)
    pieces = _chosen(pieces, loss, chance)
    chance.shuffle(pieces)
    content = _written(file.durable, pieces) if file.pending else file.durable
    size = chance.choice(sizes)
    if size != len(content):
        content.extend(bytes(max(0, size - len(content))))
        del content[size:]
    return content


def _written(durable: bytearray, steps: Iterable[Step]) -> bytearray:
    content = bytearray(durable)
    for step in steps:
        _write(content, step)
    return content


def _torn(step: Step, sector: int) -> Iterator[Step]:
    at, end = step.offset, step.offset + len(step.data)
    while at < end:
        stop = min(end, (at // sector + 1) * sector)
        yield Step(
            Kind.WRITE,
            step.inode,
            at,
            step.data[at - step.offset : stop - step.offset],
        )
        at = stop
