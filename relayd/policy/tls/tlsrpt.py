"""TLS reports: whom a domain wants them sent to, what they say, and the mail that carries them.

Owns the record, the document and the message; counts come from the deliverer, by way of the store. What others said
is one line each, and of a hostile day the most frequent failures are told.

Source: RFC 8460 §3 (record), §4 (document), §5.1 (names of files), §5.3 (mail).
"""

import gzip
import hashlib
import json
import re
from base64 import encodebytes
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from email.utils import format_datetime
from urllib.parse import unquote

from relayd.mail.address import Address, PathError, parse_address
from relayd.mail.tls_count import CountedPolicy, CountedSession, PolicyKind
from relayd.policy.console.webhook_url import UrlRules, read_url
from relayd.policy.dsn.lines import clean_line, clean_name, fold

MEDIA_TYPE = "application/tlsrpt+gzip"
_URIS = 4  # that a report goes to
_DETAILS = 100  # kinds of failures that a report tells of one policy
_REASON = 200  # characters
_BEGINS = timedelta(minutes=10)  # after midnight UTC
_SPREAD = timedelta(hours=3, minutes=50)  # RFC 8460 §4.1 asks for a random delay up to four hours

_VERSION = re.compile(r"v=TLSRPTv1[ \t]*;")
_RULES = UrlRules(ports=frozenset({443}))


@dataclass(frozen=True, slots=True, kw_only=True)
class Receivers:
    """Whom a domain wants its reports sent to; both may be empty."""

    boxes: tuple[Address, ...] = ()
    urls: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportFacts:
    """What a report is about, and who sends it."""

    day: date  # UTC
    domain: str
    submitter: str  # our domain
    contact: str
    token: str  # makes the report and its message unique
    now: datetime

    @property
    def report_id(self) -> str:
        return f"{self.day}.{clean_name(self.domain)}.{clean_name(self.token)}"

    @property
    def file_name(self) -> str:
        """Return what RFC 8460 §5.1 calls the file."""
        begins = int(datetime.combine(self.day, time(), UTC).timestamp())
        ends = begins + 86_399
        return f"{clean_name(self.submitter)}!{clean_name(self.domain)}!{begins}!{ends}.json.gz"


def read_receivers(texts: Sequence[str]) -> Receivers:
    """Return whom the records at `_smtp._tls` name (RFC 8460 §3); nobody, if there is not one good record."""
    records = [text for text in texts if _VERSION.match(text)]
    if len(records) != 1:
        return Receivers()
    for field in records[0].split(";")[1:]:
        name, _, value = field.strip(" \t").partition("=")
        if name == "rua":
            return _receivers([uri.strip(" \t") for uri in value.split(",", _URIS)][:_URIS])
    return Receivers()


def due_at(day: date, domain: str) -> datetime:
    """Return when the report on a day is sent: in the night after it, each domain at a time of its own."""
    midnight = datetime.combine(day, time(), UTC) + timedelta(days=1)
    share = int.from_bytes(hashlib.sha256(f"{day} {domain}".encode()).digest()[:4]) / 2**32
    return midnight + _BEGINS + share * _SPREAD


def document(facts: ReportFacts, counts: Mapping[CountedSession, int]) -> bytes:
    """Return the report as JSON (RFC 8460 §4.4)."""
    by_policy: dict[CountedPolicy, dict[CountedSession, int]] = {}
    for session, count in counts.items():
        by_policy.setdefault(session.policy, {})[session] = count
    told = {
        "organization-name": facts.submitter,
        "date-range": {
            "start-datetime": f"{facts.day}T00:00:00Z",
            "end-datetime": f"{facts.day}T23:59:59Z",
        },
        "contact-info": facts.contact,
        "report-id": facts.report_id,
        "policies": [_policy(policy, of) for policy, of in by_policy.items()],
    }
    return json.dumps(told, indent=1).encode()


def packed(octets: bytes) -> bytes:
    """Return it as it is sent; the same octets give the same."""
    return gzip.compress(octets, mtime=0)


def compose(facts: ReportFacts, to: Address, report: bytes) -> bytes:
    """Return the mail that carries the packed `report` (RFC 8460 §5.3)."""
    domain, submitter = clean_name(facts.domain), clean_name(facts.submitter)
    boundary = hashlib.sha256(report).hexdigest()[:48]
    title = f"Report Domain: {domain} Submitter: {submitter} Report-ID: <{facts.report_id}>"
    header = [
        f"From: <{facts.contact}>",
        f"To: <{to}>",
        *fold("Subject: ", title, indent=" "),
        f"Date: {format_datetime(facts.now)}",
        f"Message-ID: <{facts.report_id}@{submitter}>",
        f"TLS-Report-Domain: {domain}",
        f"TLS-Report-Submitter: {submitter}",
        "TLS-Required: No",
        "Auto-Submitted: auto-generated",
        "MIME-Version: 1.0",
        'Content-Type: multipart/report; report-type="tlsrpt";',
        f'\tboundary="{boundary}"',
        "",
    ]
    words = f"This is a report on TLS of mail from {submitter} to {domain} on {facts.day} (UTC), by RFC 8460."
    readable = [
        "Content-Type: text/plain; charset=us-ascii",
        "Content-Transfer-Encoding: 7bit",
        "",
        *fold("", words, indent=""),
        *fold("", f"Questions: {facts.contact}", indent=""),
    ]
    machine = [
        f"Content-Type: {MEDIA_TYPE}",
        "Content-Transfer-Encoding: base64",
        "Content-Disposition: attachment;",
        f'\tfilename="{facts.file_name}"',
        "",
        *encodebytes(report).decode("ascii").split("\n")[:-1],
    ]
    mark = f"--{boundary}"
    lines = [*header, mark, *readable, mark, *machine, f"{mark}--"]
    return "".join(f"{line}\r\n" for line in lines).encode("utf-8", "replace")


def _receivers(uris: Sequence[str]) -> Receivers:
    boxes = [box for uri in uris if (box := _box(uri)) is not None]
    urls = [uri for uri in uris if _is_url(uri)]
    return Receivers(boxes=tuple(dict.fromkeys(boxes)), urls=tuple(dict.fromkeys(urls)))


def _box(uri: str) -> Address | None:
    """Return the address of a `mailto:` URI (RFC 6068 §2); what it says beside that counts for nothing."""
    scheme, _, rest = uri.partition(":")
    if scheme.lower() != "mailto":
        return None
    try:
        found = parse_address(unquote(rest.partition("?")[0], errors="strict"))
    except (PathError, UnicodeDecodeError):
        return None
    return found if found.is_ascii else None


def _is_url(uri: str) -> bool:
    if not uri.lower().startswith("https:"):
        return False
    try:
        read_url(uri, _RULES)
    except ValueError:
        return False
    return True


def _policy(policy: CountedPolicy, counts: Mapping[CountedSession, int]) -> dict[str, object]:
    told: dict[str, object] = {"policy-type": str(policy.kind), "policy-domain": policy.domain}
    if policy.lines:
        told["policy-string"] = list(policy.lines)
    if policy.kind is PolicyKind.STS:
        told["mx-host"] = list(policy.hosts)
    failed = {session: count for session, count in counts.items() if session.result}
    summary = {
        "total-successful-session-count": sum(counts.values()) - sum(failed.values()),
        "total-failure-session-count": sum(failed.values()),
    }
    most = sorted(failed.items(), key=lambda item: -item[1])[:_DETAILS]
    details = [_detail(session, count) for session, count in most]
    more = {"failure-details": details} if details else {}
    return {"policy": told, "summary": summary, **more}


def _detail(session: CountedSession, count: int) -> dict[str, object]:
    told = {
        "result-type": session.result,
        "sending-mta-ip": session.source_ip,
        "receiving-mx-hostname": session.host,
        "receiving-ip": session.ip,
        "failure-reason-code": clean_line(session.reason, utf8=False)[:_REASON],
    }
    return {**{name: value for name, value in told.items() if value}, "failed-session-count": count}
