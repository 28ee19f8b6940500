"""Run one target for a while: `python -m tests.fuzz TARGET --seconds N [--corpus DIR]`.

Begins with the committed cases and the corpus, and puts what reaches new code into the corpus, a
finding into a file `found-*` beside it. Other options are libFuzzer's. docs/fuzzing.md has more.
"""

import sys
import tempfile
from argparse import ArgumentParser
from importlib import import_module
from pathlib import Path
from typing import Any

from tests.fuzz.targets import CASES, NAMES, Target, load

LENGTH = 5000  # octets of an input, at the most: a little more than a command line may have


def main() -> None:
    parser = ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("target", choices=NAMES)
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument(
        "--corpus", type=Path, help="a folder; default: one below the system's /tmp"
    )
    given, others = parser.parse_known_args()
    corpus = given.corpus or Path(tempfile.gettempdir()) / "relayd-fuzz" / given.target
    corpus.mkdir(parents=True, exist_ok=True)
    fuzzer = _fuzzer()
    with fuzzer.instrument_imports(include=["relayd", "tests"]):
        target = load(given.target)
    arguments = [
        f"{sys.executable} -m tests.fuzz {given.target}",  # as which libFuzzer starts helpers
        f"-max_total_time={given.seconds}",
        f"-max_len={LENGTH}",
        f"-dict={_dictionary(target, corpus)}",
        f"-artifact_prefix={corpus.parent}/found-{given.target}-",
        "-print_final_stats=1",
        str(corpus),
        str(CASES / given.target),
        *others,
    ]
    fuzzer.Setup(arguments, target.check)
    fuzzer.Fuzz()  # does not return


def _fuzzer() -> Any:
    try:
        return import_module("atheris")
    except ModuleNotFoundError:
        sys.exit("atheris is missing: pip install atheris (it has wheels for Linux on x86-64 only)")


def _dictionary(target: Target, corpus: Path) -> Path:
    """Write the target's words as libFuzzer reads them."""
    path = corpus.with_suffix(".dict")
    words = ("".join(f"\\x{octet:02x}" for octet in token) for token in target.TOKENS)
    path.write_text("".join(f'"{word}"\n' for word in words))
    return path


if __name__ == "__main__":
    main()
