"""Unit tests have files on disk: many are of secrets, and none has a large queue."""

from pathlib import Path

import pytest


@pytest.fixture
def tmp_path(disk_path: Path) -> Path:
    return disk_path
