"""Is what was acknowledged ever lost? Power cuts, kills, failing system calls, clocks that are set, on this machine.

Prints a table of what was tried and what was wrong, and ends with 1 if anything was, or if a fault that was put in was not found.
docs/durability.md says what each row means.

    python -m tests.proof [--part NAME]... [--minutes N] [--seed N] [--json]
"""

import argparse
import sys

from tests.proof.parts import PARTS


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tests.proof", description=__doc__.split("\n")[0]
    )
    parser.add_argument("--part", action="append", choices=PARTS, help="all of them without it")
    parser.add_argument("--minutes", type=float, default=30, help="besides controls and peers")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", action="store_true", help="one object for each row")
    arguments = parser.parse_args()
    names = arguments.part or [*PARTS]
    timed = [name for name in names if name not in {"controls", "peers"}]
    seconds = 60 * arguments.minutes / max(1, len(timed))
    all_right = True
    for name in names:
        print(f"... {name}", file=sys.stderr, flush=True)
        for work in PARTS[name](seconds, arguments.seed):
            row = work()
            all_right &= row.is_right
            print(row.as_json() if arguments.json else row.as_text(), flush=True)
    return 0 if all_right else 1


if __name__ == "__main__":
    sys.exit(main())
