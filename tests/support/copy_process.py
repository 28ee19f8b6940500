"""Copies a queue in small pieces, and prints a line after each, for who ends this process in the middle.

python -m tests.support.copy_process FROM TO ROWS
"""

import asyncio
import sys

from relayd.store.copying.opening import opened
from relayd.store.copying.run import copy


async def _run(source: str, target: str, at_once: int) -> None:
    async with (
        opened(source, lambda _: "") as one,
        opened(target, lambda _: "", is_new=True) as other,
    ):
        await copy(one, other, lambda what, *_: print(what, flush=True), at_once=at_once)


asyncio.run(_run(sys.argv[1], sys.argv[2], int(sys.argv[3])))
