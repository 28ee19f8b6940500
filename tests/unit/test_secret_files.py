"""Secrets on real files: how they are found, and what their surroundings are."""

import os
from pathlib import Path

import pytest

from relayd.policy.privacy import Privacy
from relayd.secret_files import (
    NoSecretFile,
    SecretError,
    find_secret,
    judge_file,
    read_private,
    read_secret,
)

OWNED_BY_ROOT = os.geteuid() == 0
MOUNTED = Privacy.SHIELDED if OWNED_BY_ROOT else Privacy.OPEN


def a_secret(path: Path, text: str = "sesame\n", mode: int = 0o600) -> Path:
    path.write_text(text)
    path.chmod(mode)
    return path


def test_a_secret_that_is_replaced_is_read_as_it_is_now(tmp_path: Path) -> None:
    """In place, by a rename, and behind a link, as Kubernetes does it."""
    file = a_secret(tmp_path / "token", "one")
    assert read_secret(file) == ("one", "")
    file.write_text("two\n")
    assert read_secret(file) == ("two", "")
    a_secret(tmp_path / "fresh", "three\r\n").replace(file)
    assert read_secret(file) == ("three", "")
    link = tmp_path / "link"
    for number in ("4", "5"):
        folder = tmp_path / number
        folder.mkdir()
        a_secret(folder / "token", number)
        (tmp_path / "fresh").symlink_to(folder / "token")
        (tmp_path / "fresh").replace(link)
        assert read_secret(link) == (number, "")


@pytest.mark.parametrize("mode", [0o444, 0o644])
def test_what_a_container_mounts_is_taken_with_a_warning(tmp_path: Path, mode: int) -> None:
    file = a_secret(tmp_path / "password", mode=mode)
    tmp_path.chmod(0o700)
    assert judge_file(file) is MOUNTED
    if OWNED_BY_ROOT:
        secret, warning = read_secret(file)
        assert secret == "sesame"
        assert f"mode {mode:04o}" in warning
    tmp_path.chmod(0o755)
    assert judge_file(file) is Privacy.OPEN
    with pytest.raises(SecretError, match="chmod o-rwx"):
        read_secret(file)


def test_a_file_in_memory_is_one_that_was_mounted(tmp_path: Path) -> None:
    """/dev/shm is a tmpfs wherever there is one, and open to all."""
    file = Path("/dev/shm") / tmp_path.name
    try:
        a_secret(file, mode=0o644)
        assert judge_file(file) is MOUNTED
    finally:
        file.unlink()


def test_no_more_is_read_than_was_asked_for(tmp_path: Path) -> None:
    file = a_secret(tmp_path / "key", "x" * 100)
    assert read_private(file, limit=9).octets == b"x" * 10


def test_a_name_is_a_credential_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    credentials = tmp_path / "credentials"
    credentials.mkdir()
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(credentials))
    assert find_secret("password", beside=tmp_path) == tmp_path / "password"
    a_secret(credentials / "password")
    assert find_secret("password", beside=tmp_path) == credentials / "password"
    assert find_secret("./password", beside=tmp_path) == tmp_path / "password"


@pytest.mark.parametrize("name", ["absent", ".", "n" * 5000])
def test_what_cannot_be_read_is_one_error(tmp_path: Path, name: str) -> None:
    with pytest.raises(SecretError) as caught:
        read_secret(tmp_path / name)
    assert isinstance(caught.value, NoSecretFile) is (name == "absent")
