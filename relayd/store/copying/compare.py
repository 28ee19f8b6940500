"""Whether a copy is what it was made of: each row of both is read again, and they are compared by count and digest."""

import hashlib
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field

from relayd.mail.content import Content
from relayd.store.copying.side import PART, Keyed, Row, Side, Tell
from relayd.store.copying.tables import CONTENTS, RECIPIENT, TABLES, Table

AT_ONCE = 2000  # rows that are read, or written, in one piece
_WHOLE = 1 << 128


@dataclass(slots=True)
class Sum:
    """What the rows of a table come to, in whatever order they were read."""

    rows: int = 0
    digest: int = 0
    octets: int = 0  # of content
    states: Counter[str] = field(default_factory=Counter)  # of recipients

    def add(self, table: Table, row: Row) -> None:
        told = hashlib.blake2b(repr(row).encode("utf-8", "surrogatepass"), digest_size=16).digest()
        self.rows += 1
        self.digest = (self.digest + int.from_bytes(told)) % _WHOLE
        if table is CONTENTS:
            self.octets += row[1]
        elif table.name == RECIPIENT:
            self.states[row[_STATE]] += 1


_STATE = next(each for each in TABLES if each.name == RECIPIENT).columns.index("state")


async def pages(side: Side, table: Table, after: Row | None = None) -> AsyncIterator[list[Keyed]]:
    """Yield the rows of a table behind a key, in pieces."""
    while True:
        if table is CONTENTS:
            found = [
                ((message_id,), _content_row(message_id, each))
                for message_id, each in await side.contents(after)
            ]
        else:
            found = list(await side.page(table, after, AT_ONCE))
        if not found:
            return
        yield found
        after = found[-1][0]


async def sums(side: Side, tell: Tell, totals: Mapping[str, int]) -> Mapping[str, Sum]:
    """Read a whole store."""
    found: dict[str, Sum] = {}
    for table in TABLES:
        found[table.name] = one = Sum()
        async for page in pages(side, table):
            for _, row in page:
                one.add(table, row)
            tell(f"comparing {table.name}", one.rows, totals[table.name])
    return found


def differences(source: Mapping[str, Sum], target: Mapping[str, Sum]) -> list[str]:
    """Return the tables whose rows are not the same, in words."""
    told = []
    for name, one in source.items():
        other = target[name]
        if one.rows != other.rows:
            told.append(f"{name} has {one.rows:,} rows, and {other.rows:,} in the copy")
        elif one.digest != other.digest:
            told.append(f"{name} has as many rows as in the copy, and others")
    return told


def _content_row(message_id: int, content: Content) -> Row:
    digest = hashlib.sha256()
    for begin in range(0, len(content), PART):
        digest.update(content[begin : begin + PART])
    return message_id, len(content), digest.hexdigest()
