"""Whether a secret is private enough: on a host, and as a container runtime mounts it."""

import pytest

from relayd.policy.privacy import Privacy, SecretFacts, judge_privacy

PRIVATE, SHIELDED, OPEN = Privacy.PRIVATE, Privacy.SHIELDED, Privacy.OPEN


@pytest.mark.parametrize(
    ("mode", "owner", "directory_mode", "is_on_mount", "privacy"),
    [
        pytest.param(0o600, 1000, 0o755, False, PRIVATE, id="host"),
        pytest.param(0o640, 0, 0o755, False, PRIVATE, id="group"),
        pytest.param(0o444, 0, 0o755, True, SHIELDED, id="docker"),
        pytest.param(0o644, 0, 0o1777, True, SHIELDED, id="kubernetes"),
        pytest.param(0o644, 0, 0o700, False, SHIELDED, id="closed-directory"),
        pytest.param(0o444, 0, 0o750, False, SHIELDED, id="directory-of-a-group"),
        pytest.param(0o644, 0, 0o755, False, OPEN, id="anybody-can-get-at-it"),
        pytest.param(0o644, 0, 0o711, False, OPEN, id="anybody-who-knows-the-name"),
        pytest.param(0o644, 1000, 0o700, True, OPEN, id="not-root's"),
        pytest.param(0o646, 0, 0o700, True, OPEN, id="others-may-write"),
        pytest.param(0o664, 0, 0o700, True, OPEN, id="the-group-may-write"),
        pytest.param(0o755, 0, 0o700, True, OPEN, id="no-runtime-mounts-it-so"),
        pytest.param(0o602, 0, 0o700, True, OPEN, id="others-may-only-write"),
    ],
)
def test_how_private_a_file_is(
    mode: int, owner: int, directory_mode: int, privacy: Privacy, *, is_on_mount: bool
) -> None:
    facts = SecretFacts(
        mode=mode, owner=owner, directory_mode=directory_mode, is_on_mount=is_on_mount
    )
    assert judge_privacy(facts) is privacy


def test_a_credential_of_systemd_is_private_whatever_its_mode() -> None:
    facts = SecretFacts(
        mode=0o444, owner=0, directory_mode=0o755, is_on_mount=False, is_credential=True
    )
    assert judge_privacy(facts) is PRIVATE
