"""The Debian package says of the files of this repository what they say. `packaging/deb/try` runs it."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.support.daemon import ROOT

DEBIAN = ROOT / "packaging/deb/debian"
SCRIPTS = [
    *sorted(DEBIAN.glob("relayd.p*")),
    *(ROOT / "packaging" / name for name in ("lib.sh", "dist", "sbom", "try-fresh", "try-pythons")),
    *(ROOT / "packaging/container" / name for name in ("build", "pin")),
    *(
        ROOT / "packaging/deb" / name
        for name in ("build", "try", "inside", "lay-out", "sendmail-alternative")
    ),
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


NAMES = ("sbin/sendmail", "lib/sendmail", "bin/mailq", "bin/newaliases")
OURS = {name: f"/etc/alternatives/{Path(name).name}" for name in NAMES}
OURS["lib/sendmail"] = "/etc/alternatives/sendmail-lib"
_EXIM = ("lib/sendmail", "bin/mailq", "bin/newaliases")
EXIM = {"sbin/sendmail": "exim4", **dict.fromkeys(_EXIM, "../sbin/exim4")}
POSTFIX = dict.fromkeys(_EXIM, "../sbin/sendmail")  # and a file
MSMTP = {
    "sbin/sendmail": "../bin/msmtp",
    "lib/sendmail": "../bin/msmtp",
    "bin/newaliases": "/bin/true",
}
QUEUE_TOOL = {"bin/mailq": "/opt/tool/mailq"}  # put there by hand

needs_alternatives = pytest.mark.skipif(
    shutil.which("update-alternatives") is None, reason="this is no Debian"
)


@pytest.fixture
def system(tmp_path: Path) -> Path:
    """A root with the folders of update-alternatives, and our three programs."""
    ours = tmp_path / "usr/lib/relayd/bin"
    for folder in (
        "usr/sbin",
        "usr/lib",
        "usr/bin",
        "etc/alternatives",
        "var/lib/dpkg/alternatives",
        "var/log",
    ):
        (tmp_path / folder).mkdir(parents=True)
    ours.mkdir(parents=True)
    for name in NAMES:
        (ours / Path(name).name).touch()
    return tmp_path


def alternative(system: Path, verb: str) -> dict[str, str]:
    """Carry out what the maintainer scripts do, and return the links that there are afterwards."""
    environment = {**os.environ, "DPKG_ROOT": str(system)}
    script = ROOT / "packaging/deb/sendmail-alternative"
    subprocess.run([str(script), verb], env=environment, check=True, capture_output=True)
    return links(system)


def links(system: Path) -> dict[str, str]:
    found = {name: system / "usr" / name for name in NAMES}
    return {name: str(path.readlink()) for name, path in found.items() if path.is_symlink()}


def lay(system: Path, theirs: dict[str, str]) -> None:
    """Put links there as dpkg does: in the place of what there is."""
    for name, target in theirs.items():
        (system / "usr" / name).unlink(missing_ok=True)
        (system / "usr" / name).symlink_to(target)


@needs_alternatives
def test_where_no_mail_server_is_sendmail_is_ours_and_goes_with_us(system: Path) -> None:
    assert alternative(system, "install") == OURS
    assert alternative(system, "install") == OURS
    assert alternative(system, "remove") == {}


@needs_alternatives
@pytest.mark.parametrize("theirs", [EXIM, MSMTP], ids=["exim", "msmtp"])
def test_links_of_another_mail_server_are_never_replaced(
    system: Path, theirs: dict[str, str]
) -> None:
    """update-alternatives takes every link for its own, and those of Exim are links in its package."""
    lay(system, theirs)
    assert alternative(system, "install") == theirs
    assert alternative(system, "remove") == theirs


@needs_alternatives
def test_links_beside_a_file_of_another_mail_server_are_never_replaced(system: Path) -> None:
    (system / "usr/sbin/sendmail").write_text("Postfix")
    lay(system, POSTFIX)
    assert alternative(system, "install") == POSTFIX
    assert alternative(system, "remove") == POSTFIX
    assert (system / "usr/sbin/sendmail").read_text() == "Postfix"


@needs_alternatives
@pytest.mark.parametrize("upgraded", [True, False])
def test_a_mail_server_that_is_installed_later_keeps_its_links(
    system: Path, *, upgraded: bool
) -> None:
    assert alternative(system, "install") == OURS
    lay(system, EXIM)
    if upgraded:
        assert alternative(system, "install") == EXIM
    assert alternative(system, "remove") == EXIM


@needs_alternatives
def test_one_name_that_somebody_has_keeps_no_other_from_being_ours(system: Path) -> None:
    lay(system, QUEUE_TOOL)
    assert alternative(system, "install") == {**OURS, **QUEUE_TOOL}
    assert alternative(system, "remove") == QUEUE_TOOL


def test_what_the_socket_starts_during_an_upgrade_waits_for_its_end() -> None:
    """prerm and postinst name the same files; packaging/deb/try has a client come in between."""
    scripts = [(DEBIAN / f"relayd.{name}").read_text() for name in ("prerm", "postinst")]
    for line in ("running=/run/relayd.upgrade\n", "waits=/run/systemd/system/relayd.service.d\n"):
        assert all(line in script for script in scripts)
    prerm, postinst = scripts
    assert prerm.index("daemon-reload") < prerm.index("deb-systemd-invoke stop relayd-console")
    assert postinst.index('rm -f "$running"') < postinst.index('systemctl start "$unit"')
    rules = (DEBIAN / "rules").read_text()
    for line in re.findall(r"^\tdh_installsystemd .*", rules, re.MULTILINE):
        assert line.endswith(" --no-stop-on-upgrade")  # which would stop the socket too


def test_debconf_knows_the_question_before_purge_asks_it() -> None:
    """When a package is purged, the file with its questions is gone already."""
    postinst = (DEBIAN / "relayd.postinst").read_text()
    assert postinst.index(". /usr/share/debconf/confmodule") < postinst.index("#DEBHELPER#")


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


def test_who_installs_by_hand_gets_the_same_file_for_logrotate() -> None:
    assert (ROOT / "etc/logrotate.d/relayd").read_text() == (
        DEBIAN / "relayd.logrotate"
    ).read_text()


def test_no_script_has_a_variable_that_looks_like_a_setting() -> None:
    """relayd refuses to start where one is mistyped, and variables are inherited."""
    for script in SCRIPTS:
        found = re.findall(r"\bRELAYD_[A-Z_]+", script.read_text())
        assert not found, script.name
