"""Store URLs are read in one place, and reading one imports no engine."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from relayd.store.url import check_url, is_file, is_missing, is_plain, queue_file

ROOT = Path(__file__).parents[3]
PARSED = re.compile(r"""["'](sqlite|postgresql|postgres):?["']""")


def test_a_url_names_a_file() -> None:
    assert queue_file(check_url("sqlite:/a/queue.db")) == Path("/a/queue.db")
    assert is_file("sqlite:/a/queue.db")
    assert not is_file("postgresql://a/b")


@pytest.mark.parametrize(
    "url", ["sqlite:", "sqlite:queue.db", "sqlite://a/queue.db", "sqlite:/a/", "/a/queue.db", ""]
)
def test_what_is_no_absolute_path_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="expected"):
        check_url(url)
    assert not is_plain(url)


@pytest.mark.parametrize("url", ["postgresql://a/b", "postgres:b"])
def test_an_engine_that_is_not_there_yet(url: str) -> None:
    with pytest.raises(ValueError, match="not supported by this version yet"):
        check_url(url)


def test_a_file_is_missing_only_when_that_is_known(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert is_missing(f"sqlite:{tmp_path}/queue.db")
    assert not is_missing(f"sqlite:{tmp_path}/file")
    assert not is_missing(f"sqlite:{tmp_path}/file/queue.db")


def test_nobody_else_reads_store_urls() -> None:
    """Texts may name one in full; what takes one apart is in `relayd/store/`."""
    assert PARSED.search('url.removeprefix("sqlite:")')
    assert PARSED.search("scheme == 'sqlite'")
    assert not PARSED.search('url = "sqlite:/var/lib/relayd/queue.db"')
    found = [
        str(path.relative_to(ROOT))
        for path in (ROOT / "relayd").rglob("*.py")
        if PARSED.search(path.read_text(encoding="utf-8"))
    ]
    assert found == ["relayd/store/url.py"]


def test_reading_a_url_imports_no_engine() -> None:
    code = "import sys, relayd.store.url; print('apsw' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
