"""How long it takes to copy a queue with its history from a file into PostgreSQL, and back.

    python -m benchmarks.store_copy MESSAGES

Makes a history of so many messages, of which one in ten waits with 4 KiB of content, and a server of its own. Prints
for each way the rows, the seconds, the rows in a second with and without the comparison, and the processor time here.
"""

import sys
import tempfile
import time
from contextlib import closing
from pathlib import Path

from benchmarks.history import count, fill
from relayd.store import copy
from relayd.store.sqlite.connection import open_writer
from tests.support import postgres

_WAITS = 10  # one in so many
_CONTENT = 4096  # octets


def main(messages: int) -> None:
    with tempfile.TemporaryDirectory(dir="/var/tmp") as folder:
        first, last = f"{folder}/queue.db", f"{folder}/back.db"
        fill(Path(first), messages=messages, waiting=messages // _WAITS)
        count(Path(first))
        _give_content(first)
        server = postgres.Server()
        try:
            _measure("there", f"sqlite:{first}", server.url())
            _measure("back", server.url(), f"sqlite:{last}")
        finally:
            server.close()


def _give_content(path: str) -> None:
    with closing(open_writer(path)) as db, db:
        db.execute(f"UPDATE content SET body = randomblob({_CONTENT})")


def _measure(name: str, source: str, target: str) -> None:
    begun = {"copying": 0.0, "comparing": 0.0}

    def tell(what: str, *_: int) -> None:
        phase = what.partition(" ")[0]
        begun[phase] = begun.get(phase) or time.monotonic()

    start, used = time.monotonic(), time.process_time()
    done = copy(source, target, tell, is_locked=lambda _: False)
    end, rows = time.monotonic(), sum(done.rows.values())
    copied = begun["comparing"] - start
    print(
        f"{name}: {done.rows['message']:,} messages, {rows:,} rows, {done.octets:,} octets of content:"
        f" {end - start:.1f} s, {rows / (end - start):,.0f} rows/s; copied alone {copied:.1f} s,"
        f" {rows / copied:,.0f} rows/s; {time.process_time() - used:.1f} s of the processor here"
    )


main(int(sys.argv[1]))
