"""The names of all metrics, their labels, and where a worker's numbers are.

Owns the layout of a row of the shared counters: one cell of 8 octets for each number that exists, since all
label values are words of closed lists. What is read off the queue at a scrape has no cell.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

from relayd.mail.attempt import RouteKind
from relayd.mail.tls_result import TlsProof, TlsResultType
from relayd.mail.words import BounceClass, Category, EventKind
from relayd.policy.console.webhook import Result

Labels = tuple[str, ...]
"""Values, in the order of the family's label names."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Family:
    """One metric. `cells` has the label values of what a process counts; none: it is read at a scrape."""

    name: str
    kind: str  # counter | gauge | histogram
    help: str
    labels: Labels = ()
    cells: tuple[Labels, ...] = ()
    bounds: tuple[float, ...] = ()  # upper ones of a histogram's buckets, without +Inf


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One line of an answer."""

    family: Family
    labels: Labels = ()
    value: float
    suffix: str = ""  # of a histogram's parts
    bound: str = ""  # of a histogram's bucket
    queue: str = ""  # whose number it is, where machines share a queue; empty: this daemon's


_CLASSES = tuple(each.value for each in BounceClass)
_CATEGORIES = tuple(each.value for each in Category)
NO_ROUTE = "none"  # the DNS, or a rule, ended the attempt before there was a server

RECEIVED = Family(
    name="relayd_received_total",
    kind="counter",
    help="Recipients of messages that were accepted and are on disk.",
    cells=((),),
)
MESSAGES = Family(
    name="relayd_received_messages_total",
    kind="counter",
    help="Messages that were accepted and are on disk.",
    cells=((),),
)
SIGNED = Family(
    name="relayd_dkim_messages_total",
    kind="counter",
    help="Messages that were accepted while there were DKIM keys, by whether they were signed.",
    labels=("signed",),
    cells=(("yes",), ("no",)),
)
REFUSED = Family(
    name="relayd_refused_total",
    kind="counter",
    help="Refusals given to clients, by the first digit of the reply.",
    labels=("code_class",),
    cells=(("4yz",), ("5yz",)),
)
EVENTS = Family(
    name="relayd_events_total",
    kind="counter",
    help="Lines given to the status log, by event.",
    labels=("event",),
    cells=tuple((each.value,) for each in EventKind),
)
ATTEMPTS = Family(
    name="relayd_attempts_total",
    kind="counter",
    help="Attempts that ended, one for each recipient and server asked.",
    labels=("route",),
    cells=tuple((each,) for each in (*(route.value for route in RouteKind), NO_ROUTE)),
)
TLS_PROOF = Family(
    name="relayd_tls_attempts_total",
    kind="counter",
    help="Attempts in direct mode, by what the connection to the mail host had shown.",
    labels=("proof",),
    cells=tuple((each.value,) for each in TlsProof),
)
TLS_RESULT = Family(
    name="relayd_tls_failures_total",
    kind="counter",
    help="Attempts in direct mode in which TLS failed, whether or not the mail went on.",
    labels=("result",),
    cells=tuple((each.value,) for each in TlsResultType),
)
OUTCOMES = Family(
    name="relayd_outcomes_total",
    kind="counter",
    help="Outcomes of attempts, and bounces by an operator, for each recipient.",
    labels=("status", "bounce_class", "category"),
    cells=(
        ("relayed", "", ""),
        ("sent", "", ""),
        *product(("deferred",), ("",), _CATEGORIES),
        *product(("bounced",), _CLASSES, _CATEGORIES),
    ),
)
LATE = Family(
    name="relayd_late_bounces_total",
    kind="counter",
    help="Recipients that were accepted first and bounced later.",
    labels=("bounce_class", "category"),
    cells=tuple(product(_CLASSES, _CATEGORIES)),
)
DELAY = Family(
    name="relayd_delivery_delay_seconds",
    kind="histogram",
    help="Time from reception to the final status, once for each recipient.",
    labels=("status",),
    cells=(("relayed",), ("sent",), ("bounced",)),
    bounds=(0.1, 0.5, 1, 5, 15, 60, 300, 900, 3600, 14400, 86400, 432000),
)
COMMIT = Family(
    name="relayd_store_commit_seconds",
    kind="histogram",
    help="Time that a commit of the queue took, its wait for the file and its sync included.",
    cells=((),),
    bounds=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5),
)
WORKERS = Family(
    name="relayd_workers",
    kind="gauge",
    help="Worker processes that are ready, those that finish their work included.",
    cells=((),),
)
CONNECTIONS = Family(
    name="relayd_connections",
    kind="gauge",
    help="Open connections: in from clients, out to mail servers.",
    labels=("direction",),
    cells=(("in",), ("out",)),
)
PAUSED = Family(
    name="relayd_deliveries_paused",
    kind="gauge",
    help="Workers that start no delivery because results cannot be written.",
    cells=((),),
)
DISK_FULL = Family(
    name="relayd_disk_full",
    kind="gauge",
    help="Workers that take no new mail because the disk of the queue is full.",
    cells=((),),
)
STORE_FAILING = Family(
    name="relayd_store_failing",
    kind="gauge",
    help="Workers that cannot write results, or could not store a message within half a minute.",
    cells=((),),
)
QUEUE = Family(
    name="relayd_queue_recipients",
    kind="gauge",
    help="Recipients that are not finished.",
    labels=("status",),
)
OLDEST = Family(
    name="relayd_queue_oldest_seconds",
    kind="gauge",
    help="Age of the oldest of them that is not held; 0 when there is none.",
)
DESTINATIONS = Family(
    name="relayd_destination_queued",
    kind="gauge",
    help="Recipients that are not finished, for the ten destinations that have most.",
    labels=("destination",),
)
DESTINATIONS_PAUSED = Family(
    name="relayd_destinations_paused",
    kind="gauge",
    help="Destinations with mail that are left alone for a while: down, or at their limit.",
)
SITES = Family(
    name="relayd_sites",
    kind="gauge",
    help="Sites that mail goes to directly and that are not simply free, by how they are treated.",
    labels=("mode",),
)
COMPLAINED = Family(
    name="relayd_complaints",
    kind="gauge",
    help="Complaints in seven days, for the ten domains that have most of them, then of mail: of senders, and of recipients.",
    labels=("of", "domain"),
)
COMPLAINED_ACCEPTED = Family(
    name="relayd_complaints_accepted",
    kind="gauge",
    help="Recipients of these domains, whose mail was accepted in these seven days.",
    labels=("of", "domain"),
)
LOGIN_REFUSED = Family(
    name="relayd_login_refused",
    kind="gauge",
    help="Destinations of these that are left alone because our login is refused.",
)
PAUSE_RULES = Family(
    name="relayd_paused",
    kind="gauge",
    help="Pauses by operators that are in force, by what they stop.",
    labels=("side",),
)
PAUSED_RECIPIENTS = Family(
    name="relayd_paused_recipients",
    kind="gauge",
    help="Recipients of them that wait for the end of such a pause.",
)
READABLE = Family(
    name="relayd_queue_readable",
    kind="gauge",
    help="1 if the queue could be read for this answer, else 0, and what is read off it is missing.",
)
SOFT_BOUNCE = Family(
    name="relayd_soft_bounce",
    kind="gauge",
    help="1 while soft_bounce is on: what would bounce is deferred.",
)
REDIRECT = Family(
    name="relayd_redirect",
    kind="gauge",
    help="1 while a redirect is in force: mail goes to redirect.to, not to its recipients.",
)
DOCTOR = Family(
    name="relayd_doctor_result",
    kind="gauge",
    help="What the last saved doctor found: 0 ok, 1 warn, 2 fail, 3 unknown.",
    labels=("check",),
)
WEBHOOK_DELIVERIES = Family(
    name="relayd_webhook_deliveries_total",
    kind="counter",
    help="Tries to tell an application by a webhook, by what became of the delivery.",
    labels=("result",),
    cells=tuple((each.value,) for each in Result),
)
WEBHOOK_WAITING = Family(
    name="relayd_webhook_waiting",
    kind="gauge",
    help="Deliveries of webhooks that are not finished.",
)
WEBHOOK_OLDEST = Family(
    name="relayd_webhook_oldest_seconds",
    kind="gauge",
    help="Age of the oldest event among them.",
)
WEBHOOK_DISABLED = Family(
    name="relayd_webhook_disabled",
    kind="gauge",
    help="Webhooks that are disabled because of what their receivers answer.",
)
DOCTOR_AGE = Family(
    name="relayd_doctor_age_seconds",
    kind="gauge",
    help="How long ago that was.",
)
BUILD = Family(
    name="relayd_build_info",
    kind="gauge",
    help="1, with the version.",
    labels=("version",),
)

FAMILIES: Sequence[Family] = (
    RECEIVED,
    MESSAGES,
    SIGNED,
    REFUSED,
    EVENTS,
    ATTEMPTS,
    TLS_PROOF,
    TLS_RESULT,
    OUTCOMES,
    LATE,
    DELAY,
    COMMIT,
    WORKERS,
    CONNECTIONS,
    PAUSED,
    DISK_FULL,
    STORE_FAILING,
    QUEUE,
    OLDEST,
    DESTINATIONS,
    DESTINATIONS_PAUSED,
    SITES,
    LOGIN_REFUSED,
    PAUSE_RULES,
    PAUSED_RECIPIENTS,
    READABLE,
    WEBHOOK_DELIVERIES,
    WEBHOOK_WAITING,
    WEBHOOK_OLDEST,
    WEBHOOK_DISABLED,
    COMPLAINED,
    COMPLAINED_ACCEPTED,
    SOFT_BOUNCE,
    REDIRECT,
    DOCTOR,
    DOCTOR_AGE,
    BUILD,
)

CELL: dict[tuple[str, Labels], int] = {}
"""Family and labels to the first cell. A histogram has one cell for each bucket, then its sum."""

CELLS = 1  # how many there are; the first says whether the row was ever taken
for _family in FAMILIES:
    for _labels in _family.cells:
        CELL[_family.name, _labels] = CELLS
        CELLS += len(_family.bounds) + 2 if _family.kind == "histogram" else 1


def cell_of(family: Family, *labels: str) -> int:
    return CELL[family.name, labels]
