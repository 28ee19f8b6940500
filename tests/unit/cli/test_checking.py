import pytest

from relayd.cli.checking import progress


def test_progress_is_for_terminals(capsys: pytest.CaptureFixture[str]) -> None:
    with progress("the moon"):
        pass
    assert capsys.readouterr().err == ""
