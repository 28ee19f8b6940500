"""TLS reports are read by who reads those of everybody: parsedmarc, which shares no code with us."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from relayd.policy.tls.tlsrpt import compose, document, packed
from tests.unit.policy.tls.test_tlsrpt import BOX, COUNTS, FACTS

pytestmark = pytest.mark.interop

PROGRAM = shutil.which("parsedmarc")


@pytest.mark.skipif(PROGRAM is None, reason="parsedmarc is not installed")
def test_parsedmarc_reads_the_mail(tmp_path: Path) -> None:
    assert PROGRAM is not None
    mail = tmp_path / "report.eml"
    mail.write_bytes(compose(FACTS, BOX, packed(document(FACTS, COUNTS))))
    ran = subprocess.run(
        [PROGRAM, "--offline", str(mail)],
        cwd=tmp_path,
        env={"PATH": "/usr/bin:/bin"},  # its own packages, not ours
        capture_output=True,
        text=True,
        timeout=50,
        check=True,
    )
    [report] = json.loads(ran.stdout)["smtp_tls_reports"]
    assert (report["report_id"], report["contact_info"]) == (FACTS.report_id, FACTS.contact)
    [policy] = report["policies"]
    assert (policy["policy_type"], policy["policy_domain"]) == ("sts", FACTS.domain)
    assert (policy["successful_session_count"], policy["failed_session_count"]) == (5326, 303)
    assert [each["result_type"] for each in policy["failure_details"]] == [
        "starttls-not-supported",
        "certificate-expired",
        "validation-failure",
    ]
