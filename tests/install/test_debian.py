"""The Debian package says of the files of this repository what they say. `packaging/deb/try` runs it."""

import re
import shutil
import subprocess

import pytest

from tests.support.daemon import ROOT

DEBIAN = ROOT / "packaging/deb/debian"
SCRIPTS = [
    *sorted(DEBIAN.glob("relayd.p*")),
    *(ROOT / "packaging" / name for name in ("lib.sh", "dist", "sbom", "try-fresh", "try-pythons")),
    *(ROOT / "packaging/container" / name for name in ("build", "pin")),
    *(ROOT / "packaging/deb" / name for name in ("build", "try", "inside", "lay-out")),
]


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.name)
def test_each_script_can_be_read_by_its_shell(script: object) -> None:
    text = ROOT.joinpath(str(script)).read_text()
    shell = "sh" if text.startswith("#!/bin/sh") else "bash"
    subprocess.run([shell, "-n", str(script)], check=True)


def test_no_maintainer_script_deletes_mail_unasked() -> None:
    """Only purge names the queue in a deletion, and only after the answer (DEBHELPER of no script does)."""
    for script in DEBIAN.glob("relayd.p*"):
        deletions = re.findall(r"rm -rf? .*(?:/var/lib/relayd|/etc/relayd).*", script.read_text())
        assert bool(deletions) is (script.name == "relayd.postrm"), script.name
    text = (DEBIAN / "relayd.postrm").read_text()
    asked = text.index("db_get relayd/purge-queue")
    assert text.index("is_deleted=false") < asked < text.index('"$is_deleted" = true')
    assert text.index('"$is_deleted" = true') < text.index("rm -rf /var/lib/relayd")
    assert "Default: false" in (DEBIAN / "relayd.templates").read_text()


def test_the_units_of_the_clone_name_the_folder_that_the_package_replaces() -> None:
    for unit in ("relayd.service", "relayd-console.service"):
        lines = (ROOT / "systemd" / unit).read_text().splitlines()
        starts = [line for line in lines if line.startswith("Exec")]
        assert starts
        assert all("=/opt/relayd/bin/relayd " in line for line in starts), unit
    assert "s|/opt/relayd/|" in (ROOT / "packaging/deb/lay-out").read_text()


@pytest.mark.skipif(shutil.which("logrotate") is None, reason="logrotate is not installed")
def test_logrotate_reads_its_file() -> None:
    command = ["logrotate", "--debug", str(DEBIAN / "relayd.logrotate")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert "error:" not in done.stderr


def test_no_script_has_a_variable_that_looks_like_a_setting() -> None:
    """relayd refuses to start where one is mistyped, and variables are inherited."""
    for script in SCRIPTS:
        found = re.findall(r"\bRELAYD_[A-Z_]+", script.read_text())
        assert not found, script.name
